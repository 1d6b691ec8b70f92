"""An OpenID provider, a real one (oidc-provider), from npm."""

import json
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.journeys.servers import free_port
from tests.parts.processes import NODE, Part


class Provider(Part):
    """A provider that gives tokens to clients, each of which has the role that it is called by.

    Attributes
    ----------
    key
        The private key that it signs with, as nobody else has it.
    """

    def __init__(self, folder: Path, *, algorithm: str = "RS256") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.algorithm = algorithm
        self._config = folder / "provider.json"
        self.new_key("one")
        command: list[str | Path] = ["node", NODE / "provider.mjs", str(self.port), self._config]
        super().__init__(folder, command, self.answers)

    def new_key(self, key_id: str) -> None:
        """Write a new key; the provider has it once it is started anew."""
        self.key: Any
        if self.algorithm == "RS256":
            self.key = rsa.generate_private_key(65_537, 2048)
            jwk = RSAAlgorithm.to_jwk(self.key, as_dict=True)
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())
            jwk = ECAlgorithm.to_jwk(self.key, as_dict=True)
        jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
        jwks = {"keys": [{**jwk, "kid": key_id, "alg": self.algorithm, "use": "sig"}]}
        self._config.write_text(json.dumps({"jwks": jwks, "alg": self.algorithm}))

    def turn(self, key_id: str) -> None:
        """Sign with a new key from now on."""
        self.new_key(key_id)
        self.restart()

    def token(self, role: str, resource: str = "urn:atalaia") -> str:
        """Return an access token, as a program gets one."""
        form = {"grant_type": "client_credentials", "resource": resource}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=(role, "secret"), trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def jwks(self) -> dict[str, Any]:
        """Return the keys as everybody sees them."""
        return httpx.get(f"{self.issuer}/jwks", trust_env=False).json()

    def answers(self) -> bool:
        """Say whether it answers."""
        found = httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False, timeout=2)
        return found.status_code == 200
