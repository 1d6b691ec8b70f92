"""Tokens of every kind, good ones and those that nobody may take."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Unavailable

ISSUER = "https://id.example"


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], signature: str = "") -> str:
    """Return a token as nobody's library would make it."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}.{signature}"


class Issuer:
    """An OpenID provider whose documents are read without a network; keys can be turned, and it can be down."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.is_down = False
        self.asked = 0
        self.keys: dict[str, Any] = {}
        self.algorithm = algorithm
        self.turn("one")

    def turn(self, key_id: str) -> None:
        """Sign with a new key from now on, and publish it alone."""
        made: Any = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "RS256": lambda: rsa.generate_private_key(65_537, 2048),
            "EdDSA": Ed25519PrivateKey.generate,
        }[self.algorithm]()
        self.keys = {key_id: made}
        self.key_id = key_id

    def jwks(self) -> dict[str, Any]:
        kind: Any = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}[self.algorithm]
        return {
            "keys": [
                {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": self.algorithm, "use": "sig"}
                for name, key in self.keys.items()
            ]
        }

    def get(self, url: str) -> Mapping[str, Any]:
        self.asked += 1
        if self.is_down:
            raise Unavailable("issuer_unavailable", "down")
        if url.endswith("/.well-known/openid-configuration"):
            return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        assert url == f"{ISSUER}/jwks", url
        return self.jwks()

    def claims(self, **more: Any) -> dict[str, Any]:
        now = now_us() // MICROS
        return {
            "iss": ISSUER,
            "aud": "atalaia",
            "sub": "ada",
            "iat": now,
            "exp": now + 60,
            "roles": ["viewer"],
            **more,
        }

    def token(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        told = {name: value for name, value in self.claims(**claims).items() if value is not None}
        headers = {"kid": self.key_id, **(header or {})}
        return jwt.encode(told, self.keys[self.key_id], algorithm=self.algorithm, headers=headers)
