"""The calls about access: logins, tokens, users."""

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType, field

from atalaia.connectors.atalaia.answers import Answer, Page
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import segment


class Token(Answer, frozen=True, kw_only=True):
    """A token, which the service shows once. `expires_in` are seconds."""

    access_token: str
    expires_in: int = 0
    token_id: str = ""
    role: str = ""
    name: str | UnsetType = UNSET


class Me(Answer, frozen=True, kw_only=True):
    """Who is calling, and what they may do."""

    subject: str = ""
    role: str = ""
    permissions: list[str] = field(default_factory=list[str])
    expires_at: datetime | None = None


class ServiceToken(Answer, frozen=True, kw_only=True):
    """A token for a program, without the token."""

    token_id: str
    name: str = ""
    role: str = ""
    created_by: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class User(Answer, frozen=True, kw_only=True):
    """A local user."""

    name: str
    role: str = ""
    is_disabled: bool = False
    created_at: datetime | None = None


class AccessCalls:
    """``/auth``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def login(self, name: str, password: str) -> Token:
        """Return a token for a user; it is asked for once, because failures count."""
        return self._connection.send("POST", "/auth/token", Token, {"username": name, "password": password})

    def me(self) -> Me:
        """Return who the client is to the service."""
        return self._connection.get("/auth/me", Me)

    def make_token(self, name: str, role: str, days: float) -> Token:
        """Make a token for a program."""
        return self._connection.send("POST", "/auth/tokens", Token, {"name": name, "role": role, "days": days})

    def tokens(self, *, limit: int = 100, cursor: str | None = None) -> Page[ServiceToken]:
        """Return tokens for programs, newest first."""
        return self._connection.get("/auth/tokens", Page[ServiceToken], _page(limit, cursor))

    def revoke(self, token_id: str) -> None:
        """Have a token refused from now on."""
        self._connection.remove(f"/auth/tokens/{segment(token_id)}")

    def users(self, *, limit: int = 100, cursor: str | None = None) -> Page[User]:
        """Return users in order of name."""
        return self._connection.get("/auth/users", Page[User], _page(limit, cursor))

    def add_user(self, name: str, role: str, password: str) -> User:
        """Add a user."""
        return self._connection.send(
            "POST", "/auth/users", User, {"name": name, "role": role, "password": password}
        )

    def change_user(
        self, name: str, *, role: str | None = None, password: str | None = None, is_disabled: bool | None = None
    ) -> User:
        """Change what is given; tokens that the user has are refused from now on."""
        wanted: dict[str, Any] = {"role": role, "password": password, "is_disabled": is_disabled}
        body = {key: value for key, value in wanted.items() if value is not None}
        return self._connection.send("PATCH", f"/auth/users/{segment(name)}", User, body)

    def remove_user(self, name: str) -> None:
        """Remove a user."""
        self._connection.remove(f"/auth/users/{segment(name)}")


def _page(limit: int, cursor: str | None) -> list[tuple[str, str]]:
    return [("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
