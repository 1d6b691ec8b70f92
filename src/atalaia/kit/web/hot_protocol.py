"""Small requests to hot doors, answered where uvicorn parses them: without a task, a scope and messages."""

from asyncio import TimerHandle
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from atalaia.kit.web.doors import Answer, Call, HotRoute, headers_of
from atalaia.kit.web.hot import HotFront

_log = structlog.get_logger(__name__)
PATIENCE_S = 30.0
"""Whoever takes nothing of an answer for so long is hung up on: what was not sent would stay in memory."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a request line and its headers, beyond what one read brings."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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
        self._begun: tuple[HotRoute, Call] | None = None
        self._parts: list[bytes] = []
        self._is_leaving = False
        self._is_in_head = self._is_amid = False
        self._begins = 0
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._is_resting = False
        self._rested_at = 0.0
        self._rest: TimerHandle | None = None
        self._watch: TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Read what came; a head that has no end, or that does not end soon, is not waited for."""
        was_amid, self._begins = self._is_amid, 0
        super().data_received(data)
        if not self._is_in_head:
            return
        if self._begins <= (0 if was_amid else 1):  # else what came is of the messages before, too
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            _log.warning("head_too_large", client=self.client)
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(PATIENCE_S, self._hang_up_on_head)

    def on_message_begin(self) -> None:
        """Take what both ways need; what ASGI needs more is made on the long one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_resting = False
        self._is_in_head, self._head_bytes = True, 0
        self._is_amid = True
        self._begins += 1

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        is_alone = self.cycle is None or self.cycle.response_complete
        if self._front is not None and is_alone and not self.flow.write_paused and self.limit_concurrency is None:
            peer = self.client[0] if self.client else ""
            method = self.parser.get_method().decode("latin-1")
            self._begun = self._front.begun(method, self.url, self.headers, peer)
        if self._begun is None:
            self._go_long()

    def on_body(self, body: bytes) -> None:
        """Gather a part of the body."""
        if self._begun is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer, if the request goes the short way."""
        self._is_amid = False
        front, begun = self._front, self._begun
        if front is None or begun is None:
            super().on_message_complete()
            return
        route, call = begun
        body = call.body = b"".join(self._parts)
        self._begun, self._parts = None, []
        answer = front.at_once(route, call)
        if answer is not None:
            self._reply(answer, call.request_id)
            return
        self._go_long()
        super().on_body(body)
        super().on_message_complete()
        if self._is_leaving:
            super().shutdown()

    def shutdown(self) -> None:
        """Close, once what has begun is answered."""
        if self._begun is None:
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
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self._rest is not None:
            self._rest.cancel()
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

    def _hang_up_on_head(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            _log.warning("head_too_slow", client=self.client, waited_s=PATIENCE_S)
            self.transport.close()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _go_long(self) -> None:
        """Let ASGI have the request whose headers are here."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _reply(self, answer: Answer, request_id: str) -> None:
        stays = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0" and not self._is_leaving
        fields = [
            b"%b: %b\r\n" % field for field in (*self.server_state.default_headers, *headers_of(answer, request_id))
        ]
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[answer.status], *fields, end, answer.body)))
        self.server_state.total_requests += 1
        if stays:
            self._rest_now()
        else:
            self.transport.close()

    def _rest_now(self) -> None:
        """Close the connection if nothing comes for a while; one timer serves for many answers."""
        self._is_resting, self._rested_at = True, self.loop.time()
        if self._rest is None:
            self._rest = self.loop.call_later(self.timeout_keep_alive, self._close_if_resting)

    def _close_if_resting(self) -> None:
        self._rest = None
        left = self._rested_at + self.timeout_keep_alive - self.loop.time()
        if self._is_resting and left > 0:
            self._rest = self.loop.call_later(left, self._close_if_resting)
        elif self._is_resting:
            self.timeout_keep_alive_handler()
