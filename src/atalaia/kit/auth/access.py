"""Who may come in: verifies tokens, remembers those that it has verified, and watches who is kept out."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
import structlog

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Denied, Unavailable
from atalaia.kit.auth import store
from atalaia.kit.auth.foreign import ForeignTokens
from atalaia.kit.auth.ports import Documents
from atalaia.kit.auth.principals import Principal
from atalaia.kit.auth.remembered import RememberedStanding
from atalaia.kit.auth.settings import AuthSettings
from atalaia.kit.auth.signing import SigningKey, load_key
from atalaia.kit.auth.store import Standing
from atalaia.kit.database import Database
from atalaia.kit.keyring import Keyring
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
MAX_TOKEN_BYTES = 8192
_MOST_KNOWN = 10_000
_SCHEME = b"bearer "
_OWN_SUBJECTS = ("service:", "oidc:")


class Access:
    """Tokens, verified once and then remembered until they end or who they name changes.

    The dictionary of what is known is read by the hot path without a lock. It is dropped whole whenever somebody
    is kept out or let in: verifying anew costs a tenth of a millisecond.

    Parameters
    ----------
    folder
        The data folder, where the key is made that signs our tokens.
    documents
        How the issuer of foreign tokens is read; None takes only our own.
    keyring
        What the key is sealed with in the data folder.
    """

    def __init__(
        self,
        database: Database,
        settings: AuthSettings,
        folder: Path,
        telemetry: Telemetry,
        documents: Documents | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self._database = database
        self._telemetry = telemetry
        self.settings = settings
        self._folder = folder
        self._keyring = keyring
        is_asked = documents is not None and settings.issuer
        self._foreign = ForeignTokens(settings, documents) if documents is not None and is_asked else None
        self.known: dict[bytes, Principal] = {}
        self._standing = Standing(frozenset(), {})
        self._has_failed = False
        self._remembered: RememberedStanding | None = None
        self._loop = Loop("access", self.refresh, every_s=settings.refresh_s)

    @cached_property
    def key(self) -> SigningKey:
        """The key that signs our tokens; it is made when it is first wanted."""
        return load_key(self.settings.signing_key_file, self._folder, self._keyring)

    def start(self, *, may_remember: bool = False) -> None:
        """Read who is kept out, and keep reading.

        With `may_remember`, the list is kept in a file, and read there when the database cannot be asked.

        Raises
        ------
        Invalid
            When the key cannot be used.
        Unavailable
            When it cannot be read who is kept out: nobody may come in before that is known.
        """
        _ = self.key
        self._remembered = RememberedStanding(self._folder / "standing.json") if may_remember else None
        self._take(self._first())
        self._loop.start()

    def stop(self) -> None:
        """Stop reading."""
        self._loop.stop()

    def refresh(self) -> bool:
        """Read anew who is kept out; the last known list holds while the database is down."""
        try:
            fresh = self._read()
        except AtalaiaError as error:
            if not self._has_failed:
                _log.warning("standing_not_read", reason=error.detail)
            self._has_failed = True
            return False
        self._has_failed = False
        self._take(fresh)
        return False

    def _first(self) -> Standing:
        try:
            return self._read()
        except Unavailable:
            found = self._remembered.read() if self._remembered is not None else None
            if found is None:
                raise
            return found

    def _read(self) -> Standing:
        with self._database.read() as session:
            found = store.standing(session, now_us())
        if self._remembered is not None:
            self._remembered.keep(found)
        return found

    def _take(self, fresh: Standing) -> None:
        if fresh != self._standing:
            self._standing, self.known = fresh, {}

    def verify(self, authorization: bytes) -> Principal:
        """Return who an Authorization header names, and remember it.

        Raises
        ------
        Denied
            ``unauthenticated``, ``invalid_token``, ``token_expired`` or ``no_role``.
        Unavailable
            ``issuer_unavailable``.
        """
        try:
            known, standing = self.known, self._standing
            principal = self._verified(authorization, standing)
        except Denied as error:
            self._telemetry.count("auth_refused_total", error.code)
            raise
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[authorization] = principal  # in vain if it was dropped meanwhile, as it must be
        return principal

    def _verified(self, authorization: bytes, standing: Standing) -> Principal:
        if not authorization:
            raise unauthenticated()
        if authorization[: len(_SCHEME)].lower() != _SCHEME or len(authorization) > MAX_TOKEN_BYTES:
            raise Denied("invalid_token", "the header Authorization holds no bearer token that can be read")
        try:
            token = authorization[len(_SCHEME) :].strip().decode("ascii")
            principal, issued = self._of(token, jwt.get_unverified_header(token))
        except jwt.ExpiredSignatureError:
            raise Denied("token_expired", "the token has expired; get a new one") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Denied("invalid_token", "the token is not one that is taken here") from None
        if (
            principal.token_id in standing.revoked
            and principal.token_id
            or not _is_current(principal, issued, standing)
        ):
            raise Denied("invalid_token", "the token counts no longer")
        return principal

    def _of(self, token: str, header: Mapping[str, Any]) -> tuple[Principal, int]:
        if header.get("kid") == self.key.key_id:
            return self.key.verify(token)
        if self._foreign is None:
            raise Denied("invalid_token", "the token is not one that is taken here")
        return self._foreign.verify(token, header), 0


def _is_current(principal: Principal, issued: int, standing: Standing) -> bool:
    if principal.subject.startswith(_OWN_SUBJECTS):
        return True
    valid_from = standing.valid_from.get(principal.subject)
    return valid_from is not None and issued >= valid_from


def unauthenticated() -> Denied:
    """Return the refusal of a caller who did not say who they are."""
    return Denied("unauthenticated", "say who you are: send a token in the header Authorization (Bearer)")
