"""Hot doors: what they are told, what they answer, and where they stand. `kit.web.hot` opens them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from atalaia.core.errors import AtalaiaError
from atalaia.kit.web.problems import error_headers, problem_body
from atalaia.kit.web.wire import Body

JSON = b"application/json"
PROBLEM = b"application/problem+json"
Headers = Sequence[tuple[bytes, bytes]]
_encoder = msgspec.json.Encoder()


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
        With its Content-Encoding undone, which leaves a view of the memory that it was undone into.
    authorization
        The header of that name, empty without one; several are joined, which makes no token.
    peer
        The address at the other end of the connection.
    caller
        Who that is, once the gate has found out; empty for anybody.
    """

    name: str
    path: str
    query: bytes
    headers: Headers
    body: Body
    request_id: str
    authorization: bytes = b""
    peer: str = ""
    caller: str = ""

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


Door = Callable[[Call], Answer | Awaitable[Answer]]
Refuse = Callable[[AtalaiaError, Call], Answer]


class Gate(Protocol):
    """Lets calls pass, or raises why not. `admit_now` returns False for a call that has to go to `admit_call`."""

    def admit_now(self, call: Call, permission: str) -> bool:
        """Let a call pass, if that can be said at once."""
        ...

    async def admit_call(self, call: Call, permission: str) -> None:
        """Let a call pass."""
        ...

    def give_back(self, call: Call, permission: str) -> None:
        """Do not count a call that passed, because it comes again."""
        ...


def json_answer(value: Any, status: int = 200) -> Answer:
    """Return a value as JSON."""
    return Answer(_encoder.encode(value), status)


def headers_of(answer: Answer, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return all headers of an answer, of those that every answer has the values too."""
    headers = [(b"x-request-id", request_id.encode()), *answer.headers]
    if answer.status != 204:  # which has no body
        headers += ((b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body)))
    return headers


def problem(error: AtalaiaError, call: Call) -> Answer:
    """Return an error as a problem (RFC 9457)."""
    body = problem_body(error, path=call.path, request_id=call.request_id)
    return Answer(_encoder.encode(body), body["status"], PROBLEM, headers_of_error(error))


def headers_of_error(error: AtalaiaError) -> Headers:
    """Return the headers that go with an error."""
    return tuple((name.lower().encode(), value.encode()) for name, value in error_headers(error).items())


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
    permission
        What its callers must have.
    at_once
        Answers what needs no waiting, and returns None for the rest, which is left to `door`.
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
    permission: str
    refuse: Refuse = problem
    log: bool = True
    deep: bool = False
    encoding: str = ""
    at_once: Callable[[Call], Answer | None] | None = None


Found = tuple[HotRoute, str]
"""A door, and what the path says where its pattern has the ``{}``."""


class DoorPlan:
    """Where the doors stand: finds one by method and raw path."""

    def __init__(self, routes: Iterable[HotRoute]) -> None:
        self._exact: dict[tuple[str, bytes], Found] = {}
        self._open: dict[str, list[tuple[bytes, bytes, HotRoute]]] = {}
        for route in routes:
            before, hole, behind = route.pattern.encode().partition(b"{}")
            if hole:
                self._open.setdefault(route.method, []).append((before, behind, route))
            else:
                self._exact[route.method, before] = (route, "")

    def find(self, method: str, path: bytes) -> Found | None:
        """Return the door at a path, None if there is none."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        for before, behind, route in self._open.get(method, ()):
            if path.startswith(before) and path.endswith(behind):
                segment = path[len(before) : len(path) - len(behind)]
                if segment and (route.deep or b"/" not in segment):
                    if b"%" not in segment and segment.isascii():  # as nearly all are
                        return route, segment.decode()
                    return route, segment.decode("latin-1") if route.deep else decoded_segment(segment)
        return None


def decoded_segment(segment: bytes | str) -> str:
    """Return a segment of a path as it was meant; what is no UTF-8 is replaced."""
    raw = segment.encode("latin-1") if isinstance(segment, str) else segment
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")
