"""Envelopes: bytes that nobody reads without a key of the site, each under a key of its own.

The key of an envelope is random and lies in its head, wrapped by the key-encryption key that the head names. So a
new key-encryption key means new heads, and bodies stay as they are. ::

    "ATENVL"  version (1)  key id (16)  salt (16)  size (8)  nonce (12)  wrapped key (48)
    pieces of 64 KiB, each 16 bytes longer  "."

All is AES-256-GCM. The head and the name of the envelope are authenticated with the wrapped key; the number of
each piece, and whether it is the last, with the piece. So none is left out, repeated or put elsewhere unseen, any
of them can be read alone, and the size in the head tells at once what was cut off.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atalaia.core.errors import Broken
from atalaia.kit.keyring import Keyring

MAGIC = b"ATENVL"
VERSION = 1
PIECE = 2**16
_TAG = 16
_END = b"."
"""A last byte that ends no line: what gcsfs sends of an object that ends with one can be read as shorter."""
_NONCE = 12
_FRONT = struct.Struct(">6sB16s16sQ12s")
HEAD = _FRONT.size + 32 + _TAG
"""Bytes before the first piece."""
Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Opened:
    """What the head of an envelope holds, once its key has opened it."""

    size: int
    key: bytes
    is_current: bool


def is_sealed(data: Bytes) -> bool:
    """Say whether bytes begin as an envelope does."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def sealed_size(size: int) -> int:
    """Return the size of an envelope around `size` bytes."""
    return HEAD + size + _TAG * _pieces(size) + len(_END)


def salt_in(sealed: Bytes) -> bytes | None:
    """Return the salt that the head of an envelope tells; None when it tells none."""
    if len(sealed) < HEAD or not is_sealed(sealed):
        return None
    salt: bytes = _FRONT.unpack(bytes(sealed[: _FRONT.size]))[3]
    return salt if any(salt) else None


def seal(keyring: Keyring, name: str, data: Bytes) -> Iterator[bytes]:
    """Yield an envelope around `data` part by part, so that no second copy of it need be in memory."""
    key = AESGCM.generate_key(256)
    view = memoryview(data).cast("B")
    yield _head(keyring, name, len(view), key)
    cipher, pieces = AESGCM(key), _pieces(len(view))
    for number in range(pieces):
        piece = view[number * PIECE : (number + 1) * PIECE]
        yield cipher.encrypt(_counted(number), piece, _place(number, pieces))
    yield _END


def open_head(keyring: Keyring, name: str, head: Bytes, total: int | None = None) -> Opened:
    """Open the head of the envelope `name`, which takes `total` bytes altogether where that is known.

    Raises
    ------
    Broken
        ``unknown_key`` when a key sealed it that is not ours, ``bad_seal`` when it was changed or cut off.
    """
    if len(head) < HEAD or not is_sealed(head):
        raise _changed(name)
    front = bytes(head[: _FRONT.size])
    _, version, key_id, salt, size, nonce = _FRONT.unpack(front)
    if version != VERSION:
        raise Broken("bad_seal", f"{name} is sealed in a form that a later release made ({version})")
    found = keyring.find(key_id, salt)
    if found is None:
        detail = f"{name} is sealed with the key {key_id.hex()}, which neither `encryption` nor its `previous` has"
        raise Broken("unknown_key", detail)
    try:
        key = found.cipher.decrypt(nonce, bytes(head[_FRONT.size : HEAD]), front + name.encode())
    except InvalidTag as error:
        raise _changed(name) from error
    if total is not None and total != sealed_size(size):
        raise _changed(name)
    return Opened(size, key, found.is_current)


def unseal(keyring: Keyring, name: str, sealed: Bytes) -> memoryview:
    """Return what is in an envelope.

    Raises
    ------
    Broken
        See `open_head`.
    """
    view = memoryview(sealed)
    opened = open_head(keyring, name, view[:HEAD], len(view))
    if bytes(view[-1:]) != _END:
        raise _changed(name)
    cipher, pieces = AESGCM(opened.key), _pieces(opened.size)
    if pieces == 1:
        return memoryview(_piece(cipher, name, view, 0, pieces))
    data = bytearray(opened.size)
    for number in range(pieces):
        start = number * PIECE
        data[start : start + PIECE] = _piece(cipher, name, view, number, pieces)
    return memoryview(data).toreadonly()


def renewed_head(keyring: Keyring, name: str, head: Bytes) -> bytes | None:
    """Return a head that the current key wraps, for the same body; None when it is wrapped by it already.

    Raises
    ------
    Broken
        See `open_head`.
    """
    opened = open_head(keyring, name, head)
    return None if opened.is_current else _head(keyring, name, opened.size, opened.key)


class SealedFile(io.RawIOBase):
    """An envelope as a file of what is in it: only the pieces that are asked for are opened.

    Parameters
    ----------
    sealed
        All bytes of the envelope, mapped say.
    """

    def __init__(self, keyring: Keyring, name: str, sealed: Bytes) -> None:
        super().__init__()
        self.name = name
        self._view = memoryview(sealed)
        opened = open_head(keyring, name, self._view[:HEAD], len(self._view))
        self._cipher, self._size, self._pieces = AESGCM(opened.key), opened.size, _pieces(opened.size)
        self._place = 0
        self._last: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place of it can be read."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._place

    def size(self) -> int:
        """Return how many bytes there are to read."""
        return self._size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is no place {start + offset} in a file")
        self._place = start + offset
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        """Return the bytes from here on, at most `size` of them.

        Raises
        ------
        Broken
            ``bad_seal`` when one of them was changed.
        """
        left = max(0, self._size - self._place)
        size = left if size < 0 else min(size, left)
        parts: list[bytes] = []
        while size > 0:
            number, offset = divmod(self._place, PIECE)
            part = self._opened(number)[offset : offset + size]
            parts.append(part)
            self._place += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer; return how many bytes."""
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def read_bytes(self) -> bytes:
        """Return all bytes, as a path does."""
        self._place = 0
        return self.read()

    def _opened(self, number: int) -> bytes:
        if self._last[0] != number:
            self._last = (number, _piece(self._cipher, self.name, self._view, number, self._pieces))
        return self._last[1]


def _head(keyring: Keyring, name: str, size: int, key: bytes) -> bytes:
    wrapping, nonce = keyring.current(), os.urandom(_NONCE)
    front = _FRONT.pack(MAGIC, VERSION, wrapping.key_id, wrapping.salt, size, nonce)
    return front + wrapping.cipher.encrypt(nonce, key, front + name.encode())


def _piece(cipher: AESGCM, name: str, sealed: memoryview, number: int, pieces: int) -> bytes:
    start = HEAD + number * (PIECE + _TAG)
    end = min(start + PIECE + _TAG, len(sealed) - len(_END))
    try:
        return cipher.decrypt(_counted(number), sealed[start:end], _place(number, pieces))
    except InvalidTag as error:
        raise _changed(name) from error


def _changed(name: str) -> Broken:
    return Broken("bad_seal", f"{name} was changed or cut off: it cannot be opened")


def _pieces(size: int) -> int:
    return max(1, -(-size // PIECE))


def _counted(number: int) -> bytes:
    return number.to_bytes(_NONCE, "big")


def _place(number: int, pieces: int) -> bytes:
    return b"last" if number == pieces - 1 else b"more"
