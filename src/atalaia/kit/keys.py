"""Ed25519 keys of the site: read from PEM files, or made once and kept for their owner alone."""

import base64
import hashlib
import os
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

from atalaia.core.errors import Fault, Invalid

SECRETS = "secrets"
"""Folder in the data folder that only its owner may read."""
_RAW_BYTES = 32


def read_private(path: Path, setting: str) -> Ed25519PrivateKey:
    """Return the private key in a file; `setting` points to what named it.

    Raises
    ------
    Invalid
        ``invalid_settings`` when the file holds no Ed25519 private key.
    """
    try:
        private = load_pem_private_key(path.read_bytes(), None)
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


def make_private(path: Path) -> None:
    """Write a new private key, unless another process was faster: the first one counts."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keep_secret(path, pem)


def keep_secret(path: Path, secret: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; one that is there already stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


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
