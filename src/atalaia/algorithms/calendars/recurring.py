"""What comes again and again: a rule of RFC 5545, in the local time of a zone.

The rule is read by python-dateutil in wall-clock time, so that a window at two in the morning is at two in the
morning in winter and in summer. Hostile rules are bounded: by the form that is accepted, by ten years, and by the
number of times. One that never comes true again is looked for up to the last year that Python has, which would take
seconds; the calendar repeats itself every 400 years, to the day of the week, so it is looked for near that year.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrulestr

from atalaia.algorithms.calendars.spans import NOTHING, Spans
from atalaia.algorithms.local_time import DAY_US
from atalaia.core.clock import from_us, to_us
from atalaia.core.errors import Fault, Invalid

MOST_TIMES = 100_000
"""A recurrence may come so often, in all."""
MOST_YEARS = 10
"""It ends after so many years."""
_FOR_EVER = 1 << 62
_LONGEST = timedelta(days=366)
_SHIFT = 7_600
"""A multiple of 400."""
_MOST_CHARACTERS = 500
_FREQUENCIES = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PART = re.compile(r"([A-Z]{2,12})=([A-Z0-9,+\-:]{1,400})")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_UNTIL = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?")
_PARTS = frozenset(
    "FREQ INTERVAL COUNT UNTIL WKST BYDAY BYHOUR BYMINUTE BYSECOND BYMONTH BYMONTHDAY BYYEARDAY BYWEEKNO BYSETPOS "
    "BYEASTER".split()
)
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What python-dateutil raises for rules that are none: some of them when it is asked for the first time."""
RULE, ZONE = "/recurrence/rrule", "/recurrence/zone"


def zone_of(name: str, pointer: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises
    ------
    Invalid
        ``unknown_zone``.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        reason = f"{name[:40]!r} is not a time zone of the IANA database, e.g. Europe/Lisbon"
        raise Invalid("unknown_zone", f"{pointer}: {reason}", faults=[Fault(pointer, reason)]) from error


def local_us(wall: datetime, zone: tzinfo, *, is_end: bool = False) -> int:
    """Return when a wall clock of a zone shows a naive time.

    A time that comes twice is the earlier one, as an end the later one. One that is skipped is read as if the clock
    had not been changed yet, as RFC 5545 has it.
    """
    first = to_us(wall.replace(tzinfo=zone, fold=0).astimezone(UTC))
    return max(first, to_us(wall.replace(tzinfo=zone, fold=1).astimezone(UTC))) if is_end else first


class Recurrence:
    """Stretches of time that come again.

    Parameters
    ----------
    rule
        The value of an RRULE. Its first time is the first one, not before `start_us`, that fits the rule.
    zone
        The time zone in whose wall-clock time the rule is read.
    start_us, end_us
        The first stretch: how long it is by the wall clock, every other one is.

    Raises
    ------
    Invalid
        ``invalid_event`` or ``unknown_zone``, with the place that is wrong.
    """

    def __init__(self, rule: str, zone: str, start_us: int, end_us: int) -> None:
        self._zone = zone_of(zone, ZONE)
        start, end = (from_us(moment).astimezone(self._zone).replace(tzinfo=None) for moment in (start_us, end_us))
        self._length, self._least_us = end - start, end_us - start_us
        if not timedelta(0) < self._length <= _LONGEST:
            raise _refused(f"a stretch lasts longer than nothing and at most {_LONGEST.days} days", "/to")
        last = start.replace(year=start.year + MOST_YEARS, day=min(start.day, 28))
        self._until = min(last, _until(rule, self._zone) or last)
        self._coming = self._walls(_checked(rule), start)
        self._read: list[tuple[int, int]] = []
        self._spans = NOTHING
        self._read_to_us = -1

    def check(self) -> None:
        """Refuse a rule that never comes true, or too often; what was read is kept.

        Raises
        ------
        Invalid
            ``invalid_event``.
        """
        self._read += islice(self._coming, MOST_TIMES + 1 - len(self._read))
        if not self._read:
            raise _refused(f"it never comes true in the {MOST_YEARS} years from the start on")
        if len(self._read) > MOST_TIMES:
            raise _refused(
                f"it comes more than {MOST_TIMES:,} times in {MOST_YEARS} years; say when it ends by UNTIL"
            )

    def within(self, start_us: int, end_us: int) -> Spans:
        """Return the stretches that touch [start, end); the rule is read no farther than that needs."""
        if end_us > self._read_to_us:
            self._read_on(end_us)
        return self._spans.within(start_us, end_us)

    def _read_on(self, end_us: int) -> None:
        """Read what begins before a moment, and a day more: around a change of the clock the order may differ."""
        self._read_to_us = _FOR_EVER
        for pair in islice(self._coming, MOST_TIMES - len(self._read)):
            self._read.append(pair)
            if pair[0] >= end_us + DAY_US:
                self._read_to_us = pair[0] - DAY_US
                break
        self._spans = Spans.of(self._read)

    def _walls(self, rule: str, start: datetime) -> Iterator[tuple[int, int]]:
        try:
            for shifted in rrulestr(rule, dtstart=start.replace(year=start.year + _SHIFT)):
                wall = shifted.replace(year=shifted.year - _SHIFT)
                if wall > self._until:
                    return
                first, last = local_us(wall, self._zone), local_us(wall + self._length, self._zone, is_end=True)
                yield first, last if last > first else first + self._least_us
        except _BROKEN as error:
            raise _refused(f"it is not a rule of RFC 5545: {str(error)[:100]}") from error


def _checked(rule: str) -> str:
    """Return the rule without its end, if it has the form of one that is accepted."""
    if len(rule) > _MOST_CHARACTERS:
        raise _refused(f"it has {len(rule)} characters, at most {_MOST_CHARACTERS} are allowed")
    parts: dict[str, str] = {}
    for text in rule.removeprefix("RRULE:").split(";"):
        found = _PART.fullmatch(text)
        if found is None or found[1] not in _PARTS or found[1] in parts:
            raise _refused(f"{text[:40]!r} is no part of a rule, or comes twice; write FREQ=WEEKLY;BYDAY=SU")
        parts[found[1]] = found[2]
    if parts.get("FREQ") not in _FREQUENCIES:
        raise _refused(f"FREQ is one of {', '.join(_FREQUENCIES)}")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not _NUMBER.fullmatch(parts[name]):
            raise _refused(f"{name} is a whole number from 1 to 999999")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _refused("a rule has COUNT or UNTIL, not both")
    return ";".join(f"{name}={value}" for name, value in parts.items() if name != "UNTIL")


def _until(rule: str, zone: tzinfo) -> datetime | None:
    """Return the last moment of a rule by the wall clock, None without one; a date means all of that day."""
    text = next((part[6:] for part in rule.split(";") if part.startswith("UNTIL=")), None)
    if text is None:
        return None
    found = _UNTIL.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(number or 0) for number in found.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if found[4] is None:
            moment = moment.replace(hour=23, minute=59, second=59)
        return (moment.astimezone(zone) if found[7] else moment).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise _refused(f"UNTIL {text[:40]!r} is not written 20261231 or 20261231T235959Z") from None


def _refused(reason: str, pointer: str = RULE) -> Invalid:
    return Invalid("invalid_event", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])
