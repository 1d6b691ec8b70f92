"""The frames of a journal: what one says, and the hash that chains it to the one before.

A frame is a head of 52 bytes and a payload. The head is the magic ``ATJ1``, the kind of the payload, how many
predictions it tells of, its length, and the SHA-256 of the hash of the frame before, of the head up to here, and of
the payload. The first frame of a file says which file it is, and the hash that the file before it ended with.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

_MAGIC = b"ATJ1"
_FIELDS = struct.Struct("<4sIII")
HEAD_BYTES = _FIELDS.size + 32
START = bytes(32)
"""The hash before the first frame of a process."""


class Kind(IntEnum):
    """What a frame holds."""

    OPENED = 1
    LINES = 2
    BATCH = 3
    LOST = 4
    CLOSED = 5


class Opened(msgspec.Struct, kw_only=True):
    """What the first frame of a file says.

    `previous` is the hash that the file before it ended with; `trail` and `trail_hash` are the last event of the
    trail that was known: neither chain can be cut back behind the other.
    """

    segment: str
    at: int
    release: str
    host: str
    previous: str
    trail: int
    trail_hash: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, and where it ends in its file."""

    kind: int
    count: int
    payload: memoryview
    hash: bytes
    end: int


class DamagedError(Exception):
    """A journal is not as it was written, from `offset` on; `is_torn` when it only ends too early."""

    def __init__(self, offset: int, reason: str, *, is_torn: bool = False) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset = offset
        self.is_torn = is_torn


def head_of(previous: bytes, kind: Kind, count: int, payload: Any) -> tuple[bytes, bytes]:
    """Return the head of a frame with this payload, and its hash."""
    fields = _FIELDS.pack(_MAGIC, kind, count, memoryview(payload).nbytes)
    digest = hashlib.sha256(previous + fields)
    digest.update(payload)
    chained = digest.digest()
    return fields + chained, chained


def frames(data: bytes | memoryview) -> Iterator[Frame]:
    """Yield the frames of a file, each one checked.

    Raises
    ------
    DamagedError
        Where the file is not as it was written.
    """
    view = memoryview(data)
    at, previous = 0, START
    while at < len(view):
        if len(view) - at < HEAD_BYTES:
            raise DamagedError(at, "the head of a frame is cut off", is_torn=True)
        magic, kind, count, length = _FIELDS.unpack_from(view, at)
        if magic != _MAGIC:
            raise DamagedError(at, "no frame begins here")
        end = at + HEAD_BYTES + length
        if end > len(view):
            raise DamagedError(at, "a frame is cut off", is_torn=True)
        payload = view[at + HEAD_BYTES : end]
        if at == 0:
            previous = _first(kind, payload)
        digest = hashlib.sha256(previous + bytes(view[at : at + _FIELDS.size]))
        digest.update(payload)
        previous = digest.digest()
        if previous != bytes(view[at + _FIELDS.size : at + HEAD_BYTES]):
            raise DamagedError(at, "a frame was altered, or one before it is missing")
        at = end
        yield Frame(kind, count, payload, previous, end)


def opened(frame: Frame) -> Opened:
    """Return what the first frame of a file says."""
    return msgspec.json.decode(frame.payload, type=Opened)


def _first(kind: int, payload: memoryview) -> bytes:
    """Return the hash that the file before this one ended with, as the first frame of this one says."""
    try:
        if kind == Kind.OPENED:
            previous = bytes.fromhex(msgspec.json.decode(payload, type=Opened).previous)
            if len(previous) == len(START):
                return previous
    except (msgspec.DecodeError, ValueError):
        pass
    raise DamagedError(0, "the first frame does not say which file this is")
