"""Bodies that were sent compressed, undone into bounded memory."""

import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import numpy as np

from atalaia.core.errors import Invalid

ENCODINGS = ("gzip", "deflate", "zstd", "lz4", "snappy")
"""What `decoded` undoes beside ``identity``. A ``snappy`` body is one block, as Prometheus sends it, no stream."""
_OTHER_NAMES = {"x-gzip": "gzip"}
_FIRST_BYTES = 65_536
_USUAL_RATIO = 16
_PIECE_BYTES = 256
"""What becomes at most a thousand times as large."""
_NO_ROOM = "write whole buffer"
_STREAMS: dict[str, Callable[[Any, Any], int]] = {
    "gzip": cramjam.gzip.decompress_into,
    "zstd": cramjam.zstd.decompress_into,
    "lz4": cramjam.lz4.decompress_into,
}


def decoded(body: bytes | memoryview, encoding: str, limit: int) -> memoryview:
    """Return `body` as it was before the sender compressed it, without a copy of what was decompressed.

    Nothing that declares more than `limit` bytes is begun, and what declares nothing is written into a buffer that
    ends there: a bomb costs the time to fill `limit` bytes, and no memory beyond them but the window of its format.

    Parameters
    ----------
    encoding
        The header Content-Encoding; empty means none. Several encodings on top of each other are refused.
    limit
        Most bytes that the result may have.

    Raises
    ------
    Invalid
        ``unsupported_encoding``, ``bad_encoding`` when the body is not whole or not of that encoding, or
        ``body_too_large``.
    """
    name = _only(encoding)
    if name == "identity":
        if len(body) > limit:
            raise _too_large(limit)
        return memoryview(body)
    try:
        return _WAYS[name](body, limit) if name in _WAYS else _stream(body, name, limit)
    except (cramjam.DecompressionError, zlib.error) as error:
        raise Invalid("bad_encoding", f"the body cannot be decompressed as {name}: {error}") from error


def _only(encoding: str) -> str:
    names = [name.strip().lower() for name in encoding.split(",")]
    names = [_OTHER_NAMES.get(name, name) for name in names if name not in ("", "identity")]
    if not names:
        return "identity"
    if len(names) > 1 or names[0] not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        what = "several at once" if len(names) > 1 else repr(names[0][:40])
        raise Invalid("unsupported_encoding", f"Content-Encoding: {what} is not supported; send one of {known}")
    return names[0]


def _block(body: bytes | memoryview, limit: int) -> memoryview:
    size = cramjam.snappy.decompress_raw_len(body)
    if size > limit:
        raise _too_large(limit)
    room = np.empty(size, np.uint8)
    return room[: cramjam.snappy.decompress_raw_into(body, room.data)].data


def _deflated(body: bytes | memoryview, limit: int) -> memoryview:
    """Undo what RFC 9110 calls deflate: the zlib format, of which cramjam would not see what follows it."""
    machine, data = zlib.decompressobj(), bytearray()
    for start in range(0, len(body), _PIECE_BYTES):
        if machine.eof:
            raise zlib.error("something follows it")
        data += machine.decompress(body[start : start + _PIECE_BYTES])
        if len(data) > limit:
            raise _too_large(limit)
    if not machine.eof or machine.unused_data:
        raise zlib.error("it is cut off, or something follows it")
    return memoryview(data)


_WAYS: dict[str, Callable[[bytes | memoryview, int], memoryview]] = {"snappy": _block, "deflate": _deflated}


def _stream(body: bytes | memoryview, name: str, limit: int) -> memoryview:
    size = min(limit, max(_FIRST_BYTES, _USUAL_RATIO * len(body)))
    while True:
        room = np.empty(size, np.uint8)  # pages that are never written take no memory
        try:
            return room[: _STREAMS[name](body, room.data)].data
        except cramjam.DecompressionError as error:
            if _NO_ROOM not in str(error):
                raise
        if size >= limit:
            raise _too_large(limit)
        size = limit


def _too_large(limit: int) -> Invalid:
    return Invalid("body_too_large", f"decompressed, the body has more than {limit:,} bytes; send less at once")
