"""The trail for those who have no transaction of their own: logins, starts, sums of refusals, journals."""

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy.orm import Session

from atalaia.core.clock import isoformat, now_us
from atalaia.core.errors import AtalaiaError
from atalaia.kit.acting import SYSTEM
from atalaia.kit.database import Database, before_commit
from atalaia.kit.notes import GENESIS, Event, append, head_of
from atalaia.kit.telemetry import Telemetry

_log = structlog.get_logger("atalaia.audit")
_MOST_WAITING = 10_000
_MOST_SUMS = 1_000
_BATCH = 500
_WINDOW_US = 60_000_000
_SUMMED = frozenset({"login_failed"})
"""What may come in floods: the first of a minute is noted, the others together when the minute is over."""
_Key = tuple[str, str, str]


class Trail:
    """Writes events in transactions of their own.

    While the database is down they wait in memory, of which there is a bound, and are written to the log at once.
    """

    def __init__(self, database: Database, telemetry: Telemetry | None = None) -> None:
        self._database = database
        self._telemetry = telemetry
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._sums: dict[_Key, list[int]] = {}
        self._writing = threading.Lock()
        self._summing = threading.Lock()
        self.known: tuple[int, str] = (0, GENESIS)
        """The last event that this process knows of."""

    @property
    def waiting(self) -> int:
        """How many events are not written yet."""
        return len(self._waiting)

    def note(self, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep that `actor` did `action` to `subject`, before this returns if the database can be written."""
        if action in _SUMMED and not self._is_first(action, actor, subject):
            return
        self._put(Event.of(action, subject, detail, actor))
        self.flush()

    def write(self, session: Session, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep it in the transaction of `session`."""
        before_commit(session, append, Event.of(action, subject, detail, actor))

    def did(self, action: str, subject: str, **detail: Any) -> None:
        """Keep that whoever acts here did `action` to `subject`, as `note` does."""
        self._put(Event.of(action, subject, detail))
        self.flush()

    def later(self, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep what the service itself did, soon; for those who must not wait."""
        self._put(Event.of(action, subject, detail, SYSTEM))

    def refused(self, actor: str, permission: str) -> None:
        """Count that a caller was refused for want of a permission; one event a minute tells of all."""
        self._count(("refused", actor, permission))

    def flush(self, *, with_sums: bool = False) -> bool:
        """Write what waits; return whether all of it is written now."""
        self._sum_up(with_sums)
        with self._writing:
            try:
                while self._waiting:
                    self._write()
            except AtalaiaError as error:
                _log.warning("trail_waits", events=len(self._waiting), code=error.code, detail=error.detail)
                return False
        return True

    def look(self) -> None:
        """Learn which event is the last."""
        try:
            with self._database.read() as session:
                self.known = head_of(session)
        except AtalaiaError as error:
            _log.warning("trail_not_read", code=error.code, detail=error.detail)

    def _write(self) -> None:
        events = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
        lost = self._lost
        if lost:
            events.append(Event.of("events_lost", "trail", {"count": lost}, SYSTEM))
        with self._database.write() as session:
            head = append(session, events)
            known = (head.sequence, head.hash)
        self.known = known
        self._lost -= lost
        for _ in range(len(events) - bool(lost)):
            self._waiting.popleft()

    def _put(self, event: Event) -> None:
        _log.info("audit", action=event.action, actor=event.actor, subject=event.subject, told=event.detail)
        if len(self._waiting) >= _MOST_WAITING:
            self._lost += 1
            if self._telemetry is not None:
                self._telemetry.count("audit_events_lost_total")
            return
        self._waiting.append(event)

    def _is_first(self, action: str, actor: str, subject: str) -> bool:
        with self._summing:
            key = (action, actor, subject)
            if key not in self._sums and len(self._sums) < _MOST_SUMS:
                self._sums[key] = [now_us(), 0]
                return True
        self._count(key)
        return False

    def _count(self, key: _Key) -> None:
        with self._summing:
            if key not in self._sums and len(self._sums) >= _MOST_SUMS:
                key = (key[0], "", "others")
            self._sums.setdefault(key, [now_us(), 0])[1] += 1

    def _sum_up(self, all_of_them: bool) -> None:
        if not self._sums:
            return
        ended = now_us() - (0 if all_of_them else _WINDOW_US)
        with self._summing:
            done = {key: told for key, told in self._sums.items() if told[0] <= ended}
            for key in done:
                del self._sums[key]
        for (action, actor, subject), (since, count) in done.items():
            if count:
                told = {"count": count, "since": isoformat(since)}
                self._put(Event.of(f"{action}_often" if action in _SUMMED else action, subject, told, actor))
