"""Sealed bytes: nobody without the key reads them, and a change anywhere in them is found.

Every sealed thing has a key of its own, which lies in front of it, wrapped by the key of the keeper. The bytes
follow in pieces of AES-256-GCM whose number, and whether one is the last, are part of what is authenticated: none
can be left out, repeated or put elsewhere. ::

    "ATSEAL1\\n"  salt (16)  nonce (12)  wrapped key (48)  pieces of 1 MiB, each 16 bytes longer

`about` is what the bytes are, and is authenticated without being kept: sealed bytes under another name do not open.
"""

import hashlib
import hmac
import os
import threading
from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from atalaia.core.errors import Broken, Denied, Fault, Invalid

MAGIC = b"ATSEAL1\n"
_SALT = 16
_NONCE = 12
_KEY = 32
_TAG = 16
_WRAPPED = _KEY + _TAG
_HEAD = len(MAGIC) + _SALT + _NONCE + _WRAPPED
_PIECE = 2**20
LEAST_PASSPHRASE = 12
_SCRYPT_N = 2**15


class Sealer:
    """Seals and opens bytes with one secret.

    Parameters
    ----------
    secret
        A key of 32 bytes, or a passphrase, from which scrypt derives one.
    is_key
        Which of the two it is.
    """

    def __init__(self, secret: bytes, *, is_key: bool) -> None:
        self._secret = secret
        self._is_key = is_key
        self._lock = threading.Lock()
        self._salt: bytes | None = bytes(_SALT) if is_key else None
        self._keys: dict[bytes, bytes] = {}

    def seal(self, data: bytes, about: bytes = b"") -> bytes:
        """Return `data` sealed."""
        salt = self._own_salt()
        own, nonce = AESGCM.generate_key(256), os.urandom(_NONCE)
        head = MAGIC + salt + nonce
        wrapped = AESGCM(self._key(salt)).encrypt(nonce, own, head + about)
        cipher, parts = AESGCM(own), [head, wrapped]
        last = max(0, (len(data) - 1) // _PIECE)
        view = memoryview(data)
        for number in range(last + 1):
            piece = view[number * _PIECE : (number + 1) * _PIECE]
            parts.append(cipher.encrypt(_counted(number), piece, _place(number == last)))
        return b"".join(parts)

    def open(self, sealed: bytes, about: bytes = b"") -> bytes:
        """Return what was sealed under the same name.

        Raises
        ------
        Denied
            When it was sealed with another key, or its beginning was changed.
        Broken
            When it is not sealed, or a byte of it was changed, or some are missing.
        """
        if len(sealed) < _HEAD + _TAG or not sealed.startswith(MAGIC):
            raise Broken("bad_seal", "these bytes are not sealed, or were cut off")
        view = memoryview(sealed)
        head = bytes(view[: _HEAD - _WRAPPED])
        salt, nonce = head[len(MAGIC) : len(MAGIC) + _SALT], head[-_NONCE:]
        try:
            own = AESGCM(self._key(salt)).decrypt(nonce, view[_HEAD - _WRAPPED : _HEAD], head + about)
        except InvalidTag as error:
            raise Denied("wrong_key", "this was sealed with another key, or its beginning is damaged") from error
        self._adopt(salt)
        body, cipher = view[_HEAD:], AESGCM(own)
        step = _PIECE + _TAG
        last = max(0, (len(body) - 1) // step)
        try:
            return b"".join(
                cipher.decrypt(_counted(n), body[n * step : (n + 1) * step], _place(n == last))
                for n in range(last + 1)
            )
        except InvalidTag as error:
            raise Broken("bad_seal", "sealed bytes were changed or cut off") from error

    def name(self, text: str) -> str:
        """Return a name for `text` that tells nothing of it to those without the key."""
        key = hmac.digest(self._key(self._own_salt()), b"names", "sha256")
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _own_salt(self) -> bytes:
        with self._lock:
            if self._salt is None:
                self._salt = os.urandom(_SALT)
            return self._salt

    def _adopt(self, salt: bytes) -> None:
        """Go on with the salt of what was opened first, so that the same text keeps its name."""
        with self._lock:
            if self._salt is None:
                self._salt = salt

    def _key(self, salt: bytes) -> bytes:
        if self._is_key:
            return self._secret
        with self._lock:
            if salt not in self._keys:
                self._keys[salt] = stretched(self._secret, salt)
            return self._keys[salt]


def sealer_of(passphrase_file: Path | None, key_file: Path | None, setting: str) -> Sealer | None:
    """Return a sealer with the secret of one of two files, None when neither is named.

    Raises
    ------
    Invalid
        When both are, a file cannot be read, or holds no usable secret. `setting` is the section that names them.
    """
    if passphrase_file and key_file:
        raise _unusable(setting, "passphrase_file and key_file exclude each other")
    path = passphrase_file or key_file
    if path is None:
        return None
    name = "passphrase_file" if passphrase_file else "key_file"
    try:
        secret = path.read_bytes().strip() if passphrase_file else path.read_bytes()
    except OSError as error:
        raise _unusable(f"{setting}.{name}", f"{path} cannot be read: {error.strerror}") from error
    if passphrase_file:
        if len(secret) < LEAST_PASSPHRASE:
            raise _unusable(f"{setting}.{name}", f"a passphrase has at least {LEAST_PASSPHRASE} characters")
        return Sealer(secret, is_key=False)
    return Sealer(_decoded(secret, f"{setting}.{name}"), is_key=True)


def stretched(passphrase: bytes, salt: bytes) -> bytes:
    """Return the key that a passphrase makes with a salt."""
    return Scrypt(salt=salt, length=_KEY, n=_SCRYPT_N, r=8, p=1).derive(passphrase)


def key_in(data: bytes) -> bytes | None:
    """Return the key that a file holds, as it is or in base64; None when it holds none."""
    if len(data) == _KEY:
        return data
    try:
        key = b64decode(data.strip(), validate=True)
    except (Base64Error, ValueError):
        return None
    return key if len(key) == _KEY else None


def _decoded(secret: bytes, setting: str) -> bytes:
    key = key_in(secret)
    if key is None:
        raise _unusable(setting, "a key is 32 bytes, as they are or in base64: `openssl rand -base64 32`")
    return key


def _unusable(setting: str, reason: str) -> Invalid:
    pointer = "/" + setting.replace(".", "/")
    return Invalid("invalid_settings", f"{setting}: {reason}", faults=[Fault(pointer, reason)])


def _counted(number: int) -> bytes:
    return number.to_bytes(_NONCE, "big")


def _place(is_last: bool) -> bytes:
    return b"last" if is_last else b"more"
