"""The key-encryption keys of a site: one that seals, and earlier ones that still open."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field

from atalaia.core.errors import Fault, Invalid
from atalaia.kit.sealing import LEAST_PASSPHRASE, key_in, stretched

SALT = 16
_ID = 16
_KEY = 32
_NO_SALT = bytes(SALT)
_ABOUT = b"atalaia envelope 1"
_REMEMBERED = 256
"""Keys that were derived from passphrases and are kept; each takes a tenth of a second."""


class EncryptionSettings(BaseModel):
    """What seals secrets, and objects if that is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_file: Path | None = Field(
        default=None, description="File with a key of 32 bytes, raw or in base64; unset, nothing is sealed."
    )
    passphrase_file: Path | None = Field(
        default=None, description="File with a passphrase, from which the key is made instead."
    )
    previous: tuple[Path, ...] = Field(
        default=(), description="Files with earlier keys or passphrases, which still open what they sealed."
    )
    blobs: bool = Field(default=False, description="Whether objects are sealed too: models, history, exports.")
    require: bool = Field(default=False, description="Whether objects that are not sealed are refused.")


@dataclass(frozen=True, slots=True)
class Secret:
    """A key of 32 bytes, or a passphrase."""

    value: bytes
    is_key: bool


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """A key that wraps the keys of envelopes, and what tells it from others."""

    key_id: bytes
    salt: bytes
    cipher: AESGCM
    is_current: bool


class Keyring:
    """Finds the key that an envelope names.

    Parameters
    ----------
    secret
        What seals from now on; None seals nothing.
    previous
        What opens besides.
    salt
        With which a key is made of a passphrase, so that all processes of a site make the same one. Unset, one is
        made up; each envelope tells its own.
    """

    def __init__(self, secret: Secret | None, previous: Sequence[Secret] = (), salt: bytes | None = None) -> None:
        self._secret = secret
        self._all = [*([secret] if secret else []), *previous]
        self._salt = salt or os.urandom(SALT)
        self._lock = threading.Lock()
        self._derived: OrderedDict[tuple[int, bytes], WrappingKey] = OrderedDict()

    @property
    def seals(self) -> bool:
        """Whether there is a key that seals."""
        return self._secret is not None

    def __bool__(self) -> bool:
        """Say whether there is any key."""
        return bool(self._all)

    def current(self) -> WrappingKey:
        """Return the key that seals."""
        if self._secret is None:
            raise AssertionError("nothing seals")
        return self._key(0, _NO_SALT if self._secret.is_key else self._salt)

    def find(self, key_id: bytes, salt: bytes) -> WrappingKey | None:
        """Return the key with this id, None when it is none of ours."""
        for number, secret in enumerate(self._all):
            if secret.is_key == (salt == _NO_SALT):
                key = self._key(number, salt)
                if key.key_id == key_id:
                    return key
        return None

    def _key(self, number: int, salt: bytes) -> WrappingKey:
        with self._lock:
            known = self._derived.get((number, salt))
            if known is None:
                known = self._derived[number, salt] = self._derive(number, salt)
                if len(self._derived) > _REMEMBERED:
                    self._derived.popitem(last=False)
            return known

    def _derive(self, number: int, salt: bytes) -> WrappingKey:
        secret = self._all[number]
        master = secret.value if secret.is_key else stretched(secret.value, salt)
        made = HKDF(SHA256(), length=_KEY + _ID, salt=None, info=_ABOUT).derive(master)
        # A passphrase under another salt is current as well: what it sealed needs no new head.
        is_current = number == 0 and self._secret is not None
        return WrappingKey(made[_KEY:], salt, AESGCM(made[:_KEY]), is_current)


def keyring_of(settings: EncryptionSettings, folder: Path, salt: bytes | None = None) -> Keyring:
    """Return the keys that the settings name; `folder` is the data folder, in which none of them may lie.

    Raises
    ------
    Invalid
        ``invalid_settings`` when a file cannot be read or holds no usable key, or what is asked for needs one.
    """
    if settings.key_file and settings.passphrase_file:
        raise unusable("passphrase_file", "key_file and passphrase_file exclude each other")
    path = settings.key_file or settings.passphrase_file
    name = "key_file" if settings.key_file else "passphrase_file"
    if path is None:
        wanting = next((told for told in ("blobs", "require") if getattr(settings, told)), None)
        if wanting:
            raise unusable(wanting, "needs a key: set encryption.key_file or encryption.passphrase_file")
    previous: list[Secret] = []
    for number, file in enumerate(settings.previous):
        previous += _either(_read(file, folder, f"previous/{number}"), f"previous/{number}")
    if path is None:
        return Keyring(None, previous)
    data = _read(path, folder, name)
    if name == "passphrase_file":
        return Keyring(_passphrase(data, name), previous, salt)
    key = key_in(data)
    if key is None:
        raise unusable(name, "a key is 32 bytes, as they are or in base64: `openssl rand -base64 32`")
    return Keyring(Secret(key, is_key=True), previous)


def unusable(name: str, reason: str) -> Invalid:
    """Return the error for a setting of `encryption` that cannot be used."""
    told = f"encryption.{name.replace('/', '.')}: {reason}"
    return Invalid("invalid_settings", told, faults=[Fault(f"/encryption/{name}", reason)])


def _read(file: Path, folder: Path, name: str) -> bytes:
    if file.resolve().is_relative_to(folder.resolve()):
        raise unusable(name, f"{file} lies in the data folder, beside what it would open; keep it elsewhere")
    try:
        return file.read_bytes()
    except OSError as error:
        raise unusable(name, f"{file} cannot be read: {error.strerror}") from error


def _passphrase(data: bytes, name: str) -> Secret:
    value = data.strip()
    if len(value) < LEAST_PASSPHRASE:
        raise unusable(name, f"a passphrase has at least {LEAST_PASSPHRASE} characters")
    return Secret(value, is_key=False)


def _either(data: bytes, name: str) -> list[Secret]:
    """Return what a file of an earlier secret may be: a key, a passphrase, or one that looks like the other."""
    key = key_in(data)
    found = [Secret(key, is_key=True)] if key is not None else []
    if key is None or len(data.strip()) >= LEAST_PASSPHRASE:
        found.append(_passphrase(data, name))
    return found
