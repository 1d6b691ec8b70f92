"""Wire types of known events."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from atalaia.core.events import EventKind, HolidayCalendar, KnownEvent, Recurs
from atalaia.core.series import MAX_ID_CHARACTERS
from atalaia.kit.web.wire import Wire, parse_time, rfc3339
from atalaia.signals.events import AskedEvent, AskedScope

MOST_SERIES = 5_000
_NO_NUL = r"^[^\x00-\x1f\x7f]*$"
_SeriesId = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
_Label = Annotated[str, Field(max_length=512)]
_Moment = float | Annotated[str, Field(max_length=64)]
_Zone = Annotated[str, Field(max_length=64, description="IANA time zone, in whose local time it is read.")]
_WEEKLY: dict[str, Any] = {
    "kind": "maintenance",
    "title": "Weekly backup of the database",
    "scope": {"labels": ["app:database"]},
    "from": "2026-12-06T02:00:00-03:00",
    "to": "2026-12-06T04:00:00-03:00",
    "recurrence": {"rrule": "FREQ=WEEKLY;BYDAY=SU", "zone": "America/Sao_Paulo"},
}
_HOLIDAYS: dict[str, Any] = {
    "kind": "holiday",
    "title": "Public holidays",
    "scope": {"fleet_id": "shops"},
    "from": "2026-01-01T00:00:00-03:00",
    "holidays": {"country": "BR", "subdivision": "SP", "zone": "America/Sao_Paulo"},
}
_DEPLOY: dict[str, Any] = {
    "kind": "deploy", "title": "cart 2.4.1", "scope": {"everything": True}, "from": 1796036400,
}  # fmt: skip


class EventScopeIn(Wire):
    """Which series an event covers: one of the four."""

    everything: bool = Field(default=False, description="All series, those to come too.")
    fleet_id: str | None = Field(default=None, max_length=MAX_ID_CHARACTERS, description="The series of a fleet.")
    series_ids: list[_SeriesId] | None = Field(default=None, max_length=MOST_SERIES)
    labels: list[_Label] | None = Field(
        default=None, max_length=16, description="Series that have all of these, each `name:value`."
    )


class RecurrenceIn(Wire):
    """That an event comes again."""

    rrule: str = Field(
        max_length=500,
        description="RRULE of RFC 5545, from HOURLY to YEARLY; at most ten years and 100,000 times are read.",
    )
    zone: _Zone


class HolidaysIn(Wire):
    """Public holidays, as whole local days."""

    country: str = Field(max_length=8, description="Two letters of ISO 3166-1.")
    subdivision: str | None = Field(default=None, max_length=40, description="State or province of the country.")
    zone: _Zone


class KnownEventIn(Wire):
    """An event that is known."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEEKLY, _HOLIDAYS, _DEPLOY]})
    kind: EventKind
    title: str = Field(min_length=1, max_length=200, pattern=_NO_NUL)
    scope: EventScopeIn
    from_: _Moment = Field(
        alias="from", serialization_alias="from", description="Unix seconds, or RFC 3339 with a zone."
    )
    to: _Moment | None = Field(
        default=None,
        description="End, not included; of what comes again the end of the first time. May be left out of a "
        "deploy (`signals.deploy_event_s`), and of holidays, which then go on.",
    )
    recurrence: RecurrenceIn | None = None
    holidays: HolidaysIn | None = None

    def asked(self) -> AskedEvent:
        """Return what is asked for.

        Raises
        ------
        Invalid
            ``invalid_time``.
        """
        scope, place, again = self.scope, self.holidays, self.recurrence
        return AskedEvent(
            kind=self.kind,
            title=self.title,
            scope=AskedScope(scope.everything, scope.fleet_id, scope.series_ids, scope.labels),
            start_us=parse_time(self.from_, "/from"),
            end_us=None if self.to is None else parse_time(self.to, "/to"),
            recurs=None if again is None else Recurs(again.rrule, again.zone),
            holidays=None if place is None else HolidayCalendar(place.country, place.subdivision, place.zone),
        )


class KnownEventChange(Wire):
    """What shall change of an event."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"until": "2026-12-06T03:10:00-03:00"}]})
    title: str | None = Field(default=None, min_length=1, max_length=200, pattern=_NO_NUL)
    until: _Moment | None = Field(default=None, description="Nothing of the event counts from this moment on.")

    def until_us(self) -> int | None:
        """Return the moment in microseconds."""
        return None if self.until is None else parse_time(self.until, "/until")


class EventScopeOut(Wire):
    """Which series an event covers."""

    everything: bool
    fleet_id: str | None
    series_ids: list[str]
    labels: list[str]


class RecurrenceOut(Wire):
    """That an event comes again."""

    rrule: str
    zone: str


class HolidaysOut(Wire):
    """Public holidays."""

    country: str
    subdivision: str | None
    zone: str


class KnownEventOut(Wire):
    """An event that is known."""

    event_id: str
    kind: EventKind
    title: str
    scope: EventScopeOut
    from_: str = Field(alias="from", serialization_alias="from")
    to: str | None
    until: str | None = Field(description="Somebody ended it: nothing of it counts from then on.")
    recurrence: RecurrenceOut | None
    holidays: HolidaysOut | None
    is_active: bool = Field(description="Whether it counts right now.")
    created_at: str

    @staticmethod
    def of(event: KnownEvent, names: Mapping[int, str], *, is_active: bool) -> "KnownEventOut":
        """Return `event` for the wire; `names` are the ids of its series by number."""
        scope, again, place = event.scope, event.recurs, event.holidays
        fields: dict[str, Any] = {
            "event_id": event.event_id,
            "kind": event.kind,
            "title": event.title,
            "scope": EventScopeOut(
                everything=scope.everything,
                fleet_id=scope.fleet_id,
                series_ids=sorted(names[number] for number in scope.numbers if number in names),
                labels=[f"{name}:{value}" for name, value in sorted(scope.labels.items())],
            ),
            "from": rfc3339(event.starts_at),
            "to": rfc3339(event.ends_at),
            "until": rfc3339(event.until),
            "recurrence": None if again is None else RecurrenceOut(rrule=again.rrule, zone=again.zone),
            "holidays": None
            if place is None
            else HolidaysOut(country=place.country, subdivision=place.subdivision, zone=place.zone),
            "is_active": is_active,
            "created_at": rfc3339(event.created_at),
        }
        return KnownEventOut.model_validate(fields)


class KnownEventPage(Wire):
    """Known events, newest first."""

    items: list[KnownEventOut]
    next: str | None
