"""Known events as the tests of signals make them: in minutes after the start."""

from typing import Any

from atalaia.core.events import EventKind, KnownEvent
from atalaia.signals.events import AskedEvent, AskedScope, KnownEvents
from tests.signals.builders import Place, us

MINUTE = 60
ALL = AskedScope(everything=True)


def add(
    place: Place,
    start: float = 0.0,
    end: float | None = 60.0,
    scope: AskedScope = ALL,
    kind: EventKind = EventKind.MAINTENANCE,
    title: str = "pump change",
    **more: Any,
) -> KnownEvent:
    """Keep an event from one minute to another one; return it."""
    end_us = None if end is None else us(end * MINUTE)
    with place.database.write() as session:
        return KnownEvents(place.signals).add(
            session, AskedEvent(kind, title, scope, us(start * MINUTE), end_us, **more)
        )


def of_series(*series_ids: str) -> AskedScope:
    return AskedScope(series_ids=series_ids)
