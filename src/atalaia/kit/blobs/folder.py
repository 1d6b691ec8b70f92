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

_PART = ".part"


class Blobs:
    """A folder of objects.

    Parameters
    ----------
    root
        The folder; made when missing.
    durable
        Whether `put` waits for the disk. Copies of what lies elsewhere need not.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root
        self._durable = durable
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
            self._write(target, data)
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
            When its checksum differs.
        Unavailable
            When the store cannot be reached.
        """
        try:
            data = self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise gone(key) from error
        if sha256 is not None and sha256_of(data) != sha256:
            raise damaged(key)
        return data

    def view(self, key: str, sha256: str) -> memoryview:
        """Return the object at `key` mapped into memory, checked against `sha256`.

        Processes that view the same object share its memory. It stays readable when the object is deleted.

        Raises
        ------
        Missing
            When there is no such object.
        Broken
            When its checksum differs.
        Unavailable
            When the store cannot be reached.
        """
        try:
            with self.path(key).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise gone(key) from error
        view = memoryview(mapped)
        if sha256_of(view) != sha256:
            raise damaged(key)
        return view

    def keep(self, key: str, data: memoryview, sha256: str) -> memoryview:
        """Keep bytes that came from elsewhere on this machine, and return them mapped.

        Raises
        ------
        Unavailable
            When the disk is full.
        """
        try:
            return self.view(key, sha256)
        except (AtalaiaError, OSError):
            self.put(key, bytes(data))
            return self.view(key, sha256)

    def local(self, key: str, sha256: str | None = None) -> Path:
        """Return the file on this machine that holds the object, for a reader that checks what it reads.

        There may be none by the time it is opened: objects are deleted, and copies of them make room for others.

        Raises
        ------
        FileNotFoundError, Unavailable
            When the object lies elsewhere and there is none, or it cannot be had.
        """
        return self.path(key)

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

    def check(self) -> str:
        """Say where objects are kept, once it is sure that they can be.

        Raises
        ------
        Unavailable
            When the store cannot be reached or written.
        """
        return f"objects lie in {self.root}"

    def _write(self, target: Path, data: bytes) -> None:
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
