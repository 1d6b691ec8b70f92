"""The short way to hot doors answers as the long one does, whatever comes on a connection, however it is cut."""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from atalaia.core.errors import Busy, Denied, Missing
from atalaia.kit.web import hot_protocol
from atalaia.kit.web.doors import Answer, Call, Gate
from atalaia.kit.web.hot import LARGE_BYTES, in_thread
from atalaia.kit.web.hot_protocol import HotProtocol
from tests.kit.web.fronts import Front, door, echo

Protocol = type[HttpToolsProtocol]
DATE = b"Thu, 26 Nov 2026 12:00:00 GMT"


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Log without the coloured tracebacks of an unconfigured log, which take seconds."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


class Wire(asyncio.Transport):
    """A connection on which what was sent is kept, and of which nobody may take anything."""

    def __init__(self, protocol: HttpToolsProtocol, *, takes: bool = True) -> None:
        super().__init__()
        self.sent = bytearray()
        self.left = 0
        self.is_closed = self.is_aborted = False
        self._protocol, self._takes = protocol, takes

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self.is_closed:  # as a real one does
            return
        self.sent += data
        if not self._takes:
            was, self.left = self.left, self.left + len(data)
            if was <= LARGE_BYTES < self.left:
                self._protocol.pause_writing()

    def take(self, nbytes: int) -> None:
        """Take some of what was sent."""
        self.left -= nbytes
        if self.left <= LARGE_BYTES // 4:
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 4), "sockname": ("127.0.0.1", 5)}.get(name, default)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True
        self._protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connected(protocol_of: Protocol, app: ASGIApp, *, takes: bool = True) -> tuple[HttpToolsProtocol, Wire]:
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    state = ServerState()
    state.default_headers = [(b"date", DATE)]
    protocol = protocol_of(config, state, {}, asyncio.get_running_loop())
    wire = Wire(protocol, takes=takes)
    protocol.connection_made(wire)
    return protocol, wire


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def talk(protocol_of: Protocol, app: ASGIApp, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """Send pieces; return all that was answered, and whether the connection was closed."""

    async def run() -> tuple[bytes, bool]:
        protocol, wire = connected(protocol_of, app)
        for piece in pieces:
            if wire.is_closed:
                break
            protocol.data_received(piece)
            await settle()
        closed = wire.is_closed
        if protocol.parser is not None:
            protocol.connection_lost(None)
        return bytes(wire.sent), closed

    return asyncio.run(run())


def request(path: str = "/now/a", body: bytes = b"x", *more: bytes, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: h", b"X-Request-Id: mine", *more]
    if not any(line.lower().startswith(b"transfer-encoding") for line in more):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def now(call: Call) -> Answer | None:
    """Answer at once, unless the body says that it must wait; refuse, or break, when it says so."""
    body = bytes(call.body)
    if body.startswith(b"wait"):
        return None
    if body.startswith(b"refuse"):
        raise Busy("too_much_in_flight", "come again", retry_after_s=3)
    if body.startswith(b"miss"):
        raise Missing("unknown_series", "who?")
    if body.startswith(b"break"):
        raise ZeroDivisionError
    return echo(call)


def either(call: Call) -> Answer:
    return now(call) or echo(call)


def front(gate: Gate | None = None) -> Front:
    return Front(
        door("/now/{}", either, at_once=now),
        door("/later/{}", either),
        door("/snap", echo, encoding="snappy"),
        gate=gate,
    )


REQUESTS = st.one_of(
    st.builds(
        request,
        st.sampled_from(["/now/a", "/now/a%2Fb", "/now/%E6%B8%A9?q=1", "/later/a", "/elsewhere", "/now/"]),
        st.sampled_from([b"", b"x", b"wait", b"refuse", b"miss", b"break", b"y" * 300]),
    ),
    st.builds(lambda: request("/now/a", b"x", b"Connection: close")),
    st.builds(lambda: request("/now/a", b"\x1f\x8b", b"Content-Encoding: gzip")),
    st.builds(lambda: request("/now/a", b"1\r\nx\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")),
    st.builds(lambda: request("/now/a", b"z" * (LARGE_BYTES + 1))),
    st.builds(lambda: request("/now/a", b"", method="GET")),
    st.builds(lambda: request("/now/a").replace(b"HTTP/1.1", b"HTTP/1.0")),
)


class Guard:
    """A gate that knows some tokens at once, others after a while, and counts whom it let pass."""

    def __init__(self) -> None:
        self.known = {b"Bearer now": "now"}
        self.passed: list[str] = []

    def admit_now(self, call: Call, permission: str) -> bool:
        if not call.authorization:
            raise Denied("unauthenticated", "who?")
        caller = self.known.get(call.authorization)
        if caller is None:
            return False
        if caller == "weak":
            raise Denied("forbidden", f"not {permission}")
        if self.passed.count(caller) >= 2:
            raise Busy("too_many_requests", "enough", retry_after_s=2)
        self.passed.append(caller)
        call.caller = caller
        return True

    async def admit_call(self, call: Call, permission: str) -> None:
        if not self.admit_now(call, permission):
            await asyncio.sleep(0)
            late = {b"Bearer late": "late", b"Bearer weak": "weak"}.get(call.authorization)
            if late is None:
                raise Denied("invalid_token", "no")
            self.known[call.authorization] = late
            self.admit_now(call, permission)

    def give_back(self, call: Call, permission: str) -> None:
        self.passed.remove(call.caller)


TOKENS = st.sampled_from([b"", b"Bearer now", b"Bearer late", b"Bearer weak", b"Bearer bad", b"bearer now", b"two"])


def guarded(sent: bytes, token: bytes) -> bytes:
    """Return a request with a token, or with two."""
    lines = [b"Authorization: Bearer now"] * 2 if token == b"two" else [b"Authorization: " + token] if token else []
    return sent.replace(b"Host: h", b"\r\n".join([b"Host: h", *lines]), 1)


@settings(max_examples=150)
@given(st.lists(st.builds(guarded, REQUESTS, TOKENS), min_size=1, max_size=6))
def test_both_ways_let_the_same_calls_pass(requests: list[bytes]) -> None:
    gates = Guard(), Guard()
    short = talk(HotProtocol, front(gates[0]).app, requests)
    long = talk(HttpToolsProtocol, front(gates[1]).app, requests)
    assert (parsed(short[0]), short[1]) == (parsed(long[0]), long[1])
    assert gates[0].passed == gates[1].passed


def test_a_call_is_refused_before_its_door_sees_it() -> None:
    def act(_: Call) -> Answer:
        raise AssertionError("the door was reached")

    for protocol_of in (HotProtocol, HttpToolsProtocol):
        one = Front(door("/now/{}", act, at_once=act), gate=Guard())
        sent, _ = talk(protocol_of, one.app, [request(), request(body=b"", method="POST")])
        assert [status for status, *_ in parsed(sent)] == [b"HTTP/1.1 401 Unauthorized"] * 2
        assert b'www-authenticate: Bearer realm="atalaia"' in sent


def test_a_large_body_of_nobody_is_not_waited_for() -> None:
    sent = request("/later/a", b"y" * 200_000)[:70_000]
    for protocol_of in (HotProtocol, HttpToolsProtocol):
        answered, closed = talk(protocol_of, front(Guard()).app, [sent])
        assert answered.startswith(b"HTTP/1.1 401 ")
        assert closed


@settings(max_examples=150)
@given(st.lists(REQUESTS, min_size=1, max_size=4), st.data())
def test_the_short_way_answers_as_the_long_one(requests: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(whole) - 1, 1)), max_size=5)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    short, long = talk(HotProtocol, front().app, pieces), talk(HttpToolsProtocol, front().app, pieces)
    assert (parsed(short[0]), short[1]) == (parsed(long[0]), long[1])


@pytest.mark.parametrize("cut", [1, 71, 72, 73, 60_000, -73, -72, -71, -1])
def test_what_comes_with_the_messages_before_is_not_taken_for_a_head(cut: int) -> None:
    whole = request() + request(body=b"z" * (LARGE_BYTES + 1)) + request()
    for pieces in ([whole[:cut], whole[cut:]], [whole[:-80], whole[-80:cut], whole[cut:]] if cut < 0 else [whole]):
        sent, closed = talk(HotProtocol, front().app, [piece for piece in pieces if piece])
        assert [status for status, *_ in parsed(sent)] == [b"HTTP/1.1 200 OK"] * 3
        assert not closed


def test_a_head_without_end_is_given_up_wherever_it_begins() -> None:
    endless = b"POST /now/a HTTP/1.1\r\nX: " + b"y" * (hot_protocol.MAX_HEAD_BYTES + 1)
    for pieces in ([endless], [request() + endless[:9], endless[9:]], [request(body=b"z"), endless]):
        sent, closed = talk(HotProtocol, front().app, pieces)
        assert [status for status, *_ in parsed(sent)][-1] == b"HTTP/1.1 431 Request Header Fields Too Large"
        assert closed


def parsed(sent: bytes) -> list[tuple[bytes, frozenset[bytes], bytes]]:
    """Return status line, headers and body of each answer; the order of headers means nothing."""
    sent = re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"2026-11-26T12:00:00.000000Z"', sent)
    answers: list[tuple[bytes, frozenset[bytes], bytes]] = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        status, *headers = head.split(b"\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        answers.append((status, frozenset(headers), rest[:size]))
        sent = rest[size:]
    return answers


def test_what_is_no_request_is_refused_after_those_before_it() -> None:
    sent, closed = talk(HotProtocol, front().app, [request() + b"rubbish\r\n\r\n"])
    assert [status for status, *_ in parsed(sent)] == [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request"]
    assert closed


def test_a_small_request_makes_no_task() -> None:
    async def run() -> None:
        protocol, wire = connected(HotProtocol, front().app)
        protocol.data_received(request())
        assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")  # before anybody else had a turn
        assert not protocol.tasks
        protocol.connection_lost(None)

    asyncio.run(run())


def test_what_is_noted_of_a_call_is_the_same_on_both_ways() -> None:
    noted: list[list[str]] = []
    for protocol_of in (HotProtocol, HttpToolsProtocol):
        one = front()
        talk(protocol_of, one.app, [request(), request(body=b"miss"), request(body=b"wait")])
        noted.append(sorted(one.noted()))
        assert len(one.logged()) == 3
    assert noted[0] == noted[1]


def test_an_idle_connection_is_closed_after_a_while() -> None:
    async def run() -> None:
        protocol, wire = connected(HotProtocol, front().app)
        protocol.timeout_keep_alive = 0  # type: ignore[assignment]
        protocol.data_received(request())
        assert not wire.is_closed
        await asyncio.sleep(0.01)
        assert wire.is_closed
        protocol.connection_lost(None)

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"x", b"wait"])
def test_a_request_that_has_begun_is_answered_before_the_server_leaves(body: bytes) -> None:
    async def run() -> None:
        protocol, wire = connected(HotProtocol, front().app)
        sent = request(body=body)
        protocol.data_received(sent[:-1])
        protocol.shutdown()
        assert not wire.is_closed
        protocol.data_received(sent[-1:])
        await settle()
        assert parsed(bytes(wire.sent))[0][0] == b"HTTP/1.1 200 OK"
        assert b"connection: close" in wire.sent
        assert wire.is_closed
        protocol.connection_lost(None)

    asyncio.run(run())


def test_an_idle_connection_is_closed_when_the_server_leaves() -> None:
    async def run() -> None:
        protocol, wire = connected(HotProtocol, front().app)
        protocol.data_received(request())
        protocol.shutdown()
        assert wire.is_closed
        protocol.connection_lost(None)

    asyncio.run(run())


# callers that take nothing


async def unread(act: Callable[[Call], Any], check: Callable[[Front, HttpToolsProtocol, Wire], Any]) -> None:
    one = Front(door("/large", act))
    protocol, wire = connected(HotProtocol, one.app, takes=False)
    protocol.data_received(request("/large"))
    for _ in range(50):
        await asyncio.sleep(0.002)
    await check(one, protocol, wire)


def large(_: Call) -> Answer:
    return Answer(b"x" * 1_000_000)


@pytest.mark.parametrize(
    "act", [large, lambda call: in_thread(lambda: large(call))], ids=["at once", "in a thread"]
)
def test_an_answer_that_nobody_takes_counts_as_in_flight_until_the_caller_is_hung_up_on(
    act: Callable[[Call], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_protocol, "PATIENCE_S", 0.3)

    async def check(one: Front, _: HttpToolsProtocol, wire: Wire) -> None:
        assert one.app._inflight == 1_000_000
        assert not wire.is_aborted
        await asyncio.sleep(0.4)
        assert wire.is_aborted
        await settle()
        assert one.app._inflight == 0

    asyncio.run(unread(act, check))


def test_a_slow_caller_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_protocol, "PATIENCE_S", 0.3)

    async def check(one: Front, protocol: HttpToolsProtocol, wire: Wire) -> None:
        for _ in range(9):
            wire.take(100_000)
            await asyncio.sleep(0.08)
        assert not wire.is_aborted
        assert one.app._inflight == 1_000_000
        wire.take(wire.left)
        await settle()
        assert one.app._inflight == 0
        await asyncio.sleep(0.4)
        assert not wire.is_aborted
        protocol.connection_lost(None)

    asyncio.run(unread(large, check))
