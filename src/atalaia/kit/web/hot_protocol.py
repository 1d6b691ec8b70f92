"""Small requests to hot doors, answered where uvicorn parses them: without a task, a scope and messages."""

from asyncio import TimerHandle
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from atalaia.kit.web.doors import Answer, headers_of
from atalaia.kit.web.hot import HotFront, Small

_log = structlog.get_logger(__name__)
PATIENCE_S = 30.0
"""Whoever takes nothing of an answer for so long is hung up on: what was not sent would stay in memory."""


class HotProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with a short way to hot doors.

    A request goes the short way when its door can answer at once, its body is small and plain, and no other request
    of its connection is under way. All others go the way of every request, through ASGI; so does one whose door has
    to wait after all.
    """

    cycle: Any
    parser: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = cast(object, self.config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
        self._front: HotFront | None = app if isinstance(app, HotFront) else None
        self._small: Small | None = None
        self._parts: list[bytes] = []
        self._is_leaving = False
        self._watch: TimerHandle | None = None

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._small = self._short_way()
        if self._small is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Gather a part of the body."""
        if self._small is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer, if the request goes the short way."""
        front, small = self._front, self._small
        if front is None or small is None:
            super().on_message_complete()
            return
        body = b"".join(self._parts)
        self._small, self._parts = None, []
        answer = front.at_once(small, self.url, self.headers, body)
        if answer is not None:
            self._reply(answer, small.request_id)
            return
        super().on_headers_complete()
        super().on_body(body)
        super().on_message_complete()
        if self._is_leaving:
            super().shutdown()

    def shutdown(self) -> None:
        """Close, once what has begun is answered."""
        if self._small is None:
            super().shutdown()
        else:
            self._is_leaving = True

    def pause_writing(self) -> None:
        """Send no more for now, and watch whether the caller takes what was sent."""
        super().pause_writing()
        self._watch_caller()

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch_caller(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._watch = self.loop.call_later(PATIENCE_S, self._hang_up_unless_less, left)

    def _hang_up_unless_less(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._watch_caller()
            return
        _log.warning("caller_takes_nothing", client=self.client, nbytes=left, waited_s=PATIENCE_S)
        self.transport.abort()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _short_way(self) -> Small | None:
        is_alone = self.cycle is None or self.cycle.response_complete
        if self._front is None or not is_alone or self.flow.write_paused or self.limit_concurrency is not None:
            return None
        return self._front.small(self.parser.get_method().decode("latin-1"), self.url, self.headers)

    def _reply(self, answer: Answer, request_id: str) -> None:
        stays = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0" and not self._is_leaving
        head = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *headers_of(answer, request_id)):
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n" if stays else b"connection: close\r\n\r\n")
        head.append(answer.body)
        self.transport.write(b"".join(head))
        if not stays:
            self.transport.close()
        self.on_response_complete()
