"""The protobuf wire format, read in place: variable-length integers, tags, and what to skip.

Compiled readers return the position behind what they read; a negative position is a failure, made by `failed` and
taken apart by `explain`. No reader looks behind the `end` that it is given.
"""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled_inline

Buffer = NDArray[np.uint8]

TRUNCATED = 1
OVERLONG = 2
BAD_TAG = 3
BAD_GROUP = 4
BAD_REFERENCE = 5
ODD_REFERENCES = 6
TOO_MANY_SAMPLES = 7
TOO_MANY_LABELS = 8
TOO_MANY_LABEL_BYTES = 9
_REASONS = 16

VARINT = 0
EIGHT_BYTES = 1
CHUNK = 2
FOUR_BYTES = 5

MAX_BODY_BYTES = 2**31 - 1
"""Positions are kept in 32 bits; no sender writes bodies of this size."""


@compiled_inline
def failed(reason: int, at: int) -> int:
    """Return the negative position that says `reason` went wrong `at` this byte."""
    return -(at * _REASONS + reason)


def explain(position: int) -> tuple[int, int]:
    """Return the reason and the byte of a negative position."""
    at, reason = divmod(-position, _REASONS)
    return reason, at


@compiled_inline
def read_varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return the integer at `at`, its 64 bits read as a signed one, and the position behind it."""
    if at < end and data[at] < 128:
        return int(data[at]), at + 1
    value = np.uint64(0)
    for i in range(10):
        if at + i >= end:
            return 0, failed(TRUNCATED, at)
        byte = np.uint64(data[at + i])
        if i == 9 and byte > np.uint64(1):
            return 0, failed(OVERLONG, at)
        value |= (byte & np.uint64(127)) << np.uint64(7 * i)
        if byte < np.uint64(128):
            return int(np.int64(value)), at + i + 1
    return 0, failed(OVERLONG, at)


@compiled_inline
def read_length(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return where the chunk whose length stands at `at` begins, and where it ends."""
    if at < end and data[at] < 128:
        length, begin = int(data[at]), at + 1
    else:
        length, begin = read_varint(data, at, end)
    if begin < 0:
        return begin, begin
    if length < 0 or length > end - begin:
        return failed(TRUNCATED, at), failed(TRUNCATED, at)
    return begin, begin + length


@compiled_inline
def read_tag(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return the tag at `at` (field number times 8 plus wire type) and the position behind it."""
    tag, behind = read_varint(data, at, end)
    if behind >= 0 and (tag < 8 or tag >= 2**32):
        return 0, failed(BAD_TAG, at)
    return tag, behind


@compiled_inline
def skip(data: Buffer, tag: int, at: int, end: int) -> int:
    """Return the position behind the field whose tag was just read."""
    kind = tag & 7
    if kind == VARINT:
        return read_varint(data, at, end)[1]
    if kind == CHUNK:
        return read_length(data, at, end)[1]
    if kind == EIGHT_BYTES or kind == FOUR_BYTES:
        size = 8 if kind == EIGHT_BYTES else 4
        return at + size if end - at >= size else failed(TRUNCATED, at)
    return failed(BAD_GROUP, at)


@compiled_inline
def eight_bytes(data: Buffer, at: int) -> np.uint64:
    """Return the 8 bytes at `at`, which must lie inside `data`, the first the lowest."""
    i = np.uint64(at)  # an unsigned index is not checked for being negative, so this becomes one load
    word = np.uint64(data[i])
    word |= np.uint64(data[i + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(data[i + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(data[i + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(data[i + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(data[i + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(data[i + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(data[i + np.uint64(7)]) << np.uint64(56)
    return word


@compiled_inline
def some_bytes(data: Buffer, at: int, count: int) -> np.uint64:
    """Return `count` bytes at `at`, 0 to 8, the first the lowest; those that are missing are zero."""
    if count <= 0:
        return np.uint64(0)
    if at + 8 <= len(data):
        return eight_bytes(data, at) & (~np.uint64(0) >> np.uint64(64 - 8 * count))
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word
