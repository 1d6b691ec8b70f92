"""Our own tokens: JWTs that the site's Ed25519 key signs."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Denied, Fault, Invalid
from atalaia.core.ids import new_id
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.principals import Principal

ISSUER = "urn:atalaia"
AUDIENCE = "atalaia"
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti", "role"]


class SigningKey:
    """Signs and verifies our tokens.

    Attributes
    ----------
    key_id
        The thumbprint of the public key (RFC 7638), the ``kid`` of its tokens.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key()
        raw = self._public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        told = f'{{"crv":"Ed25519","kty":"OKP","x":"{self._x}"}}'
        self.key_id = base64.urlsafe_b64encode(hashlib.sha256(told.encode()).digest()).rstrip(b"=").decode()

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JWK set."""
        key = {"kty": "OKP", "crv": "Ed25519", "x": self._x, "kid": self.key_id, "alg": "EdDSA", "use": "sig"}
        return {"keys": [key]}

    def sign(self, subject: str, role: Role, life_s: float) -> tuple[str, str, int]:
        """Return a new token, its id, and when it ends."""
        issued = now_us()
        until = issued + int(life_s * MICROS)
        token_id = new_id("tok")
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "role": role.value,
            "iat": issued / MICROS,  # with fractions, so that a change a moment later can tell it apart
            "exp": until // MICROS,
            "jti": token_id,
        }
        token = jwt.encode(claims, self._private, algorithm="EdDSA", headers={"kid": self.key_id})
        return token, token_id, until // MICROS * MICROS

    def verify(self, token: str) -> tuple[Principal, int]:
        """Return who a token of ours names, and when it was issued.

        Raises
        ------
        jwt.PyJWTError
            When it is not ours, or not good any more.
        """
        claims = jwt.decode(
            token,
            self._public,
            algorithms=["EdDSA"],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": _REQUIRED},
        )
        try:
            role = Role(claims["role"])
        except ValueError:
            raise Denied("no_role", "the token names a role that there is not") from None
        until = int(claims["exp"]) * MICROS
        principal = Principal.of(str(claims["sub"]), role, token_id=str(claims["jti"]), until_us=until)
        return principal, round(float(claims["iat"]) * MICROS)


def load_key(file: Path | None, folder: Path) -> SigningKey:
    """Return the site's key: from its file, or from one in the data folder, which is made if need be.

    Raises
    ------
    Invalid
        ``invalid_settings`` when the file holds no Ed25519 private key.
    """
    path = file or folder / "secrets" / "signing_key.pem"
    if file is None and not path.exists():
        _make(path)
    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise _unusable(path, str(error)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(path, "it is of another kind")
    return SigningKey(private)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(pem)
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, path)  # another process may have been faster: the first one counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _unusable(path: Path, why: str) -> Invalid:
    reason = f"{path} holds no Ed25519 private key that can be used: {why}"
    return Invalid("invalid_settings", reason, faults=[Fault("/auth/signing_key_file", reason)])
