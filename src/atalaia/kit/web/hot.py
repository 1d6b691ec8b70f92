"""The hot path: doors answered by raw ASGI in front of the application, which documents them.

A framework costs several times what these doors do (house decision 3). A door is a function from a call to an
answer; it never touches a database or a lock on the event loop, and may return an awaitable if it has to wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.core.errors import AtalaiaError, Broken, Busy, Invalid
from atalaia.core.ids import RequestIds
from atalaia.kit.logs import EventLog
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.encodings import decoded
from atalaia.kit.web.problems import problem_body

_log = structlog.get_logger(__name__)
JSON = b"application/json"
PROBLEM = b"application/problem+json"
LARGE_BYTES = 64 * 1024
"""Larger bodies are worked on in a thread: the event loop has others to answer."""
PATIENCE_S = 30.0
"""How long to wait for the next part of a body that is large, or has begun."""
_SOON_DECODED = 16 * LARGE_BYTES
"""A small body is decoded on the event loop, unless it becomes larger than this."""
_DECODERS = 2
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Call:
    """One request, whole.

    Attributes
    ----------
    name
        What the path says where the pattern of the door has its ``{}``, decoded; empty without one.
    headers
        As they were sent, names in lower case.
    body
        With its Content-Encoding undone.
    """

    name: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    request_id: str

    def header(self, name: bytes) -> str:
        """Return the first header of that name (lower case), empty without one."""
        for sent, value in self.headers:
            if sent == name:
                return value.decode("latin-1")
        return ""


@dataclass(slots=True)
class Answer:  # not frozen: that would cost more than all else that makes it
    """What a door answers."""

    body: bytes = b""
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()


_T = TypeVar("_T")
Door = Callable[[Call], Answer | Awaitable[Answer]]
Refuse = Callable[[AtalaiaError, Call], Answer]


def problem(error: AtalaiaError, call: Call) -> Answer:
    """Return an error as a problem (RFC 9457)."""
    body = problem_body(error, path=call.path, request_id=call.request_id)
    return Answer(msgspec.json.encode(body), body["status"], PROBLEM, retry_header(error))


def retry_header(error: AtalaiaError) -> Headers:
    """Return the Retry-After of an error, if it has one."""
    if error.retry_after_s is None:
        return ()
    return ((b"retry-after", str(max(1, round(error.retry_after_s))).encode()),)


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A door, and where it stands.

    Attributes
    ----------
    pattern
        The whole path, in which one ``{}`` may stand for one segment, or with `deep` for several, which the door is
        told as they were sent, not decoded.
    route
        What the metrics call it.
    refuse
        Turns an error into an answer.
    encoding
        Content-Encoding of a body that comes without one.
    log
        Whether a line is logged for each call; doors that log more themselves say no.
    """

    method: str
    pattern: str
    route: str
    door: Door
    refuse: Refuse = problem
    log: bool = True
    deep: bool = False
    encoding: str = ""


class HotFront:
    """Answers the calls for which there is a hot door; all others go to the application.

    Parameters
    ----------
    max_body_bytes
        Of one body, as sent and decoded.
    max_inflight_bytes
        Of all bodies that are read or worked on at a time; a call that would exceed it is told to come again.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[HotRoute],
        *,
        telemetry: Telemetry,
        events: EventLog,
        max_body_bytes: int,
        max_inflight_bytes: int,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._events = events
        self._max_body_bytes = max_body_bytes
        self._max_inflight_bytes = max_inflight_bytes
        self._inflight = 0
        self._decoders = asyncio.Semaphore(_DECODERS)
        self._ids = RequestIds()
        self._exact: dict[tuple[str, bytes], HotRoute] = {}
        self._open: list[tuple[bytes, bytes, HotRoute]] = []
        for route in routes:
            before, hole, behind = route.pattern.encode().partition(b"{}")
            if hole:
                self._open.append((before, behind, route))
            else:
                self._exact[route.method, before] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route, name = found
        headers: Headers = scope["headers"]
        declared, encoding, request_id = _looked_up(headers)
        call = Call(name, scope["path"], scope["query_string"], headers, b"", request_id or self._ids.new())
        held = [0]
        try:
            answer = await self._answer(route, call, receive, held, declared, encoding or route.encoding)
        except _GoneError:
            return
        finally:
            self._inflight -= held[0]
        await _send(send, answer, call.request_id)
        self._note(route, call, answer.status, time.perf_counter() - started)

    def _find(self, scope: Scope) -> tuple[HotRoute, str] | None:
        path: bytes = scope.get("raw_path") or b""  # a server may leave it out
        method = scope["method"]
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, ""
        for before, behind, route in self._open:
            if route.method == method and path.startswith(before) and path.endswith(behind):
                segment = path[len(before) : len(path) - len(behind)]
                if segment and (route.deep or b"/" not in segment):
                    return route, segment.decode("latin-1") if route.deep else decoded_segment(segment)
        return None

    async def _answer(
        self, route: HotRoute, call: Call, receive: Receive, held: list[int], declared: int, encoding: str
    ) -> Answer:
        is_read = False
        try:
            self._hold(declared, held)
            call.body = await self._body(receive, held)
            is_read = True
            if encoding and encoding != "identity":
                call.body = await self._decoded(call.body, encoding)
                self._hold(len(call.body) - held[0], held)
            answer = route.door(call)
            return answer if isinstance(answer, Answer) else await answer
        except AtalaiaError as error:
            if isinstance(error, Broken):
                _log.error("broken", code=error.code, detail=error.detail, exc_info=error)
            refusal = route.refuse(error, call)
            # The server reads and drops what is still on its way, so that the caller sees the answer; unless that
            # is too much, or never comes.
            if is_read or not (declared > self._max_body_bytes or error.code == "slow_body"):
                return refusal
            return replace(refusal, headers=[*refusal.headers, (b"connection", b"close")])
        except _GoneError:
            raise
        except Exception as error:
            _log.error("unexpected", path=call.path[:300], request_id=call.request_id, exc_info=error)
            detail = "something broke inside; the log has the details under this request id"
            return route.refuse(Broken("internal_error", detail), call)

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

    async def _decoded(self, body: bytes, encoding: str) -> bytes:
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
                path=call.path[:300],
                status=status,
                ms=round(seconds * 1000, 3),
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


def decoded_segment(segment: bytes | str) -> str:
    """Return a segment of a path as it was meant; what is no UTF-8 is replaced."""
    raw = segment.encode("latin-1") if isinstance(segment, str) else segment
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")


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
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode()), *answer.headers]
    if answer.status != 204:  # which has no body
        headers += [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _looked_up(headers: Headers) -> tuple[int, str, str]:
    """Return length and encoding of the body as declared, and a usable request id; 0 and empty without."""
    length, encoding, request_id = 0, "", ""
    for name, value in headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() and len(value) < 19 else 1 << 62
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
        elif name == b"x-request-id" and not request_id:
            sent = value.decode("latin-1")
            request_id = sent if 0 < len(sent) <= 128 and sent.isascii() and sent.isprintable() else ""
    return length, encoding, request_id


def json_answer(value: Any, status: int = 200) -> Answer:
    """Return a value as JSON."""
    return Answer(msgspec.json.encode(value), status)
