"""HTTP doors of access: logins, tokens, users."""

from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from atalaia.core.clock import MICROS, isoformat, now_us
from atalaia.core.errors import Denied, Fault, Invalid
from atalaia.kit.auth.access import Access
from atalaia.kit.auth.gate import Gate
from atalaia.kit.auth.permissions import PUBLIC, Role, needs
from atalaia.kit.auth.routes import caller_of
from atalaia.kit.auth.store import ServiceTokenRow, UserRow
from atalaia.kit.auth.users import Issued, Users
from atalaia.kit.cursors import decode_cursor, encode_cursor
from atalaia.kit.web.wire import Cursor, Limit, RawBody, Wire, decode, optional_time

_NO_STORE = {"Cache-Control": "no-store"}
_MAX_LOGIN_BYTES = 16_384
_LOGIN: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
                    "examples": [{"username": "ada", "password": "correct horse battery"}],
                }
            },
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                    },
                }
            },
        },
    }
}


class _LoginIn(msgspec.Struct):
    username: str
    password: str


_login = msgspec.json.Decoder(_LoginIn)


class TokenOut(Wire):
    """A token, as OAuth 2 answers one."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int = Field(description="Seconds until it ends.")
    token_id: str
    role: Role


class MadeTokenOut(TokenOut):
    """A token for a program, which is shown this once."""

    name: str


class MeOut(Wire):
    """Who is calling."""

    subject: str = Field(description="Empty while authentication is off.")
    role: Role
    permissions: list[str]
    expires_at: str | None


class ServiceTokenIn(Wire):
    """What a token for a program shall be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "prometheus", "role": "agent", "days": 90}]})

    name: str = Field(max_length=128)
    role: Role
    days: float = Field(default=90.0, gt=0, description="How long it is good.")


class ServiceTokenOut(Wire):
    """A token for a program, without the token."""

    token_id: str
    name: str
    role: Role
    created_by: str
    created_at: str
    expires_at: str
    revoked_at: str | None

    @staticmethod
    def of(row: ServiceTokenRow, revoked_at: int | None) -> "ServiceTokenOut":
        """Return a row for the wire."""
        return ServiceTokenOut(
            token_id=row.token_id,
            name=row.name,
            role=Role(row.role),
            created_by=row.created_by,
            created_at=isoformat(row.created_at),
            expires_at=isoformat(row.expires_at),
            revoked_at=optional_time(revoked_at),
        )


class ServiceTokenPage(Wire):
    """Tokens for programs, newest first."""

    items: list[ServiceTokenOut]
    next: str | None


class UserIn(Wire):
    """A new user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "ada", "role": "viewer", "password": "correct horse battery"}]}
    )

    name: str = Field(max_length=128)
    role: Role
    password: str = Field(max_length=1024)


class PasswordIn(Wire):
    """One's own password, old and new."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"old": "correct horse battery", "new": "seven tall towers"}]}
    )

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class UserChange(Wire):
    """What shall change of a user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "ml_engineer"}, {"is_disabled": True}]})

    role: Role | None = None
    password: str | None = Field(default=None, max_length=1024)
    is_disabled: bool | None = None


class UserOut(Wire):
    """A local user."""

    name: str
    role: Role
    is_disabled: bool
    created_at: str

    @staticmethod
    def of(row: UserRow) -> "UserOut":
        """Return a row for the wire."""
        created_at = isoformat(row.created_at)
        return UserOut(name=row.name, role=Role(row.role), is_disabled=row.is_disabled, created_at=created_at)


class UserPage(Wire):
    """Users in order of name."""

    items: list[UserOut]
    next: str | None


def auth_router(users: Users, access: Access, gate: Gate) -> APIRouter:
    """Return the doors of access."""
    router = APIRouter(tags=["auth"])
    _add_login(router, users, access, gate)
    _add_tokens(router, users)
    _add_users(router, users)
    return router


def _add_login(router: APIRouter, users: Users, access: Access, gate: Gate) -> None:
    @router.post("/api/v1/auth/token", response_model=TokenOut, openapi_extra=_LOGIN)
    @needs(PUBLIC, limit="login")
    async def log_in(request: Request, body: RawBody) -> Response:
        """Get a token for a name and a password; as JSON, or as the form of OAuth 2 (grant_type=password)."""
        if not gate.asks:
            raise Denied("auth_off", "authentication is off: no token is needed here, and none is given")
        sent = _sent(body, request.headers.get("content-type", ""))
        peer = request.client.host if request.client else ""
        address = gate.address_of(peer, request.scope["headers"])
        issued = await run_in_threadpool(users.login, sent.username, sent.password, address)
        return JSONResponse(TokenOut(**_told(issued)).model_dump(mode="json"), headers=_NO_STORE)

    @router.get("/api/v1/auth/me")
    @needs("self.read")
    def who_am_i(request: Request) -> MeOut:
        """Show who is calling, and what they may do."""
        caller = caller_of(request)
        until = caller.until_us if caller.subject else None
        return MeOut(
            subject=caller.subject,
            role=caller.role,
            permissions=sorted(caller.permissions),
            expires_at=optional_time(until),
        )

    @router.put("/api/v1/auth/me/password", status_code=204)
    @needs("self.read", limit="login")
    def change_password(body: PasswordIn, request: Request) -> None:
        """Change one's own password. All tokens that one has are refused from now on: log in again."""
        peer = request.client.host if request.client else ""
        address = gate.address_of(peer, request.scope["headers"])
        users.change_own_password(caller_of(request).subject, body.old, body.new, address)

    @router.get("/.well-known/jwks.json")
    @needs(PUBLIC)
    def jwks() -> dict[str, Any]:
        """Show the public key with which tokens of ours can be verified (RFC 7517)."""
        return access.key.jwks()

    _ = log_in, who_am_i, change_password, jwks


def _add_tokens(router: APIRouter, users: Users) -> None:
    @router.post("/api/v1/auth/tokens", status_code=201, response_model=MadeTokenOut)
    @needs("admin.users")
    def make_token(body: ServiceTokenIn, request: Request) -> Response:
        """Make a token for a program. It is shown this once."""
        with users.database.write() as session:
            issued = users.make_token(session, body.name, body.role, body.days, caller_of(request))
        told = MadeTokenOut(**_told(issued), name=body.name).model_dump(mode="json")
        return JSONResponse(told, status_code=201, headers=_NO_STORE)

    @router.get("/api/v1/auth/tokens")
    @needs("admin.users")
    def list_tokens(cursor: Cursor = None, limit: Limit = 100) -> ServiceTokenPage:
        """List the tokens of programs, newest first."""
        before = "".join(decode_cursor(cursor, str) or ())
        with users.database.read() as session:
            rows = users.tokens(session, before, limit + 1)
        following = encode_cursor(rows[limit - 1][0].token_id) if len(rows) > limit else None
        return ServiceTokenPage(items=[ServiceTokenOut.of(*row) for row in rows[:limit]], next=following)

    @router.delete("/api/v1/auth/tokens/{token_id}", status_code=204)
    @needs("admin.users")
    def revoke_token(token_id: str, request: Request) -> None:
        """Refuse a token from now on: one of a program, or any other whose id is known."""
        with users.database.write() as session:
            users.revoke(session, token_id, caller_of(request).subject)

    _ = make_token, list_tokens, revoke_token


def _add_users(router: APIRouter, users: Users) -> None:
    @router.post("/api/v1/auth/users", status_code=201)
    @needs("admin.users")
    def add_user(body: UserIn, request: Request) -> UserOut:
        """Add a local user."""
        with users.database.write() as session:
            actor = caller_of(request).subject
            return UserOut.of(users.add(session, body.name, body.password, body.role, actor))

    @router.get("/api/v1/auth/users")
    @needs("admin.users")
    def list_users(cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> UserPage:
        """List local users in order of name."""
        after = "".join(decode_cursor(cursor, str) or ())
        with users.database.read() as session:
            rows = users.list(session, after, limit + 1)
        following = encode_cursor(rows[limit - 1].name) if len(rows) > limit else None
        return UserPage(items=[UserOut.of(row) for row in rows[:limit]], next=following)

    @router.patch("/api/v1/auth/users/{name}")
    @needs("admin.users")
    def change_user(name: str, body: UserChange, request: Request) -> UserOut:
        """Change role or password of a user, or disable them. All tokens that they have are refused from now on."""
        with users.database.write() as session:
            changed = users.change(
                session,
                name,
                caller_of(request).subject,
                role=body.role,
                password=body.password,
                is_disabled=body.is_disabled,
            )
            return UserOut.of(changed)

    @router.delete("/api/v1/auth/users/{name}", status_code=204)
    @needs("admin.users")
    def remove_user(name: str, request: Request) -> None:
        """Remove a user."""
        with users.database.write() as session:
            users.remove(session, name, caller_of(request).subject)

    _ = add_user, list_users, change_user, remove_user


def _told(issued: Issued) -> dict[str, Any]:
    return {
        "access_token": issued.token,
        "expires_in": max(0, (issued.until_us - now_us()) // MICROS),
        "token_id": issued.token_id,
        "role": issued.role,
    }


def _sent(body: bytes, media: str) -> _LoginIn:
    if len(body) > _MAX_LOGIN_BYTES:
        raise Invalid("body_too_large", "nobody's name and password are so long")
    if media.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return decode(body, _login)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=10)
    except ValueError:
        raise Invalid("invalid_request", "the body is not a form", faults=[Fault("", "not a form")]) from None
    missing = [name for name in ("username", "password") if len(fields.get(name, [])) != 1]
    if missing or fields.get("grant_type", ["password"]) != ["password"]:
        pointer = f"/{missing[0]}" if missing else "/grant_type"
        raise Invalid("invalid_request", f"{pointer}: expected once", faults=[Fault(pointer, "expected once")])
    return _LoginIn(fields["username"][0], fields["password"][0])
