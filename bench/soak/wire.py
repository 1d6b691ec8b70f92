"""A connection of HTTP/1.1 that costs the sender little: one request at a time, the next when it is answered."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

Answered = Callable[[int, bytes], object]
"""Told of the status and the body; of 0 when there was no answer."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def post(path: str, body: bytes, *, key: str | None = None) -> bytes:
    """Return a request with JSON."""
    more = f"Idempotency-Key: {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n{more}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Connection(asyncio.Protocol):
    """Sends requests one after the other.

    Attributes
    ----------
    is_free
        Whether a request may be sent now.
    """

    def __init__(self) -> None:
        self.is_free = False
        self._transport: asyncio.Transport | None = None
        self._answered: Answered | None = None
        self._seen = b""

    async def open(self, port: int) -> bool:
        """Connect to a port of loopback; return whether somebody listens."""
        with suppress(OSError):
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        return self.is_free

    def send(self, request: bytes, answered: Answered) -> None:
        """Send a request; the connection must be free."""
        assert self.is_free
        assert self._transport is not None
        self.is_free, self._answered = False, answered
        self._transport.write(request)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body of the answer."""
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def answered(status: int, body: bytes) -> None:
            if not future.done():
                future.set_result((status, body))

        self.send(request, answered)
        return await future

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_open(self) -> bool:
        """Whether the other side is there."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take requests from now on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_free, self._seen = transport, True, b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Say of a request that is open that nobody answers."""
        self._transport, self.is_free = None, False
        self._answer(0, b"")

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, and hand it on when it is whole."""
        self._seen += data
        head, found, rest = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length is None or len(rest) < int(length[1]):
            return
        self._seen, self.is_free = b"", True
        self._answer(int(head[9:12]), rest)

    def _answer(self, status: int, body: bytes) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status, body)
