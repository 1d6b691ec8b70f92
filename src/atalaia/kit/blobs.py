"""Objects by key in a folder: model artefacts and history blocks.

An object appears whole or not at all (written beside its place, synced, renamed), and is read back only if
its SHA-256 is the one recorded when it was written.
"""

import errno
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atalaia.core.errors import Broken, Missing, Unavailable

_PART = ".part"


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a stored object."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An object found in the store, and when it was written (seconds since the epoch)."""

    key: str
    size_bytes: int
    modified_s: float


def sha256_of(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Blobs:
    """A folder of objects.

    Parameters
    ----------
    root
        The folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> Blob:
        """Store `data` under `key`, durable when this returns.

        Raises
        ------
        Unavailable
            When the disk is full. The key is as it was before.
        """
        target = self.path(key)
        try:
            _make_folder(target.parent)
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
        """
        try:
            data = self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _gone(key) from error
        if sha256 is not None and sha256_of(data) != sha256:
            raise _damaged(key)
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
        """
        try:
            with self.path(key).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _gone(key) from error
        view = memoryview(mapped)
        if sha256_of(view) != sha256:
            raise _damaged(key)
        return view

    def delete(self, key: str) -> None:
        """Remove the object at `key`; nothing happens if there is none."""
        self.path(key).unlink(missing_ok=True)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the objects whose key begins with the folder `prefix`, unfinished ones included."""
        top = self.path(prefix) if prefix else self.root
        for path in sorted(top.rglob("*")) if top.is_dir() else ():
            with suppress(FileNotFoundError):  # removed by somebody else meanwhile
                stat = path.stat()
                if path.is_file():
                    yield Listed(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)

    def path(self, key: str) -> Path:
        """Return where the object at `key` lies.

        Raises
        ------
        Missing
            When `key` would lie outside the folder, or no file can have this name.
        """
        parts = Path(key).parts
        if not parts or ".." in parts or Path(key).is_absolute() or not _is_file_name(key):
            raise Missing("unknown_blob", f"no object can have the key {key[:80]!r}")
        return self.root / key

    def _write(self, target: Path, data: bytes) -> None:
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        _sync(target.parent)


def _gone(key: str) -> Missing:
    return Missing("unknown_blob", f"the stored object {key} is gone")


def _damaged(key: str) -> Broken:
    return Broken("bad_blob", f"the stored object {key} is damaged: its checksum differs")


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)  # the name of a folder is durable only once the folder above is


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_file_name(key: str) -> bool:
    return "\0" not in key and not any(0xD800 <= ord(c) < 0xE000 for c in key)
