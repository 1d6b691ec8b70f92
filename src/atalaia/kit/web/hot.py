"""The hot path: doors answered by raw ASGI in front of the application, which documents them.

A framework costs several times what these doors do (house decision 3). A door is a function from a call to an
answer; it never touches a database or a lock on the event loop, and may return an awaitable if it has to wait.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.core.errors import AtalaiaError, Broken, Busy, Denied, Invalid
from atalaia.core.ids import RequestIds
from atalaia.kit.logs import EventLog
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.tracing import Tracing, TracingSettings, traced_as
from atalaia.kit.web.doors import Answer, Call, Door, DoorPlan, Gate, Headers, HotRoute, Refuse, headers_of
from atalaia.kit.web.encodings import decoded

_log = structlog.get_logger(__name__)
LARGE_BYTES = 64 * 1024
"""Larger bodies are worked on in a thread: the event loop has others to answer."""
PATIENCE_S = 30.0
"""How long to wait for the next part of a body that is large, or has begun."""
_SOON_DECODED = 16 * LARGE_BYTES
"""A small body is decoded on the event loop, unless it becomes larger than this."""
_DECODERS = 2
_LONG_WAY = frozenset((b"content-encoding", b"transfer-encoding", b"upgrade", b"expect"))
"""Headers of requests that are more than a small body."""
_MOST_DIGITS = 18
_T = TypeVar("_T")


class HotFront:
    """Answers the calls for which there is a hot door; all others go to the application.

    Parameters
    ----------
    gate
        Who may pass, and how often; None lets everybody pass.
    max_body_bytes
        Of one body, as sent and decoded.
    has_foreign_pages
        Whether web pages of others may call: the application answers these, which says what browsers want to know.
    logs_paths
        Whether the log tells of paths; they may name series that are hidden.
    max_inflight_bytes
        Of all bodies that are read or worked on at a time, and of large answers that are not taken yet; a call that
        would exceed it is told to come again.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[HotRoute],
        *,
        telemetry: Telemetry,
        events: EventLog,
        gate: Gate | None,
        max_body_bytes: int,
        max_inflight_bytes: int,
        tracing: Tracing | None = None,
        has_foreign_pages: bool = False,
        logs_paths: bool = True,
    ) -> None:
        self._app = app
        self._logs_paths = logs_paths
        self._tracing = tracing or Tracing(TracingSettings())
        self._to_trace = 0
        self._telemetry = telemetry
        self._events = events
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._small_bytes = min(LARGE_BYTES, max_body_bytes)
        self._max_inflight_bytes = max_inflight_bytes
        self._inflight = 0
        self._has_foreign_pages = has_foreign_pages
        self._long_way = _LONG_WAY | {b"origin"} if has_foreign_pages else _LONG_WAY
        self._decoders = asyncio.Semaphore(_DECODERS)
        self._ids = RequestIds()
        self._plan = DoorPlan(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        found = None
        if scope["type"] == "http":
            found = self._plan.find(scope["method"], scope.get("raw_path") or b"")  # a server may leave it out
        if found is None or (self._has_foreign_pages and any(name == b"origin" for name, _ in scope["headers"])):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route, name = found
        headers: Headers = scope["headers"]
        declared, encoding, request_id, token = _looked_up(headers)
        request_id = request_id or self._ids.new()
        call = Call(name, scope["path"], scope["query_string"], headers, b"", request_id, token)
        if self._gate is not None and scope.get("client"):
            call.peer = scope["client"][0]
        held = [0]
        try:
            with self._traced(route, call):
                answer = await self._answer(route, call, receive, held, declared, encoding or route.encoding)
                self._note(route, call, answer.status, time.perf_counter() - started)
            call.body = b""
            self._inflight += len(answer.body) - held[0]
            held[0] = len(answer.body)
            await _send(send, answer, call.request_id)
        except _GoneError:
            return
        finally:
            self._inflight -= held[0]

    def begun(self, method: str, target: bytes, headers: Headers, peer: str = "") -> tuple[HotRoute, Call] | None:
        """Return the call whose headers these are, and its door, if that may answer it at once.

        Its body, which is still to come, is plain and small. Nobody else's is in flight while it is answered, so
        that it is not counted as such.
        """
        raw, _, query = target.partition(b"?")
        found = self._plan.find(method, raw)
        if found is None or found[0].at_once is None or found[0].encoding:
            return None
        request_id, token, parent = "", b"", b""
        for name, value in headers:
            if name == b"content-length":
                if _length(value) > self._small_bytes:
                    return None
            elif name == b"x-request-id":
                request_id = request_id or _usable(value)
            elif name == b"authorization":
                token = token + b"," + value if token else value
            elif name == b"traceparent":
                parent = value
            elif name in self._long_way:
                return None
        if self._tracing.wants(parent):
            self._to_trace += 1
            return None
        path = unquote(raw.decode("latin-1")) if b"%" in raw else raw.decode("latin-1")
        return found[0], Call(found[1], path, query, headers, b"", request_id or self._ids.new(), token, peer)

    def at_once(self, route: HotRoute, call: Call) -> Answer | None:
        """Answer a call whose small body is here; None when its door, or the gate, has to wait for something."""
        started = time.perf_counter()
        gate = self._gate
        try:
            if gate is not None and not gate.admit_now(call, route.permission):
                return None
            answer = route.at_once(call) if route.at_once else None
            if answer is None and gate is not None:
                gate.give_back(call, route.permission)
        except Exception as error:
            answer = _refused(route, call, error)
        if answer is not None:
            self._note(route, call, answer.status, time.perf_counter() - started)
        return answer

    def _traced(self, route: HotRoute, call: Call) -> AbstractContextManager[Any]:
        parent = call.header(b"traceparent").encode("latin-1")
        if self._to_trace:  # this one was sent the long way to be traced, or another that is as good
            self._to_trace -= 1
        elif not self._tracing.wants(parent):
            return nullcontext()
        return self._tracing.request(route.method, route.route, parent)

    async def _answer(
        self, route: HotRoute, call: Call, receive: Receive, held: list[int], declared: int, encoding: str
    ) -> Answer:
        is_read = False
        try:
            if self._gate is not None:
                await self._gate.admit_call(call, route.permission)
            self._hold(declared, held)
            body = call.body = await self._body(receive, held)
            is_read = True
            if encoding and encoding != "identity":
                call.body = await self._decoded(body, encoding)
                self._hold(len(call.body) - held[0], held)
            answer = route.door(call)
            return answer if isinstance(answer, Answer) else await answer
        except _GoneError:
            raise
        except Exception as error:
            refusal = _refused(route, call, error)
            # The server reads and drops what is still on its way, so that the caller sees the answer; unless that
            # is too much, or never comes.
            slow = isinstance(error, AtalaiaError) and error.code == "slow_body"
            most = LARGE_BYTES if isinstance(error, Denied) else self._max_body_bytes
            if is_read or not (declared > most or slow):
                return refusal
            return replace(refusal, headers=[*refusal.headers, (b"connection", b"close")])

    async def _body(self, receive: Receive, held: list[int]) -> bytes:
        message = await (_more_soon(receive) if held[0] > LARGE_BYTES else _more(receive))
        body: bytes = message.get("body", b"")
        if len(body) > held[0]:  # its length was not declared
            self._hold(len(body) - held[0], held)
        if not message.get("more_body", False):
            return body
        parts, size = [body], len(body)
        while message.get("more_body", False):
            message = await _more_soon(receive)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._hold(size - held[0], held)
        return b"".join(parts)

    async def _decoded(self, body: bytes, encoding: str) -> memoryview:
        limit = self._max_body_bytes
        if len(body) <= LARGE_BYTES:
            try:
                return decoded(body, encoding, min(limit, _SOON_DECODED))
            except Invalid as error:
                if error.code != "body_too_large" or limit <= _SOON_DECODED:
                    raise
        async with self._decoders:  # so that bodies that are not counted yet are few
            return await run_in_threadpool(decoded, body, encoding, limit)

    def _hold(self, more: int, held: list[int]) -> None:
        """Count bytes as in flight; refuse what is too much for one body, or for now."""
        if more <= 0:
            return
        if held[0] + more > self._max_body_bytes:
            limit = self._max_body_bytes // 2**20
            raise Invalid("body_too_large", f"a body may have at most {limit} MiB; send it in smaller parts")
        if self._inflight + more > self._max_inflight_bytes and self._inflight > held[0]:
            raise Busy("too_much_in_flight", "too many bytes are being worked on; try again", retry_after_s=1)
        self._inflight += more
        held[0] += more

    def _note(self, route: HotRoute, call: Call, status: int, seconds: float) -> None:
        self._telemetry.requests.note(route.method, route.route, status, seconds)
        if route.log or status >= 400:
            self._events.add(
                "request",
                request_id=call.request_id,
                method=route.method,
                path=call.path[:300] if self._logs_paths else route.route,
                status=status,
                ms=round(seconds * 1000, 3),
                **traced_as(),
            )


async def in_thread(work: Callable[[], Answer]) -> Answer:
    """Do the work of a door in a thread."""
    return await run_in_threadpool(work)


async def in_thread_of(work: Callable[[Call], _T], call: Call) -> _T:
    """Do a part of the work of a door in a thread."""
    return await run_in_threadpool(work, call)


async def through(door: Door, request: Request, *, name: str = "", refuse: Refuse | None = None) -> Response:
    """Answer a request that came through the application by a hot door; errors are raised without `refuse`."""
    raw: list[tuple[bytes, bytes]] = request.scope["headers"]
    query: bytes = request.scope["query_string"]
    request_id: str = request.scope.get("request_id", "")
    call = Call(name, request.url.path, query, raw, await request.body(), request_id)
    principal = request.scope.get("principal")
    call.caller = principal.subject if principal is not None else ""
    try:
        answer = door(call)
        if not isinstance(answer, Answer):
            answer = await answer
    except AtalaiaError as error:
        if refuse is None:
            raise
        answer = refuse(error, call)
    response = Response(answer.body, answer.status, media_type=answer.content_type.decode())
    for header, value in answer.headers:
        response.headers[header.decode()] = value.decode()
    return response


class _GoneError(Exception):
    """The caller went away."""


async def _more(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _GoneError
    return message


async def _more_soon(receive: Receive) -> Message:
    """Return the next part of a body: whoever sends none may not hold many bytes in flight for ever."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _more(receive)
    except TimeoutError:
        detail = f"the rest of the body did not come within {PATIENCE_S:g} s"
        raise Invalid("slow_body", detail) from None


async def _send(send: Send, answer: Answer, request_id: str) -> None:
    """Send an answer; a large one counts as sent once its caller has taken nearly all of it."""
    is_large = len(answer.body) > LARGE_BYTES
    headers = headers_of(answer, request_id)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": is_large})
    if is_large:
        await send({"type": "http.response.body", "body": b""})  # the server lets us wait here for a slow caller


def _refused(route: HotRoute, call: Call, error: Exception) -> Answer:
    """Answer with an error; one that is ours to mend is logged."""
    if not isinstance(error, AtalaiaError):
        _log.error("unexpected", path=call.path[:300], request_id=call.request_id, exc_info=error)
        detail = "something broke inside; the log has the details under this request id"
        return route.refuse(Broken("internal_error", detail), call)
    if isinstance(error, Broken):
        _log.error("broken", code=error.code, detail=error.detail, exc_info=error)
    return route.refuse(error, call)


def _looked_up(headers: Headers) -> tuple[int, str, str, bytes]:
    """Return the declared length and encoding of the body, a usable request id, and the token."""
    length, encoding, request_id, token = 0, "", "", b""
    for name, value in headers:
        if name == b"content-length":
            length = _length(value)
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
        elif name == b"x-request-id" and not request_id:
            request_id = _usable(value)
        elif name == b"authorization":
            token = token + b"," + value if token else value
    return length, encoding, request_id, token


def _length(value: bytes) -> int:
    """Return a declared length, something huge for one that is none."""
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else 1 << 62


def _usable(value: bytes) -> str:
    """Return the request id that a caller sent, empty for one that is of no use."""
    sent = value.decode("latin-1")
    return sent if 0 < len(sent) <= 128 and sent.isascii() and sent.isprintable() else ""
