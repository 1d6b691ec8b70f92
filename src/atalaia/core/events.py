"""Known events: stretches of time of which people know why series are strange in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What sort of event it is."""

    MAINTENANCE = "maintenance"
    DEPLOY = "deploy"
    HOLIDAY = "holiday"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class EventScope:
    """Which series an event covers: all of them, or those of one of the other fields.

    Attributes
    ----------
    numbers
        The numbers of some series.
    labels
        A series has all of them.
    """

    everything: bool = False
    fleet_id: str | None = None
    numbers: Sequence[int] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def covers(self, number: int, fleet_id: str | None, labels: Mapping[str, str]) -> bool:
        """Say whether the event covers a series."""
        if self.everything:
            return True
        if self.fleet_id is not None:
            return fleet_id == self.fleet_id
        if self.labels:
            return all(labels.get(name) == value for name, value in self.labels.items())
        return number in self.numbers


@dataclass(frozen=True, slots=True)
class Recurs:
    """That an event comes again, by a rule of RFC 5545 in the local time of a zone."""

    rrule: str
    zone: str


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """The public holidays of a country, or of a part of it, as whole days of a zone."""

    country: str
    subdivision: str | None
    zone: str


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event that is known.

    Attributes
    ----------
    starts_at, ends_at
        The event, or the first time of one that comes again. Of a calendar of holidays what is looked at; it may
        have no end.
    until
        From then on nothing of it counts; None while nobody has ended it.
    """

    event_id: str
    kind: EventKind
    title: str
    scope: EventScope
    starts_at: datetime
    ends_at: datetime | None
    until: datetime | None
    created_at: datetime
    recurs: Recurs | None = None
    holidays: HolidayCalendar | None = None
