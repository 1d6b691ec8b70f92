"""Tokens of an OpenID provider, verified against the keys that it publishes."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import jwt
import structlog

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Denied, Unavailable
from atalaia.kit.auth.permissions import STRENGTH, Role
from atalaia.kit.auth.ports import Documents
from atalaia.kit.auth.principals import Principal
from atalaia.kit.auth.settings import AuthSettings

_log = structlog.get_logger(__name__)
_FRESH_US = 600 * MICROS
"""Keys are read anew after this, so that one which was withdrawn counts no longer."""
_KNOWN_US = 300 * MICROS
"""A token is verified anew after this, whatever its own end."""
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})


class KeySet:
    """The keys of an issuer, read when an unknown one is named, and kept while the issuer is down."""

    def __init__(self, settings: AuthSettings, documents: Documents, now: Callable[[], int] = now_us) -> None:
        self._settings = settings
        self._documents = documents
        self._now = now
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_us = -(1 << 62)
        self._failed = False

    def find(self, key_id: str) -> jwt.PyJWK:
        """Return a key by its id; a missing one is looked for at the issuer, but seldom.

        Raises
        ------
        Denied
            ``invalid_token`` when the issuer has no such key.
        Unavailable
            ``issuer_unavailable`` when no keys are known and the issuer does not answer.
        """
        key = self._keys.get(key_id)
        if key is not None and self._now() - self._asked_us < _FRESH_US:
            return key
        with self._lock:  # one asks for all that wait
            since_us = self._now() - self._asked_us
            is_wanted = key_id not in self._keys or since_us >= _FRESH_US
            if is_wanted and since_us >= self._settings.jwks_pause_s * MICROS:
                self._asked_us = self._now()
                self._read()
        key = self._keys.get(key_id)
        if key is None and self._failed and not self._keys:
            raise Unavailable("issuer_unavailable", "the issuer of the token cannot be asked", retry_after_s=5)
        if key is None:
            raise Denied("invalid_token", "the token is signed by a key that its issuer does not have")
        return key

    def read(self) -> dict[str, jwt.PyJWK]:
        """Return the keys that the issuer publishes now, by id.

        Raises
        ------
        Unavailable
            ``issuer_unavailable``.
        """
        return self._usable(self._documents.get(self._url()))

    def _read(self) -> None:
        try:
            self._keys = self.read()
            self._failed = False
        except AtalaiaError as error:
            self._failed = True
            _log.warning("issuer_unavailable", issuer=self._settings.issuer, reason=error.detail)

    def _url(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        issuer = self._settings.issuer or ""
        found = self._documents.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        url = found.get("jwks_uri")
        if found.get("issuer") != issuer or not isinstance(url, str):
            raise Unavailable("issuer_unavailable", "the discovery document is of another issuer, or names no keys")
        return url

    def _usable(self, document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
        keys: dict[str, jwt.PyJWK] = {}
        entries = document.get("keys")
        for entry in cast(list[Any], entries) if isinstance(entries, list) else []:
            try:
                key = jwt.PyJWK(entry)
            except (jwt.PyJWTError, TypeError, AttributeError, ValueError):
                continue
            is_ours = key.key_type in ("RSA", "EC", "OKP") and key.public_key_use in (None, "sig")
            if is_ours and key.key_id and key.algorithm_name in self._settings.algorithms:
                keys[key.key_id] = key
        if not keys:
            raise Unavailable("issuer_unavailable", "the issuer publishes no key that can be used")
        return keys


class ForeignTokens:
    """Verifies tokens of the issuer that the settings name."""

    def __init__(self, settings: AuthSettings, documents: Documents) -> None:
        self._settings = settings
        self._keys = KeySet(settings, documents)

    def verify(self, token: str, header: Mapping[str, Any]) -> Principal:
        """Return who a token names. Of its header only ``alg``, ``kid`` and ``typ`` are looked at.

        Raises
        ------
        Denied
            ``invalid_token``, or ``no_role`` when it names none that is known here.
        Unavailable
            ``issuer_unavailable``.
        jwt.PyJWTError
            When a claim or the signature is not as it must be.
        """
        algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
        if algorithm not in self._settings.algorithms or not isinstance(key_id, str):
            raise Denied("invalid_token", "the token's algorithm is not allowed here, or it names no key")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise Denied("invalid_token", "this is not an access token")
        key = self._keys.find(key_id)
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm] if algorithm == key.algorithm_name else [key.algorithm_name],
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=self._settings.leeway_s,
            options={"require": ["iss", "aud", "sub", "exp"]},
        )
        role = self._role(claims)
        until = int((float(claims["exp"]) + self._settings.leeway_s) * MICROS)
        until = min(until, now_us() + _KNOWN_US)
        token_id = str(claims.get("jti", ""))[:256]
        return Principal.of(f"oidc:{claims['sub']}"[:256], role, token_id=token_id, until_us=until)

    def _role(self, claims: Mapping[str, Any]) -> Role:
        found = _at(claims, self._settings.role_claim)
        values: list[Any] = []
        if isinstance(found, str):
            values = [*found.split()]
        elif isinstance(found, list):
            values = cast(list[Any], found)
        mapping = self._settings.roles or {role.value: role for role in Role}
        roles = {mapping[value] for value in values if isinstance(value, str) and value in mapping}
        for role in STRENGTH:
            if role in roles:
                return role
        raise Denied("no_role", "the token names no role that is known here")


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim; a name that holds dots itself (a URL, say) comes before the path that it could mean."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = cast(dict[str, Any], found).get(part) if isinstance(found, dict) else None
    return found
