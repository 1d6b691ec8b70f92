"""The gate before the routes of FastAPI, and what the OpenAPI document says of it."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts

from atalaia.core.errors import Denied
from atalaia.kit.acting import act_as
from atalaia.kit.auth.gate import Gate, forbidden
from atalaia.kit.auth.permissions import PERMISSIONS, PUBLIC, Needed, needed_by
from atalaia.kit.auth.principals import ANYBODY, Principal
from atalaia.kit.web.middleware import authorization_of

_GATE = "atalaia_gate"
_SECURITY = [{"bearer": list[str]()}, {"password": list[str]()}]
_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token, however got."},
    "password": {
        "type": "oauth2",
        "description": "A token for a local user.",
        "flows": {"password": {"tokenUrl": "/api/v1/auth/token", "scopes": dict[str, str]()}},
    },
}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
_REFUSALS = {
    "401": {"description": "The caller is not known, or its token counts no longer.", "content": _PROBLEM},
    "403": {"description": "The caller's role does not have the permission.", "content": _PROBLEM},
}


def guard(app: FastAPI, gate: Gate) -> None:
    """Put the gate before every route of an application that `pass_gate` stands in."""
    setattr(app.state, _GATE, gate)


async def pass_gate(request: Request) -> None:
    """Let a request pass that its route and the gate allow; a dependency of the whole application."""
    gate: Gate = getattr(request.app.state, _GATE)
    needed = needed_by(request.scope["route"].endpoint)
    if needed is None:
        raise Denied("forbidden", "this door is open to nobody: it does not say whom it is for")
    scope = request.scope
    peer = scope["client"][0] if scope.get("client") else ""
    principal, taken = await gate.admit(needed, authorization_of(scope["headers"]), peer, scope["headers"])
    scope["principal"] = principal
    act_as(principal.subject)
    scope.get("answer_headers", []).extend(taken.headers)


def caller_of(request: Request) -> Principal:
    """Return who sent a request."""
    return request.scope.get("principal", ANYBODY)


def require(request: Request, permission: str) -> None:
    """Refuse a request that asks for more than its door does.

    Raises
    ------
    Denied
        ``forbidden``.
    """
    if permission not in caller_of(request).permissions:
        raise forbidden(caller_of(request), permission)


def doors_of(app: FastAPI) -> Iterator[tuple[str, str, Needed | None, bool]]:
    """Yield method, path, what it needs, and whether it is documented, for every route of FastAPI."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route if isinstance(context.original_route, APIRoute) else None
        if route is not None:
            for method in sorted(context.methods or ()):
                yield method, context.path or "", needed_by(route.endpoint), bool(context.include_in_schema)


def describe(document: dict[str, Any], app: FastAPI) -> None:
    """Say in an OpenAPI document what every operation needs."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    needed = {(method.lower(), _plain(path)): need for method, path, need, _ in doors_of(app)}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            need = needed.get((method, _plain(path)))
            permission = need.permission if need else PUBLIC
            operation["security"] = [] if permission == PUBLIC else _SECURITY
            operation["x-permission"] = permission
            if permission != PUBLIC:
                operation["x-roles"] = [role.value for role in PERMISSIONS[permission]]
                for status, refusal in _REFUSALS.items():
                    operation["responses"].setdefault(status, refusal)


def _plain(path: str) -> str:
    return path.replace(":ids}", "}").replace(":id}", "}").replace(":path}", "}")
