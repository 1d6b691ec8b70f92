"""The use cases of known events: what people say of them is checked, kept, and noted in the audit trail.

An event never changes what was: anomalies that are there stay, and models keep what they have learnt from its time.
From the next round of scoring on its points count for nothing, and no later training learns from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from atalaia.algorithms.calendars.recurring import Recurrence
from atalaia.core.clock import MICROS, from_us, now_us, to_us
from atalaia.core.errors import Conflict, Fault, Invalid, Missing
from atalaia.core.events import EventKind, EventScope, HolidayCalendar, KnownEvent, Recurs
from atalaia.core.ids import new_id
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import serialize
from atalaia.kit.erasures import Subject
from atalaia.kit.mentions import Mentions
from atalaia.kit.notes import note
from atalaia.kit.privacy import MASK
from atalaia.signals.calendar import times_of
from atalaia.signals.service import Signals
from atalaia.signals.store import catalogue
from atalaia.signals.store import events as store

_ERASED = "(erased)"
"""Stands for a title that named a subject whose data were erased."""
_ROWS = 500


@dataclass(frozen=True, slots=True)
class AskedScope:
    """Which series an event is to cover: one of these; labels are written ``name:value``."""

    everything: bool = False
    fleet_id: str | None = None
    series_ids: Sequence[str] | None = None
    labels: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class AskedEvent:
    """An event as somebody asks for it; times in microseconds."""

    kind: EventKind
    title: str
    scope: AskedScope
    start_us: int
    end_us: int | None = None
    recurs: Recurs | None = None
    holidays: HolidayCalendar | None = None


class KnownEvents:
    """Keeps known events."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals
        self.database = signals.database

    def add(self, session: Session, asked: AskedEvent) -> KnownEvent:
        """Keep an event.

        Raises
        ------
        Invalid, Missing, Conflict
            When its times or its scope cannot be used, a series or fleet is unknown, or there are too many events.
        """
        event = KnownEvent(
            event_id=new_id("evt"),
            kind=asked.kind,
            title=self.signals.privacy.note(asked.title),
            scope=self._scope(session, asked.scope),
            starts_at=from_us(asked.start_us),
            ends_at=self._end(asked),
            until=None,
            created_at=from_us(now_us()),
            recurs=asked.recurs,
            holidays=asked.holidays,
        )
        again = times_of(event).times
        if isinstance(again, Recurrence):
            again.check()
        serialize(session, "known events")
        most = self.signals.settings.max_known_events
        if store.count(session) >= most:
            raise Conflict("too_many_events", f"there are {most} known events already; delete some that are over")
        row = _row_of(event)
        session.add(row)
        store.changed(session)
        times = {"from": event.starts_at, "to": event.ends_at, **row.repeats}
        note(session, "event_added", row.id, kind=row.kind, title=row.title, scope=row.scope, times=times)
        session.flush()
        return event

    def page(
        self,
        session: Session,
        *,
        active_at_us: int | None,
        series_id: str | None,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[KnownEvent], str | None]:
        """Return events, newest first: those that are active at a moment, or cover a series, or all."""
        row = None if series_id is None else self.signals.catalogue.row(session, series_id)
        active = None if active_at_us is None else self.signals.calendar.active(session, active_at_us)
        keys = decode_cursor(cursor, str)
        before: str | None = keys[0] if keys else None
        found: list[KnownEvent] = []
        while len(found) <= limit:
            rows = store.page(session, before=before, limit=_ROWS)
            some = [store.event_of(one) for one in rows if active is None or one.id in active]
            found += [one for one in some if row is None or one.scope.covers(row.number, row.fleet_id, row.labels)]
            if len(rows) < _ROWS:
                break
            before = rows[-1].id
        return page_of(found, limit, lambda event: encode_cursor(event.event_id))

    def get(self, session: Session, event_id: str) -> KnownEvent:
        """Return one event, or raise `Missing`."""
        return store.event_of(self._row(session, event_id))

    def change(self, session: Session, event_id: str, *, title: str | None, until_us: int | None) -> KnownEvent:
        """Call an event something else, or end it: nothing of it counts from a moment on.

        Raises
        ------
        Missing, Invalid
            When there is no such event, or the moment is not after its start.
        """
        row = self._row(session, event_id)
        if until_us is not None and until_us <= row.starts_at:
            raise _refused("/until", "it must lie after the start; an event that never was is deleted")
        row.until = row.until if until_us is None else until_us
        row.title = row.title if title is None else self.signals.privacy.note(title)
        store.changed(session)
        told = None if until_us is None else from_us(until_us)
        note(session, "event_changed", row.id, title=row.title, until=told)
        session.flush()
        return store.event_of(row)

    def remove(self, session: Session, event_id: str) -> None:
        """Delete an event; points of its time are learnt from the next training on, or raise `Missing`."""
        row = self._row(session, event_id)
        session.delete(row)
        store.changed(session)
        note(session, "event_deleted", row.id, kind=row.kind, title=row.title)

    def is_active(self, session: Session) -> frozenset[str]:
        """Return the ids of the events that are active now."""
        return self.signals.calendar.active(session, now_us())

    def names(self, session: Session, events: Sequence[KnownEvent]) -> dict[int, str]:
        """Return the ids of the series that events name, by number."""
        numbers = sorted({number for event in events for number in event.scope.numbers})
        return catalogue.names_of(session, numbers)

    def _row(self, session: Session, event_id: str) -> store.EventRow:
        row = session.get(store.EventRow, event_id) if len(event_id) <= 32 else None
        if row is None:
            raise Missing("unknown_event", f"there is no known event {event_id[:40]!r}")
        return row

    def _end(self, asked: AskedEvent) -> Any:
        end_us = asked.end_us
        if asked.recurs is not None and asked.holidays is not None:
            raise _refused("/holidays", "an event has a recurrence or a calendar of holidays, not both")
        if end_us is None and asked.kind is EventKind.DEPLOY and asked.holidays is None:
            end_us = asked.start_us + int(self.signals.settings.deploy_event_s * MICROS)
        if end_us is None and asked.holidays is None:
            raise _refused("/to", "expected: only a deploy and a calendar of holidays go without an end")
        if end_us is not None and end_us <= asked.start_us:
            raise _refused("/to", "it must lie after `from`")
        return None if end_us is None else from_us(end_us)

    def _scope(self, session: Session, asked: AskedScope) -> EventScope:
        said = [
            asked.everything,
            asked.fleet_id is not None,
            asked.series_ids is not None,
            asked.labels is not None,
        ]
        if sum(said) != 1:
            raise _refused("/scope", "expected one of `everything`, `fleet_id`, `series_ids` and `labels`")
        if asked.fleet_id is not None:
            self.signals.catalogue.members(session, asked.fleet_id)
            return EventScope(fleet_id=asked.fleet_id)
        if asked.series_ids is not None:
            return EventScope(numbers=self._numbers(session, asked.series_ids))
        if asked.labels is not None:
            return EventScope(labels=self._labels(asked.labels))
        return EventScope(everything=True)

    def _numbers(self, session: Session, series_ids: Sequence[str]) -> tuple[int, ...]:
        if not series_ids:
            raise _refused("/scope/series_ids", "it names no series")
        hidden = self.signals.privacy.series_ids(series_ids)
        known = catalogue.numbers_of(session, list(dict.fromkeys(hidden)))
        for place, series_id in enumerate(hidden):
            if series_id not in known:
                fault = Fault(f"/scope/series_ids/{place}", "unknown series")
                raise Missing("unknown_series", f"no point of {series_id[:80]!r} was ever received", faults=[fault])
        return tuple(sorted(known.values()))

    def _labels(self, texts: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for place, text in enumerate(texts):
            pointer = f"/scope/labels/{place}"
            name, _, value = text.partition(":")
            if not (name and value):
                raise _refused(pointer, "expected name:value")
            kept = self.signals.privacy.label(name, value)
            if kept in (None, MASK) and value != kept:
                raise _refused(pointer, "values of this label are not kept here, see `privacy.rules`")
            if found.setdefault(name, kept or value) != (kept or value):
                raise _refused(pointer, "no series has two values of one label")
        if not found:
            raise _refused("/scope/labels", "it names no label")
        return found


def erase(
    session: Session, asked: Subject, series: dict[int, str], words: Sequence[str], fleets: Sequence[str]
) -> dict[str, int]:
    """Take series out of events; delete those that cover nobody else, and titles that name the subject.

    Parameters
    ----------
    words
        As what the subject may be named.
    fleets
        Those that are gone.
    """
    mentions = Mentions([*words, *series.values()])
    label, _, value = asked.value.partition(":") if asked.kind == "label" else ("", "", "")
    told = {"events_erased": 0, "event_titles_erased": 0}
    for row in store.every(session):
        scope = store.scope_of(row.scope)
        numbers = [number for number in scope.numbers if number not in series]
        is_of_label = bool(label) and scope.labels.get(label) in {value, *words}
        if is_of_label or scope.fleet_id in fleets or (scope.numbers and not numbers):
            session.delete(row)
            told["events_erased"] += 1
            continue
        if len(numbers) < len(scope.numbers):
            row.scope = store.scope_columns(EventScope(numbers=numbers))
        if mentions.are_in(row.title):
            row.title = _ERASED
            told["event_titles_erased"] += 1
    store.touch(session)
    return told


def _row_of(event: KnownEvent) -> store.EventRow:
    repeats: dict[str, Any] = {}
    if event.recurs is not None:
        repeats = {"rrule": event.recurs.rrule, "zone": event.recurs.zone}
    if event.holidays is not None:
        place = event.holidays
        repeats = {"country": place.country, "subdivision": place.subdivision, "zone": place.zone}
    return store.EventRow(
        id=event.event_id,
        kind=event.kind.value,
        title=event.title,
        scope=store.scope_columns(event.scope),
        repeats=repeats,
        starts_at=to_us(event.starts_at),
        ends_at=None if event.ends_at is None else to_us(event.ends_at),
        until=None,
        created_at=to_us(event.created_at),
    )


def _refused(pointer: str, reason: str) -> Invalid:
    return Invalid("invalid_event", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])
