"""Fronts with hot doors, and callers that feed them piece by piece."""

import asyncio
import logging
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from atalaia.kit.logs import EventLog
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.doors import Answer, Call, Door, Gate, HotRoute, json_answer
from atalaia.kit.web.hot import HotFront
from tests.kit.asgi import Answer as Got
from tests.kit.asgi import call

MIB = 2**20
LIMIT = 4 * MIB
INFLIGHT = 8 * MIB


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what no hot door does."""
    if scope["type"] == "http":
        await PlainTextResponse("the application")(scope, receive, send)


class Front:
    """A front with doors that tell what they were told, and all that it notes."""

    def __init__(
        self, *routes: HotRoute, app: ASGIApp = application, gate: Gate | None = None, **limits: Any
    ) -> None:
        self.telemetry = Telemetry()
        self.events = EventLog()
        known: dict[str, Any] = {"max_body_bytes": LIMIT, "max_inflight_bytes": INFLIGHT, **limits}
        self.app = HotFront(app, routes, telemetry=self.telemetry, events=self.events, gate=gate, **known)

    def post(self, target: str, body: Any = b"", **more: Any) -> Got:
        """Call a door; whatever comes of it, nothing may be left in flight."""
        answer = call(self.app, "POST", target, body, **more)
        assert self.app._inflight == 0
        return answer

    def noted(self, name: str = "http_requests_total") -> list[str]:
        text = self.telemetry.render().decode()
        return [line for line in text.splitlines() if line.startswith(f"{name}{{")]

    def logged(self) -> list[dict[str, Any]]:
        with capture_logs() as lines:
            logging.getLogger().setLevel("INFO")
            self.events.flush()
            logging.getLogger().setLevel("WARNING")
        return [dict(line) for line in lines]


def echo(call: Call) -> Answer:
    """Tell what a door was told."""
    told = {
        "name": call.name,
        "path": call.path,
        "query": call.query.decode(),
        "body": bytes(call.body).decode("latin-1"),
    }
    return json_answer({**told, "id": call.request_id})


def size(call: Call) -> Answer:
    return json_answer(len(call.body))


def door(pattern: str = "/door", act: Door = echo, **more: Any) -> HotRoute:
    return HotRoute("POST", pattern, pattern.replace("{}", "{name}"), act, "predict", **more)


def problem_of(answer: Got) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    problem = answer.json()
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["status"] == answer.status
    return answer.status, problem["code"]


class Caller:
    """Calls a front and feeds it by hand."""

    def __init__(self, front: Front, headers: dict[bytes, bytes] | None = None, target: bytes = b"/door") -> None:
        self.sent: list[Message] = []
        self._parts: asyncio.Queue[Message] = asyncio.Queue()
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": target.decode(), "raw_path": target}
        scope |= {"headers": list((headers or {}).items()), "query_string": b""}
        self.task = asyncio.create_task(front.app(scope, self._parts.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def feed(self, body: bytes, *, more: bool = False) -> None:
        self._parts.put_nowait({"type": "http.request", "body": body, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self._parts.put_nowait({"type": "http.disconnect"})
        await self.task

    @property
    def status(self) -> int:
        return self.sent[0]["status"] if self.sent else 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])
