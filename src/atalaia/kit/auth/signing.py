"""Our own tokens: JWTs that the site's Ed25519 key signs."""

from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Denied
from atalaia.core.ids import new_id
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.principals import Principal
from atalaia.kit.keyring import Keyring
from atalaia.kit.keys import SECRETS, make_private, public_text, read_private, thumbprint

ISSUER = "urn:atalaia"
AUDIENCE = "atalaia"
_AHEAD_US = 10 * MICROS
"""How far the clock of the machine that issued a token may be ahead of ours."""
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
        self.key_id = thumbprint(self._public)

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JWK set."""
        x = public_text(self._public)
        key = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.key_id, "alg": "EdDSA", "use": "sig"}
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
            options={"require": _REQUIRED, "verify_iat": False},
        )
        issued = round(float(claims["iat"]) * MICROS)
        if issued > now_us() + _AHEAD_US:
            raise jwt.ImmatureSignatureError("the token is from the future")
        try:
            role = Role(claims["role"])
        except ValueError:
            raise Denied("no_role", "the token names a role that there is not") from None
        until = int(claims["exp"]) * MICROS
        principal = Principal.of(str(claims["sub"]), role, token_id=str(claims["jti"]), until_us=until)
        return principal, issued


def load_key(file: Path | None, folder: Path, keyring: Keyring | None = None) -> SigningKey:
    """Return the site's key: from its file, or from one in the data folder, which is made if need be.

    Raises
    ------
    Invalid
        ``invalid_settings`` when the file holds no Ed25519 private key.
    """
    path = file or folder / SECRETS / "signing_key.pem"
    if file is None and not path.exists():
        make_private(path, keyring)
    return SigningKey(read_private(path, "/auth/signing_key_file", keyring))
