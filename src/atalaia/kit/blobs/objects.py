"""What is said of stored objects, and which keys they may have."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from atalaia.core.errors import Broken, Missing


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


def sha256_of(data: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def checked_key(key: str) -> str:
    """Return `key` as every store writes it: no empty parts, no dots that stand for nothing.

    Raises
    ------
    Missing
        When it would lie outside the store, or no file can have this name.
    """
    path = PurePosixPath(key)
    if not path.parts or ".." in path.parts or path.is_absolute() or not _is_file_name(key):
        raise Missing("unknown_blob", f"no object can have the key {key[:80]!r}")
    return path.as_posix()


def gone(key: str) -> Missing:
    """Return the error for an object that is not there."""
    return Missing("unknown_blob", f"the stored object {key} is gone")


def damaged(key: str) -> Broken:
    """Return the error for an object whose bytes are not those that were written."""
    return Broken("bad_blob", f"the stored object {key} is damaged: its checksum differs")


def _is_file_name(key: str) -> bool:
    return "\0" not in key and not any(0xD800 <= ord(c) < 0xE000 for c in key)
