"""Logs: one event a line, JSON for machines or coloured for a console, with what the request bound to them."""

import logging
import sys
from collections import deque
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from atalaia.core.clock import utc_now
from atalaia.kit.tracing import with_trace

_MOST_WAITING = 100_000
_lines = msgspec.json.Encoder()


def configure_logs(*, level: str = "info", as_json: bool = True) -> None:
    """Send every log line, ours and the libraries', to stderr in one form."""
    stamped: list[Any] = [
        structlog.contextvars.merge_contextvars,
        with_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    errors: list[Any] = [structlog.processors.format_exc_info] if as_json else []
    renderer: Any = structlog.processors.JSONRenderer()
    if not as_json:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*stamped, structlog.stdlib.ExtraAdder(), _without_colour, *errors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    take_over("alembic", "celery", "httpx", "opentelemetry", "mlflow", "uvicorn.access", "matplotlib")
    wrapped = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *stamped, *errors, wrapped],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def log_for_commands() -> None:
    """Send warnings to stderr, plainly: for a command whose output is read. A service configures its own later."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _only_warnings,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def take_over(*names: str) -> None:
    """Hear libraries only when something is wrong, and in our form: some bring handlers of their own on import."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


class EventLog:
    """Info events of the hot path: gathered here, written together many times a second, in the form of all others.

    One line through the logging machinery costs more than answering a request; a gathered one costs a fraction.
    What cannot be written in time is dropped, and counted.

    Parameters
    ----------
    as_json
        As in `configure_logs`. For a console the lines go through the logging machinery after all.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._waiting: deque[dict[str, Any] | msgspec.Struct] = deque(maxlen=_MOST_WAITING)
        self._encoded: deque[tuple[int, bytes]] = deque()
        self._dropped = 0

    def add(self, event: str, **told: Any) -> None:
        """Write an event soon."""
        told["event"], told["timestamp"], told["level"] = event, utc_now(), "info"
        self.put(told)

    def put(self, told: dict[str, Any] | msgspec.Struct) -> None:
        """Write an event soon that says all by itself: its name, when it was, and its level."""
        if len(self._waiting) == _MOST_WAITING:
            self._dropped += 1
        self._waiting.append(told)

    def take(self, events: Sequence[msgspec.Struct], lines: bytes) -> None:
        """Write events soon whose lines of JSON somebody else has made already, for a purpose of their own."""
        if not self._as_json:
            for told in events:
                self.put(told)
        elif sum(count for count, _ in tuple(self._encoded)) > _MOST_WAITING:  # whoever reads our lines is slow
            self._dropped += len(events)
        else:
            self._encoded.append((len(events), lines))

    def flush(self) -> bool:
        """Write what was gathered."""
        self._write_encoded()
        events: list[dict[str, Any] | msgspec.Struct] = []
        with suppress(IndexError):  # not more than there are now: others go on adding
            for _ in range(len(self._waiting)):
                events.append(self._waiting.popleft())
        lost, self._dropped = self._dropped, 0
        if lost:
            lines = {"event": "log_lines_dropped", "count": lost, "timestamp": utc_now(), "level": "warning"}
            events.append(lines)
        if not events or not logging.getLogger().isEnabledFor(logging.INFO):
            return False
        if self._as_json:
            sys.stderr.write(_lines.encode_lines(events).decode())
            sys.stderr.flush()
            return False
        for told in events:
            plain = msgspec.to_builtins(told)
            del plain["timestamp"], plain["level"]
            structlog.get_logger("atalaia.events").info(plain.pop("event"), **plain)
        return False

    def _write_encoded(self) -> None:
        is_wanted = logging.getLogger().isEnabledFor(logging.INFO)
        for _ in range(len(self._encoded)):
            _, lines = self._encoded.popleft()
            if is_wanted:
                sys.stderr.write(lines.decode())
        if is_wanted:
            sys.stderr.flush()


def _only_warnings(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if method in ("debug", "info"):
        raise structlog.DropEvent
    return event


def _without_colour(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn says everything twice
    return event
