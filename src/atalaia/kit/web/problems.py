"""Errors become `application/problem+json` (RFC 9457), whoever raised them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from atalaia.core.clock import isoformat, now_us
from atalaia.core.errors import HTTP_STATUS, AtalaiaError, Broken, Fault, Invalid, Missing
from atalaia.core.problems import PROBLEMS

_log = structlog.get_logger(__name__)
_MEDIA_TYPE = "application/problem+json"
_STATUS_OF_CODE = {
    "bad_arrow": 400,
    "bad_encoding": 400,
    "bad_protobuf": 400,
    "bad_tensor": 400,
    "body_too_large": 413,
    "invalid_token": 401,
    "login_failed": 401,
    "method_not_allowed": 405,
    "slow_body": 408,
    "token_expired": 401,
    "too_many_points": 413,
    "too_many_series": 413,
    "unauthenticated": 401,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
}
_MAX_FAULTS = 20


class FaultOut(BaseModel):
    """One place in the request that is wrong."""

    pointer: str = Field(description="JSON pointer (RFC 6901).")
    message: str


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What happened and what to do next, for people.")
    instance: str
    code: str = Field(description="Stable name of the problem: decide on it.")
    kind: str = Field(description="missing, conflict, invalid, denied, unavailable, busy, stale or broken.")
    request_id: str
    timestamp: str
    errors: list[FaultOut]


class Problem(JSONResponse):
    """An error as an answer."""

    media_type = _MEDIA_TYPE

    def __init__(self, error: AtalaiaError, *, path: str = "", request_id: str = "") -> None:
        body = problem_body(error, path=path, request_id=request_id)
        super().__init__(body, status_code=body["status"], headers=error_headers(error))

    def render(self, content: Any) -> bytes:
        """Return the body as JSON; what cannot be encoded is replaced."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def problem_body(error: AtalaiaError, *, path: str = "", request_id: str = "") -> dict[str, Any]:
    """Return the problem object of `error`."""
    return {
        "type": f"urn:atalaia:problem:{error.code}",
        "title": PROBLEMS[error.code][1] if error.code in PROBLEMS else error.code,
        "status": _STATUS_OF_CODE.get(error.code, HTTP_STATUS[error.kind]),
        "detail": error.detail,
        "instance": path,
        "code": error.code,
        "kind": error.kind.value,
        "request_id": request_id,
        "timestamp": isoformat(now_us()),
        "errors": [{"pointer": f.pointer, "message": f.message} for f in error.faults[:_MAX_FAULTS]],
    }


def error_headers(error: AtalaiaError) -> dict[str, str]:
    """Return the headers that go with an error: when to come again, and how to say who one is (RFC 6750)."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if _STATUS_OF_CODE.get(error.code) == 401:
        why = ', error="invalid_token"' if error.code in ("invalid_token", "token_expired") else ""
        headers["WWW-Authenticate"] = f'Bearer realm="atalaia"{why}'
    return headers


def methods_at(app: FastAPI, path: str, *, is_fixed: bool = False) -> list[str]:
    """Return the methods of all documented doors at a path; the framework knows those of the first alone.

    With `is_fixed`, of doors whose path has no names in it.
    """
    found: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        pattern: re.Pattern[str] | None = getattr(context, "path_regex", None)
        if pattern is not None and pattern.match(path) and context.include_in_schema:
            found.setdefault(context.path or "", set()).update(context.methods or ())
    # Other patterns match too: a name may stand for a word of a path, and may hold slashes.
    if is_fixed:
        return sorted(found.get(path, ()))
    closest = max(found, key=lambda pattern: (-pattern.count("{"), len(pattern)), default="")
    return sorted(found.get(closest, ()))


def answer(request: Request, error: AtalaiaError) -> Problem:
    """Return `error` as the answer to `request`."""
    return Problem(error, path=request.scope["path"], request_id=request.scope.get("request_id", ""))


def install_problems(app: FastAPI) -> None:
    """Let `app` answer every error as a problem."""

    def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, AtalaiaError)
        if isinstance(error, Broken):
            _log.error("broken", code=error.code, detail=error.detail, exc_info=error)
        return answer(request, error)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, _invalid(error.errors()))

    def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, AtalaiaError):  # FastAPI wraps what reading a body raises
            return answer(request, error.__cause__)
        if error.status_code == 405:
            refusal = Invalid("method_not_allowed", f"{request.method} is not possible here; see /docs")
            problem = answer(request, refusal)
            problem.headers["Allow"] = ", ".join(methods_at(app, request.scope["path"]))
            return problem
        if error.status_code == 404:
            return answer(request, Missing("not_found", "there is no such path; /docs lists those that there are"))
        return answer(request, Invalid("invalid_request", str(error.detail)))

    def unknown(request: Request, error: Exception) -> Response:
        _log.error("unexpected", path=request.scope["path"], exc_info=error)
        detail = "something broke inside; the log has the details under this request id"
        return answer(request, Broken("internal_error", detail))

    app.add_exception_handler(AtalaiaError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unknown)


def _invalid(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    if any(error["type"] == "json_invalid" for error in errors):
        return Invalid(
            "invalid_json",
            "the body is not JSON",
            faults=[Fault("", str(errors[0].get("ctx", {}).get("error", "")))],
        )
    faults = [Fault(_pointer(error["loc"]), str(error["msg"])) for error in errors[:_MAX_FAULTS]]
    detail = "; ".join(f"{fault.pointer or 'body'}: {fault.message}" for fault in faults[:3])
    return Invalid("invalid_request", detail, faults=faults)


def _pointer(location: Sequence[str | int]) -> str:
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path"):
        parts = parts[1:]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
