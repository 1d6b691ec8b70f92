"""Secrets of the site, Ed25519 keys most of all: read from files, or made once and kept for their owner alone.

Where there is a key-encryption key, what is made is sealed with it.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from atalaia.core.errors import Broken, Fault, Invalid
from atalaia.kit.envelopes import is_sealed, seal, unseal
from atalaia.kit.keyring import Keyring, unusable

SECRETS = "secrets"
"""Folder in the data folder that only its owner may read."""
DRAFT = ".draft"
"""How the names of secrets end that are being written."""
_RAW_BYTES = 32


def read_private(path: Path, setting: str, keyring: Keyring | None = None) -> Ed25519PrivateKey:
    """Return the private key in a file; `setting` points to what named it.

    Raises
    ------
    Invalid
        ``invalid_settings`` when the file holds no Ed25519 private key, or `keyring` does not open it.
    """
    try:
        private = load_pem_private_key(read_secret(path, keyring), None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise _unusable(f"{path} holds no Ed25519 private key that can be used: {error}", setting) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(f"{path} holds no Ed25519 private key that can be used: it is of another kind", setting)
    return private


def read_public(told: str, setting: str) -> Ed25519PublicKey:
    """Return the public key that `told` is, in base64, or that the file of that name holds.

    Raises
    ------
    Invalid
        ``invalid_settings`` when it is neither.
    """
    try:
        raw = base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))
        if len(raw) == _RAW_BYTES and encoded(raw) == told:
            return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        pass  # then it is the name of a file
    try:
        public = load_pem_public_key(Path(told).read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise _unusable(f"{told[:200]} is no Ed25519 public key, nor a file with one: {error}", setting) from error
    if not isinstance(public, Ed25519PublicKey):
        raise _unusable(f"{told[:200]} holds a public key of another kind than Ed25519", setting)
    return public


def make_private(path: Path, keyring: Keyring | None = None) -> None:
    """Write a new private key, unless another process was faster: the first one counts."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keep_secret(path, pem, keyring)


def read_secret(path: Path, keyring: Keyring | None = None) -> bytes:
    """Return what a file holds, whether it is sealed or not.

    Raises
    ------
    Invalid
        ``invalid_settings`` when it is sealed, and `keyring` does not open it.
    """
    data = path.read_bytes()
    if not is_sealed(data):
        return data
    try:
        return bytes(unseal(keyring or Keyring(None), envelope_of(path), data))
    except Broken as error:
        raise wrong_key(path, error) from error


def keep_secret(path: Path, secret: bytes, keyring: Keyring | None = None) -> None:
    """Write a file that only its owner may read, whole or not at all; one that is there already stays."""
    if keyring is not None and keyring.seals:
        secret = b"".join(seal(keyring, envelope_of(path), secret))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _drafted(path, secret)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def replace_secret(path: Path, stored: bytes) -> None:
    """Put other bytes in the place of a file that only its owner may read, whole or not at all."""
    os.replace(_drafted(path, stored), path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def envelope_of(path: Path) -> str:
    """Return the name under which a secret is sealed."""
    return f"{SECRETS}/{path.name}"


def wrong_key(path: Path, error: Broken, setting: str = "key_file") -> Invalid:
    """Return the error for a secret that our keys do not open; `setting` is what of `encryption` is wrong."""
    if error.code != "unknown_key":
        return unusable(setting, f"{path}: {error.detail}; put a copy of it back")
    return unusable(setting, f"{path} is sealed with another key; name that key here, or in encryption.previous")


def _drafted(path: Path, stored: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=DRAFT)  # for its owner alone
    with os.fdopen(handle, "wb") as out:
        out.write(stored)
        out.flush()
        os.fsync(out.fileno())
    return Path(name)


def public_text(public: Ed25519PublicKey) -> str:
    """Return a public key in base64, the ``x`` of its JWK."""
    return encoded(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def thumbprint(public: Ed25519PublicKey) -> str:
    """Return the id of a key: the thumbprint of its public half (RFC 7638)."""
    told = f'{{"crv":"Ed25519","kty":"OKP","x":"{public_text(public)}"}}'
    return encoded(hashlib.sha256(told.encode()).digest())


def encoded(data: bytes) -> str:
    """Return `data` in base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unusable(reason: str, setting: str) -> Invalid:
    return Invalid("invalid_settings", reason, faults=[Fault(setting, reason)])
