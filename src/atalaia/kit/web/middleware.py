"""ASGI layers around the application: ids in paths, request ids, limits, metrics and the access log."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import nullcontext
from typing import Any
from urllib.parse import unquote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.core.errors import AtalaiaError, Invalid
from atalaia.core.ids import new_id
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.tracing import Tracing, TracingSettings
from atalaia.kit.web.problems import Problem

_log = structlog.get_logger("atalaia.http")
Identify = Callable[[bytes], Awaitable[object]]
"""Given the header Authorization, raises unless it names somebody."""
_QUIET = frozenset({"/health", "/metrics", "/api/v1/liveness", "/api/v1/readiness"})


class Front:
    """The outermost layer.

    * A slash that the caller wrote as ``%2F`` stays part of its path segment, so that series ids may hold one.
    * Every request has an id, the caller's ``X-Request-Id`` if it sent a usable one.
    * A body over the limit is refused before it is read, or as soon as it has grown too large.
    * A large body is read only of a caller whom `identify` knows; it raises for others.
    * Requests are counted and timed by route; the log tells of the path, unless that may name what is hidden.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        telemetry: Telemetry,
        max_body_bytes: int,
        identify: Identify | None = None,
        tracing: Tracing | None = None,
        logs_paths: bool = True,
    ) -> None:
        self._app = app
        self._logs_paths = logs_paths
        self._identify = identify
        self._tracing = tracing or Tracing(TracingSettings())
        self._telemetry = telemetry
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _keep_encoded_slashes(scope)
        headers = Headers(scope=scope)
        request_id = scope["request_id"] = _request_id(headers)
        more: list[tuple[str, str]] = []
        scope["answer_headers"] = more
        started = time.perf_counter()
        status = 500

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = MutableHeaders(scope=message)
                told["X-Request-Id"] = request_id
                for name, value in (*_said_with(scope["path"], told.get("content-type", "")), *more):
                    told[name] = value
            await send(message)

        parent = headers.get("traceparent", "").encode("latin-1")
        is_traced = scope["path"] not in _QUIET and self._tracing.wants(parent)
        opened = self._tracing.request(scope["method"], "", parent) if is_traced else nullcontext()
        with structlog.contextvars.bound_contextvars(request_id=request_id), opened as span:
            try:
                await self._limited(scope, headers, receive, reply)
            finally:
                self._note(scope, status, time.perf_counter() - started)
                if span is not None:
                    span.update_name(f"{scope['method']} {_route(scope)}")
                    span.set_attributes({"http.route": _route(scope), "http.response.status_code": status})

    async def _limited(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        refusal = await self._refusal(scope, headers)
        if refusal is not None:
            problem = Problem(refusal, path=scope["path"], request_id=scope["request_id"])
            problem.headers["Connection"] = "close"
            await problem(scope, receive, send)
            return
        seen = 0
        is_whole = False

        async def counted() -> Message:
            nonlocal seen, is_whole
            message = await (receive() if is_whole else _soon(receive))
            seen += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if seen > self._max_body_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    async def _refusal(self, scope: Scope, headers: Headers) -> AtalaiaError | None:
        """Return why the body of a request is not even begun."""
        told = headers.get("content-length", "0")
        length = 0 if not told.isdecimal() else int(told) if len(told) <= _MAX_DIGITS else 1 << 62
        if length > self._max_body_bytes:
            return self._too_large()
        if self._identify is not None and (length > _LARGE_BYTES or "transfer-encoding" in headers):
            try:
                await self._identify(authorization_of(scope["headers"]))
            except AtalaiaError as error:
                return error
        return None

    def _too_large(self) -> Invalid:
        limit = self._max_body_bytes // 2**20
        return Invalid("body_too_large", f"a body may have at most {limit} MiB; send it in smaller parts")

    def _note(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        path = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._telemetry.requests.note(method, path, status, seconds)
        if path not in _QUIET:
            told = scope["path"][:300] if self._logs_paths else path
            _log.info("request", method=method, path=told, status=status, ms=round(seconds * 1000, 2))


async def _soon(receive: Receive) -> Message:
    """Return the next part of a body: whoever sends none may not hold a request open for ever."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await receive()
    except TimeoutError:
        raise Invalid("slow_body", f"the rest of the body did not come within {PATIENCE_S:g} s") from None


def _said_with(path: str, media: str) -> Iterator[tuple[str, str]]:
    """Yield the headers that keep browsers from doing more with an answer than is meant."""
    yield "Referrer-Policy", "no-referrer"
    yield "Content-Security-Policy", _PAGE_POLICY if media.startswith("text/html") else _DATA_POLICY
    if path.startswith("/api/v1/auth"):
        yield "Cache-Control", "no-store"


PATIENCE_S = 30.0
"""How long to wait for the next part of a body."""
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The documentation of the API starts itself from a script inside its page."""
_LARGE_BYTES = 64 * 1024
_MAX_DIGITS = 18
_CONVERTOR = re.compile(":ids?}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: MutableMapping[str, Any]) -> str:
    route = scope.get("route")
    return _CONVERTOR.sub("}", route.path) if isinstance(route, Route) else "unmatched"


def authorization_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the header Authorization, empty without one; several are joined, which makes no token."""
    return b",".join([value for name, value in headers if name == b"authorization"])


def _keep_encoded_slashes(scope: MutableMapping[str, Any]) -> None:
    raw: bytes | None = scope.get("raw_path")
    if raw and b"%2" in raw:
        text = raw.split(b"?")[0].decode("ascii", "replace")
        kept = text.replace("%25", "%2525").replace("%2F", "%252F").replace("%2f", "%252F")
        scope["path"] = unquote(kept)


def _request_id(headers: Headers) -> str:
    sent = headers.get("x-request-id", "")
    usable = 0 < len(sent) <= 128 and sent.isascii() and sent.isprintable()
    return sent if usable else new_id("req")
