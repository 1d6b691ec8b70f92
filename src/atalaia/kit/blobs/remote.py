"""Objects by key in a bucket, and copies of them in a folder of this machine.

Objects are never changed, only written once and deleted, so that a copy is as good as its checksum. What was read
once can be read while the bucket is out of reach. All that goes over the wire goes through `Store`: bytes in, bytes
out. Where objects are sealed, they are so out there and in the folder, each with a key of its own.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from atalaia.core.errors import AtalaiaError, Broken, Missing, Unavailable
from atalaia.core.ids import new_id
from atalaia.kit.blobs.folder import Blobs
from atalaia.kit.blobs.objects import Blob, Listed, checked_key, damaged, sha256_of
from atalaia.kit.blobs.ports import Store
from atalaia.kit.blobs.seals import SealedStore, Seals
from atalaia.kit.envelopes import Bytes, SealedFile

_log = structlog.get_logger(__name__)
_LOOK_AGAIN = 16
"""How many times the folder is looked through while it fills up once: others fill it too."""


class RemoteBlobs(Blobs):
    """A bucket, behind a folder of copies.

    Parameters
    ----------
    store
        The bucket.
    root
        Where the copies lie; several processes may share it.
    cache_bytes
        What they may take together. The newest one stays, however large.
    parallel_reads
        How many objects `prefetch` brings at a time.
    seals
        How objects are sealed, in the bucket and in the folder.
    """

    def __init__(
        self, store: Store, root: Path, *, cache_bytes: int, parallel_reads: int = 8, seals: Seals | None = None
    ) -> None:
        super().__init__(root, durable=False, seals=seals)
        self._bare = store
        self._store: Store = SealedStore(store, self.seals)
        self._cache_bytes = cache_bytes
        self._parallel_reads = parallel_reads
        self._lock = threading.Lock()
        self._unseen_bytes = cache_bytes  # so that the first copy is counted together with what lies there
        self._checked: dict[str, int] = {}

    def put(self, key: str, data: bytes) -> Blob:
        """Store `data` under `key`, durable when this returns, and keep a copy of it."""
        key = checked_key(key)
        self._store.put(key, data)
        self._copy(key, data)
        return Blob(key, sha256_of(data), len(data))

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """Return the object at `key`: the copy if its checksum is known and right, else from the bucket."""
        key = checked_key(key)
        if sha256 is None:
            return self._store.get(key)
        with suppress(Missing, Broken):
            data = super().get(key, sha256)
            self._touch(key)
            return data
        return self._fetch(key, sha256)

    def view(self, key: str, sha256: str) -> memoryview:
        """Return the copy of the object at `key`, mapped; it is fetched if there is none, or no sound one."""
        key = checked_key(key)
        with suppress(Missing, Broken):
            view = super().view(key, sha256)
            self._touch(key)
            return view
        data = self._fetch(key, sha256)
        with suppress(AtalaiaError, OSError):
            return super().view(key, sha256)
        return memoryview(data)  # no space for a copy, or it had to make room at once

    def keep(self, key: str, data: memoryview, sha256: str) -> memoryview:
        """Keep a copy of bytes that came from elsewhere, and return it mapped; the bucket is not asked."""
        with suppress(Missing, Broken):
            return super().view(key, sha256)
        self._copy(key, bytes(data))
        return data if self.seals.writes else super().view(key, sha256)

    def local(self, key: str, sha256: str | None = None) -> Path | SealedFile:
        """Return the copy of the object at `key`; it is fetched if there is none, or no sound one."""
        key = checked_key(key)
        path = self.path(key)
        if not self._is_sound(key, path, sha256):
            try:
                self._fetch(key, sha256)
            except Missing as error:
                raise FileNotFoundError(str(path)) from error
        self._touch(key)
        return super().local(key)

    def prefetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Bring objects to this machine, several at a time; what cannot be had is left to whoever asks for it."""
        missing = [(key, sha256) for key, sha256 in wanted if not self._is_sound(key, self.path(key), sha256)]
        if len(missing) < 2:
            return
        workers = min(self._parallel_reads, len(missing))
        with ThreadPoolExecutor(workers, thread_name_prefix="atalaia-blobs") as pool:
            list(pool.map(self._try_fetch, missing))

    def discard(self, key: str) -> bool:
        """Throw the copy away; return whether there was one."""
        self._checked.pop(key, None)
        try:
            self.path(key).unlink()
        except OSError:
            return False
        return True

    def exists(self, key: str) -> bool:
        """Say whether the bucket has an object at `key`."""
        return self._store.size(checked_key(key)) is not None

    def is_whole(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Say whether the bucket has an object of this size at `key`: buckets watch over the bytes themselves."""
        return self._store.size(checked_key(key)) in self.seals.sizes(size_bytes)

    def delete(self, key: str) -> None:
        """Remove the object at `key`, and the copy; nothing happens if there is none."""
        key = checked_key(key)
        self._store.delete(key)
        self.discard(key)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the objects of the bucket whose key begins with the folder `prefix`."""
        return self._store.list(checked_key(prefix) if prefix else "")

    def stored(self, key: str) -> Bytes:
        """Return what is stored in the bucket, sealed if it is."""
        return self._bare.get(checked_key(key))

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of what is stored in the bucket."""
        return self._bare.begin(checked_key(key), length)

    def replace(self, key: str, parts: Iterable[Bytes]) -> None:
        """Store something that holds the same data in another form. The copy stays: it is sealed by itself."""
        self._bare.put(checked_key(key), b"".join(parts))

    def check(self) -> str:
        """Write an object, read it and remove it; say where that was."""
        key, data = f"checks/{new_id('chk')}", os.urandom(32)
        self._store.put(key, data)
        told = self._store.get(key)
        self._store.delete(key)
        if told != data:
            raise Unavailable("blobs_unavailable", f"{self._store.name} gives back other bytes than it was given")
        return f"objects lie in {self._store.name}"

    def _fetch(self, key: str, sha256: str | None) -> bytes:
        data = self._store.get(key)
        if sha256 is not None and sha256_of(data) != sha256:
            raise damaged(key)
        self._copy(key, data)
        return data

    def _try_fetch(self, wanted: tuple[str, str]) -> None:
        try:
            self._fetch(*wanted)
        except (AtalaiaError, OSError) as error:
            _log.warning("blob_not_fetched", key=wanted[0], error=str(error)[:500])

    def _copy(self, key: str, data: bytes) -> None:
        """Keep a copy; without one, what needs it fails or goes to the bucket again."""
        try:
            super().put(key, data)
        except (AtalaiaError, OSError) as error:
            _log.warning("blob_not_copied", key=key, error=str(error)[:500])
            return
        with suppress(OSError):
            self._checked[key] = self.path(key).stat().st_ino
        with self._lock:
            self._unseen_bytes += len(data)
            if self._unseen_bytes * _LOOK_AGAIN >= self._cache_bytes:
                self._unseen_bytes = 0
                self._make_room(key)

    def _make_room(self, newest: str) -> None:
        copies = sorted(Blobs.list(self), key=lambda copy: copy.modified_s)
        surplus = sum(copy.size_bytes for copy in copies) - self._cache_bytes
        for copy in copies:
            if surplus <= 0:
                break
            if copy.key != newest and self.discard(copy.key):
                surplus -= copy.size_bytes

    def _touch(self, key: str) -> None:
        with suppress(OSError):
            os.utime(self.path(key))

    def _is_sound(self, key: str, path: Path, sha256: str | None) -> bool:
        """Say whether there is a copy that this process has found to be right, now or before."""
        try:
            file = path.stat().st_ino
            if self._checked.get(key) == file:
                return True
            if sha256 is None:
                return False
            super().get(key, sha256)
        except (AtalaiaError, OSError):
            return False
        self._checked[key] = file
        return True
