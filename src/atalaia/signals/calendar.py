"""Which points lie inside known events: an index in memory, read anew when the events, or whom they cover, change.

Whether they did is one number, read from the database at each look. Without events that is all it costs. What comes
again is read from its rule as far as the points reach, and series are looked up only for events that are active in
the time of the points.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.algorithms.calendars.public_holidays import PublicHolidays
from atalaia.algorithms.calendars.recurring import Recurrence
from atalaia.algorithms.calendars.spans import NOTHING, Spans
from atalaia.core.clock import to_us
from atalaia.core.errors import AtalaiaError
from atalaia.core.events import EventScope, KnownEvent
from atalaia.core.points import IntArray, NumberArray
from atalaia.kit.database import Database
from atalaia.signals.store import catalogue
from atalaia.signals.store import events as store

Wanted = NDArray[np.bool_]
"""bool[m], by number: whether an event covers the series."""
FOR_EVER = 1 << 62
_log = structlog.get_logger(__name__)


class Times(Protocol):
    """When an event is."""

    def within(self, start_us: int, end_us: int) -> Spans:
        """Return the stretches that touch [start, end)."""
        ...


@dataclass(frozen=True, slots=True)
class Bounded:
    """Times of which nothing counts before a start or from an end on."""

    times: Times | None
    start_us: int
    end_us: int

    def within(self, start_us: int, end_us: int) -> Spans:
        """Return the stretches that touch [start, end)."""
        if end_us <= self.start_us or start_us >= self.end_us or self.start_us >= self.end_us:
            return NOTHING
        if self.times is None:
            return Spans.of([(self.start_us, self.end_us)])
        first, last = max(start_us, self.start_us), min(end_us, self.end_us)
        found = self.times.within(first, last)
        starts = np.maximum(found.starts, self.start_us)
        return Spans(starts, np.minimum(found.ends, self.end_us))


def times_of(event: KnownEvent) -> Bounded:
    """Return when an event is.

    Raises
    ------
    Invalid
        When what it says of its times cannot be read.
    """
    start = to_us(event.starts_at)
    end = FOR_EVER if event.ends_at is None else to_us(event.ends_at)
    until = FOR_EVER if event.until is None else to_us(event.until)
    if event.recurs is not None:
        return Bounded(Recurrence(event.recurs.rrule, event.recurs.zone, start, end), start, until)
    if event.holidays is not None:
        place = event.holidays
        calendar = PublicHolidays(place.country, place.subdivision, place.zone)
        calendar.check()
        return Bounded(calendar, start, min(end, until))
    return Bounded(None, start, min(end, until))


@dataclass(slots=True)
class _Entry:
    event: KnownEvent
    times: Times
    scope: str
    wanted: Wanted | None = None
    """None until it was looked up."""

    def within(self, start_us: int, end_us: int) -> Spans:
        """Return the stretches that touch [start, end); none if they cannot be read: others count all the same."""
        try:
            return self.times.within(start_us, end_us)
        except AtalaiaError as error:
            _log.error("event_not_read", event_id=self.event.event_id, error=error.detail)
            return NOTHING


@dataclass(frozen=True, slots=True)
class _Index:
    revision: int = 0
    entries: Sequence[_Entry] = field(default=())


@dataclass(frozen=True, slots=True)
class Covering:
    """An event that covers a series at a moment, and the stretch of it that does, in microseconds."""

    event: KnownEvent
    start_us: int
    end_us: int


class Calendar:
    """The known events. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._index = _Index()

    def known(self, numbers: NumberArray, timestamps: IntArray) -> NDArray[np.bool_] | None:
        """Return bool[n], which of n points lie inside an event that covers their series; None for none of them."""
        if not len(numbers):
            return None
        first, last, highest = int(timestamps.min()), int(timestamps.max()), int(numbers.max())
        with self._database.read() as session, self._lock:
            active = self._active(session, first, last + 1, highest)
        known = np.zeros(len(numbers), np.bool_)
        for wanted, spans in active:
            if wanted is None:
                known |= spans.hold(timestamps)
            else:
                own = np.flatnonzero(wanted[numbers])
                known[own] |= spans.hold(timestamps[own])
        return known if known.any() else None

    def covering(self, session: Session, number: int, moment_us: int) -> list[Covering]:
        """Return the events that cover a series at a moment, oldest first."""
        with self._lock:
            found: list[Covering] = []
            for entry in self._entries(session):
                spans = entry.within(moment_us, moment_us + 1)
                around = spans.around(moment_us)
                if around is not None and self._covers(session, entry, number):
                    found.append(Covering(entry.event, *around))
            return found

    def active(self, session: Session, moment_us: int) -> frozenset[str]:
        """Return the ids of the events that are active at a moment, whomever they cover."""
        with self._lock:
            entries = self._entries(session)
            return frozenset(one.event.event_id for one in entries if len(one.within(moment_us, moment_us + 1)))

    def _active(self, session: Session, start: int, end: int, highest: int) -> list[tuple[Wanted | None, Spans]]:
        """Return the stretches that touch [start, end), one for each scope, and the series of the scope."""
        spans: dict[str, list[Spans]] = {}
        wanted: dict[str, Wanted | None] = {}
        for entry in self._entries(session):
            found = entry.within(start, end)
            if len(found):
                spans.setdefault(entry.scope, []).append(found)
                if entry.scope not in wanted:
                    is_all = entry.event.scope.everything
                    wanted[entry.scope] = None if is_all else self._wanted(session, entry, highest)
        return [(wanted[scope], Spans.union(parts)) for scope, parts in spans.items()]

    def _entries(self, session: Session) -> Sequence[_Entry]:
        revision = store.revision(session)
        if revision != self._index.revision:
            kept = {one.event.event_id: one for one in self._index.entries}
            self._index = _Index(revision, _entries_of(store.every(session), kept))
        return self._index.entries

    def _covers(self, session: Session, entry: _Entry, number: int) -> bool:
        return entry.event.scope.everything or bool(self._wanted(session, entry, number)[number])

    def _wanted(self, session: Session, entry: _Entry, highest: int) -> Wanted:
        if entry.wanted is None or len(entry.wanted) <= highest:  # others have come since it was looked up
            size = max(highest, catalogue.highest_number(session)) + 1
            entry.wanted = np.zeros(size, np.bool_)
            numbers = np.array(_numbers(session, entry.event.scope), np.int64)
            entry.wanted[numbers[numbers < size]] = True
        return entry.wanted


def _numbers(session: Session, scope: EventScope) -> Sequence[int]:
    if scope.fleet_id is None and not scope.labels:
        return scope.numbers
    return catalogue.numbers_where(session, fleet_id=scope.fleet_id, labels=scope.labels)


def _entries_of(rows: Sequence[store.EventRow], kept: dict[str, _Entry]) -> list[_Entry]:
    """Return what is known of the events; what was read of the times of those that stay is kept."""
    found: list[_Entry] = []
    for row in rows:
        event = store.event_of(row)
        before = kept.get(event.event_id)
        if before is not None and before.event == event:
            found.append(_Entry(event, before.times, before.scope))
            continue
        try:
            found.append(_Entry(event, times_of(event), str(row.scope)))
        except AtalaiaError as error:  # of a zone that is gone, say: the others count all the same
            _log.error("event_not_read", event_id=event.event_id, error=error.detail)
    return found
