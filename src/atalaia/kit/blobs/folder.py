"""Objects by key in a folder: model artefacts and history blocks.

An object appears whole or not at all (written beside its place, synced, renamed), and is read back only if
its SHA-256 is the one recorded when it was written.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from atalaia.core.errors import AtalaiaError, Unavailable
from atalaia.kit.blobs.objects import Blob, Listed, checked_key, damaged, gone, sha256_of
from atalaia.kit.blobs.seals import Seals
from atalaia.kit.envelopes import Bytes, SealedFile

PART = ".part"
"""How the names of unfinished objects end."""


class Blobs:
    """A folder of objects.

    Parameters
    ----------
    root
        The folder; made when missing.
    durable
        Whether `put` waits for the disk. Copies of what lies elsewhere need not.
    seals
        How objects are sealed; None seals none, and opens none.
    """

    def __init__(self, root: Path, *, durable: bool = True, seals: Seals | None = None) -> None:
        self.root = root
        self._durable = durable
        self.seals = Seals(None) if seals is None else seals
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> Blob:
        """Store `data` under `key`, durable when this returns.

        Raises
        ------
        Unavailable
            When the disk is full, or the store cannot be reached. The key is as it was before.
        """
        target = self.path(key)
        try:
            self._make_folder(target.parent)
            self._write(target, self.seals.sealed(checked_key(key), data))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                detail = f"no space is left for {len(data)} bytes; free some and try again"
                raise Unavailable("disk_full", detail, retry_after_s=30) from error
            raise
        return Blob(key, sha256_of(data), len(data))

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """Return the object at `key`, checked against `sha256` if given.

        Raises
        ------
        Missing
            When there is none.
        Broken
            When its checksum differs, or its seal cannot be opened.
        Unavailable
            When the store cannot be reached.
        """
        try:
            stored = self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise gone(key) from error
        data = self.seals.opened(checked_key(key), stored)
        if sha256 is not None and sha256_of(data) != sha256:
            raise damaged(key)
        return data if isinstance(data, bytes) else bytes(data)

    def view(self, key: str, sha256: str) -> memoryview:
        """Return the object at `key` mapped into memory, checked against `sha256`.

        Processes that view the same object share its memory. It stays readable when the object is deleted. What is
        sealed cannot be mapped: it is opened into memory of the process.

        Raises
        ------
        Missing
            When there is no such object.
        Broken
            When its checksum differs.
        Unavailable
            When the store cannot be reached.
        """
        view = memoryview(self.seals.opened(checked_key(key), self._stored(key)))
        if sha256_of(view) != sha256:
            raise damaged(key)
        return view

    def keep(self, key: str, data: memoryview, sha256: str) -> memoryview:
        """Keep bytes that came from elsewhere on this machine, and return them mapped, or as they are if sealed.

        Raises
        ------
        Unavailable
            When the disk is full.
        """
        try:
            kept = self.view(key, sha256)
        except (AtalaiaError, OSError):
            self.put(key, bytes(data))
            return data if self.seals.writes else self.view(key, sha256)
        return data if self.seals.writes else kept

    def local(self, key: str, sha256: str | None = None) -> Path | SealedFile:
        """Return the file on this machine that holds the object, for a reader that checks what it reads.

        There may be none by the time it is opened: objects are deleted, and copies of them make room for others.

        Raises
        ------
        FileNotFoundError, Unavailable
            When the object lies elsewhere and there is none, or it cannot be had.
        Broken
            When its seal cannot be opened.
        """
        path = self.path(key)
        if not self.seals:
            return path
        return self.seals.file(checked_key(key), _mapped(path)) or path

    def prefetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Bring objects (key and SHA-256) to this machine that `local` will be asked for, several at a time."""

    def discard(self, key: str) -> bool:
        """Throw away the copy on this machine of an object that lies elsewhere; return whether there was one."""
        return False

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`.

        Raises
        ------
        Unavailable
            When the store cannot be reached.
        """
        return self.path(key).is_file()

    def is_whole(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Say whether the object is there as it was written, by its bytes, or by its size if it lies elsewhere.

        Raises
        ------
        Unavailable
            When the store cannot be reached.
        """
        try:
            self.get(key, sha256)
        except AtalaiaError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove the object at `key`; nothing happens if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.path(key).unlink()

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the objects whose key begins with the folder `prefix`, unfinished ones included."""
        top = self.path(prefix) if prefix else self.root
        for path in sorted(top.rglob("*")) if top.is_dir() else ():
            with suppress(FileNotFoundError):  # removed by somebody else meanwhile
                stat = path.stat()
                if path.is_file():
                    yield Listed(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)

    def path(self, key: str) -> Path:
        """Return where the object at `key`, or the copy of it, lies on this machine if it does.

        Raises
        ------
        Missing
            When `key` would lie outside the folder, or no file can have this name.
        """
        return self.root / checked_key(key)

    def stored(self, key: str) -> Bytes:
        """Return what is stored at `key`, mapped, sealed if it is.

        Raises
        ------
        Missing
            When there is nothing.
        """
        return self._stored(key)

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of what is stored at `key`.

        Raises
        ------
        Missing
            When there is nothing.
        """
        return bytes(self._stored(key)[:length])

    def replace(self, key: str, parts: Iterable[Bytes]) -> None:
        """Store something that holds the same data in another form; it counts as written when it was before."""
        path = self.path(key)
        written = path.stat().st_mtime_ns
        self._write(path, parts, written)

    def check(self) -> str:
        """Say where objects are kept, once it is sure that they can be.

        Raises
        ------
        Unavailable
            When the store cannot be reached or written.
        """
        return f"objects lie in {self.root}"

    def _stored(self, key: str) -> memoryview:
        try:
            return _mapped(self.path(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise gone(key) from error

    def _write(self, target: Path, parts: Iterable[Bytes], written_ns: int | None = None) -> None:
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts)
                file.flush()
                if written_ns is not None:
                    os.utime(file.fileno(), ns=(written_ns, written_ns))
                if self._durable:
                    os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        if self._durable:
            _sync(target.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        if self._durable:
            _sync(folder.parent)  # the name of a folder is durable only once the folder above is


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
