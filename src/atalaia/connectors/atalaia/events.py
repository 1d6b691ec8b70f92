"""The calls about known events."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer, Page
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.paging import iterate
from atalaia.connectors.atalaia.requests import Moment, moment, query, segment


class EventScope(Answer, frozen=True, kw_only=True):
    """Which series an event covers."""

    everything: bool = False
    fleet_id: str | None = None
    series_ids: list[str] = field(default_factory=list[str])
    labels: list[str] = field(default_factory=list[str])


class Recurrence(Answer, frozen=True, kw_only=True):
    """That an event comes again, by a rule of RFC 5545 in the local time of a zone."""

    rrule: str
    zone: str


class Holidays(Answer, frozen=True, kw_only=True):
    """The public holidays of a place, as whole days of a zone."""

    country: str
    zone: str
    subdivision: str | None = None


class KnownEvent(Answer, frozen=True, kw_only=True):
    """Why series are strange for a while: meanwhile they neither alarm nor teach."""

    event_id: str
    kind: str = ""
    title: str = ""
    scope: EventScope = EventScope()
    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None
    until: datetime | None = None
    recurrence: Recurrence | None = None
    holidays: Holidays | None = None
    is_active: bool = False
    created_at: datetime | None = None


class EventCalls:
    """``/known-events``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        *,
        active_at: Moment | None = None,
        series_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[KnownEvent]:
        """Return one page of the events, newest first."""
        params = query(active_at=active_at, series_id=series_id, limit=limit, cursor=cursor)
        return self._connection.get("/known-events", Page[KnownEvent], params)

    def iterate(self, *, active_at: Moment | None = None, series_id: str | None = None) -> Iterator[KnownEvent]:
        """Yield every event: those that are active at a moment, or cover a series, or all."""
        fetch = partial(self.list, active_at=active_at, series_id=series_id, limit=1000)
        return iterate(lambda cursor: fetch(cursor=cursor))

    def get(self, event_id: str) -> KnownEvent:
        """Return one event."""
        return self._connection.get(f"/known-events/{segment(event_id)}", KnownEvent)

    def add(
        self,
        title: str,
        kind: str,
        from_: Moment,
        to: Moment | None = None,
        *,
        everything: bool = False,
        fleet_id: str | None = None,
        series_ids: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        recurrence: Recurrence | None = None,
        holidays: Holidays | None = None,
        idempotency_key: str | None = None,
    ) -> KnownEvent:
        """Say why series will be strange.

        Parameters
        ----------
        kind
            ``maintenance``, ``deploy``, ``holiday`` or ``other``.
        to
            May be left out of a deploy, and of holidays.
        everything, fleet_id, series_ids, labels
            Which series: one of these; labels are written ``name:value``, and a series must have all of them.
        """
        scope: dict[str, Any] = {
            "everything": everything or None,
            "fleet_id": fleet_id,
            "series_ids": None if series_ids is None else list(series_ids),
            "labels": None if labels is None else list(labels),
        }
        body: dict[str, Any] = {"title": title, "kind": kind, "scope": _without_none(scope)}
        body |= {"from": moment(from_, "from")}
        if to is not None:
            body["to"] = moment(to, "to")
        if recurrence is not None:
            body["recurrence"] = {"rrule": recurrence.rrule, "zone": recurrence.zone}
        if holidays is not None:
            place = {"country": holidays.country, "subdivision": holidays.subdivision, "zone": holidays.zone}
            body["holidays"] = _without_none(place)
        return self._connection.create("/known-events", KnownEvent, body, idempotency_key)

    def change(self, event_id: str, *, title: str | None = None, until: Moment | None = None) -> KnownEvent:
        """Call an event something else, or end it: nothing of it counts from `until` on."""
        body = {"title": title, "until": None if until is None else moment(until, "until")}
        return self._connection.send("PATCH", f"/known-events/{segment(event_id)}", KnownEvent, _without_none(body))

    def delete(self, event_id: str) -> None:
        """Delete an event; the next training learns from its time."""
        self._connection.remove(f"/known-events/{segment(event_id)}")


def _without_none(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
