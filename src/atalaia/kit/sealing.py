"""Objects sealed for rest: bytes in, bytes out, legible and changeable only with a key.

Each object has a data key of its own, with which it is encrypted (AES-256-GCM); the data key is encrypted by a
key-encryption key, whose id stands in front. To change that key only the data keys must be sealed anew. Where an
object belongs (its `context`, such as its key in a store) is authenticated too: moved elsewhere, it does not open.

::

    b"ATS1" | length of the id, 1 byte | id | nonce, 12 | data key, 32 + 16 | nonce, 12 | object, n + 16
"""

import os
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atalaia.core.errors import Broken, Fault, Invalid

KEY_BYTES = 32
_MAGIC = b"ATS1"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Sealer:
    """Seals and opens objects.

    Parameters
    ----------
    keys
        Key-encryption keys of 32 bytes, by id; all of them open.
    newest
        Id of the one that seals.

    Raises
    ------
    Invalid
        ``invalid_settings`` when a key or an id cannot be used.
    """

    def __init__(self, keys: Mapping[str, bytes], newest: str) -> None:
        for key_id, key in keys.items():
            if not _ID.fullmatch(key_id):
                raise _unusable(f"{key_id[:80]!r} cannot be the id of a key: letters, digits, dots and dashes can")
            if len(key) != KEY_BYTES:
                raise _unusable(f"the key {key_id} has {len(key)} bytes, {KEY_BYTES} are needed")
        if newest not in keys:
            raise _unusable(f"there is no key {newest[:80]!r} to seal with")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.newest = newest

    def seal(self, data: bytes | memoryview, context: str) -> bytes:
        """Return `data` sealed by the newest key, for the place that `context` names."""
        key = AESGCM.generate_key(8 * KEY_BYTES)
        head = _head(self.newest)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, data, _MAGIC + context.encode())
        return b"".join((head, self._wrapped(key, head, context), nonce, sealed))

    def open(self, sealed: bytes | memoryview, context: str) -> bytes:
        """Return what was sealed for this place.

        Raises
        ------
        Broken
            ``bad_blob`` when it was changed, moved, cut, or sealed by a key that is not here.
        """
        key, rest = self._unwrapped(sealed, context)
        try:
            return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _MAGIC + context.encode())
        except (InvalidTag, ValueError) as error:
            raise _shut(context, "it was changed, or is another's") from error

    def resealed(self, sealed: bytes | memoryview, context: str) -> bytes:
        """Return the same object under the newest key; what it holds is not encrypted anew.

        Raises
        ------
        Broken
            As `open` does, as far as the data key tells.
        """
        key, rest = self._unwrapped(sealed, context)
        head = _head(self.newest)
        return b"".join((head, self._wrapped(key, head, context), rest))

    def _wrapped(self, key: bytes, head: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._keys[self.newest].encrypt(nonce, key, head + context.encode())

    def _unwrapped(self, sealed: bytes | memoryview, context: str) -> tuple[bytes, memoryview]:
        """Return the data key of a sealed object, and what follows it."""
        view = memoryview(sealed)
        key_id = key_of(view)
        if key_id is None:
            raise _shut(context, "it is not sealed")
        wrapping = self._keys.get(key_id)
        if wrapping is None:
            raise _shut(context, f"the key {key_id} is not here")
        head = _head(key_id)
        wrapped = view[len(head) : len(head) + _WRAPPED_BYTES]
        try:
            key = wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], head + context.encode())
        except (InvalidTag, ValueError) as error:
            raise _shut(context, "it was changed, or is another's") from error
        return key, view[len(head) + _WRAPPED_BYTES :]


def key_of(data: bytes | memoryview) -> str | None:
    """Return the id of the key that sealed an object, None when it is not sealed."""
    view = memoryview(data)
    if len(view) <= len(_MAGIC) or bytes(view[: len(_MAGIC)]) != _MAGIC:
        return None
    start = len(_MAGIC) + 1
    told = bytes(view[start : start + view[len(_MAGIC)]]).decode("ascii", "replace")
    return told if _ID.fullmatch(told) and len(told) == view[len(_MAGIC)] else None


def _head(key_id: str) -> bytes:
    return _MAGIC + bytes([len(key_id)]) + key_id.encode()


def _shut(context: str, why: str) -> Broken:
    return Broken("bad_blob", f"the stored object {context} cannot be opened: {why}")


def _unusable(reason: str) -> Invalid:
    return Invalid("invalid_settings", reason, faults=[Fault("", reason)])
