"""A caller of ASGI applications without a socket, who decides every byte of the request line and of the body."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.types import ASGIApp, Message


@dataclass
class Answer:
    """What came back.

    Attributes
    ----------
    chunks_read
        How many pieces of the body the application asked for.
    raised
        What it raised after it had answered.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks_read: int = 0
    raised: Exception | None = None

    def json(self) -> Any:
        """Return the body decoded."""
        return json.loads(self.body)


def call(
    app: ASGIApp,
    method: str,
    target: str,
    body: Any = b"",
    *,
    chunks: Sequence[bytes] | None = None,
    query: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request; a `body` that is not bytes is sent as JSON, `chunks` without saying how long they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {
        "host": "test",
        "content-type": "application/json",
        **{k.lower(): v for k, v in (headers or {}).items()},
    }
    if chunks is None:
        sent.setdefault("content-length", str(len(data)))
    path, _, asked = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": (urlencode(query) if query else asked).encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    return asyncio.run(_answer(app, scope, list(chunks) if chunks is not None else [data]))


async def _answer(app: ASGIApp, scope: dict[str, Any], waiting: list[bytes]) -> Answer:
    answer = Answer()

    async def receive() -> Message:
        if not waiting:
            return {"type": "http.disconnect"}
        answer.chunks_read += 1
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    try:
        await app(scope, receive, send)
    except Exception as error:
        if not answer.status:
            raise
        answer.raised = error
    return answer
