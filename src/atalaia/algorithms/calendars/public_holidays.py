"""Public holidays of a country or of a part of it, as whole local days."""

import re
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from atalaia.algorithms.calendars.recurring import local_us, zone_of
from atalaia.algorithms.calendars.spans import Spans
from atalaia.core.clock import from_us
from atalaia.core.errors import Fault, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTRY, SUBDIVISION, ZONE = "/holidays/country", "/holidays/subdivision", "/holidays/zone"
_DAY = timedelta(days=1)
_CODE, _PART = re.compile(r"[A-Z]{2}"), re.compile(r"[^\s;|]{1,40}")
_FIRST, _LAST = 1970, 2100


class PublicHolidays:
    """The holidays of a place.

    Parameters
    ----------
    country
        Two letters of ISO 3166-1.
    subdivision
        A state or province of it, as ISO 3166-2 has it behind the country, if it has holidays of its own.
    zone
        The time zone in which its days begin and end.

    Raises
    ------
    Invalid
        ``unknown_country`` or ``unknown_zone``.
    """

    def __init__(self, country: str, subdivision: str | None, zone: str) -> None:
        self._zone: tzinfo = zone_of(zone, ZONE)
        self._place = (country, subdivision)
        if not _CODE.fullmatch(country):
            raise _unknown(COUNTRY, f"{country[:20]!r} is not a country; write two letters of ISO 3166, e.g. BR")
        if subdivision is not None and not _PART.fullmatch(subdivision):
            raise _unknown(SUBDIVISION, f"{subdivision[:40]!r} is not a part of a country")

    def check(self) -> None:
        """Refuse a place of which nothing is known.

        Raises
        ------
        Invalid
            ``unknown_country``.
        """
        _days(*self._place, 2026)

    def within(self, start_us: int, end_us: int) -> Spans:
        """Return the holidays that touch [start, end), days in a row as one stretch."""
        first, last = self._date(start_us) - _DAY, self._date(end_us) + _DAY
        days = [
            day
            for year in range(max(first.year, _FIRST), min(last.year, _LAST) + 1)
            for day in _days(*self._place, year)
            if first <= day <= last
        ]
        return Spans.of((self._midnight(day), self._midnight(day + _DAY)) for day in days).within(start_us, end_us)

    def name(self, moment_us: int) -> str | None:
        """Return what the holiday is called that a moment lies in."""
        day = self._date(moment_us)
        return _days(*self._place, day.year).get(day) if _FIRST <= day.year <= _LAST else None

    def _date(self, moment_us: int) -> date:
        return from_us(moment_us).astimezone(self._zone).date()

    def _midnight(self, day: date) -> int:
        return local_us(datetime.combine(day, time()), self._zone)


@lru_cache(maxsize=1_024)
def _days(country: str, subdivision: str | None, year: int) -> "Mapping[date, str]":
    import holidays

    try:
        found: Any = holidays.country_holidays(country, subdiv=subdivision, years=[year])
    except NotImplementedError as error:  # so the library refuses a place that it does not know
        pointer = (
            COUNTRY if subdivision is None or country not in holidays.list_supported_countries() else SUBDIVISION
        )
        raise _unknown(pointer, f"{error}"[:200]) from error
    return MappingProxyType(dict(sorted(found.items())))


def _unknown(pointer: str, reason: str) -> Invalid:
    return Invalid("unknown_country", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])
