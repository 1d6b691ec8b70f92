"""Local wall-clock time of many moments at once."""

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from atalaia.core.clock import MICROS, from_us
from atalaia.core.points import IntArray

MINUTE_US = 60 * MICROS
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US

# The epoch is a Thursday; weeks begin on Monday.
_MONDAY_US = 3 * DAY_US


def zone_name(name: str) -> str:
    """Return `name` if it is an IANA time zone that this machine knows.

    Raises
    ------
    ValueError
        If it is not.
    """
    _zone(name)
    return name


def to_local(timestamps: IntArray, zone: str) -> IntArray:
    """Return wall-clock microseconds in `zone` for UTC `timestamps`, int64[n], by the rules from 1970 to 2100."""
    starts, offsets = _offsets(zone)
    if len(starts) == 1:
        return timestamps + offsets[0]
    return timestamps + offsets[np.maximum(np.searchsorted(starts, timestamps, side="right") - 1, 0)]


def day_bucket(local: IntArray, width_us: int) -> IntArray:
    """Return which bucket of the day, counted from midnight, each wall-clock moment is in."""
    return local % DAY_US // width_us


def week_bucket(local: IntArray, width_us: int) -> IntArray:
    """Return which bucket of the week, counted from Monday's midnight, each wall-clock moment is in."""
    return (local + _MONDAY_US) % WEEK_US // width_us


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as reason:
        raise ValueError(f"{name[:40]!r} is not a time zone of the IANA database, e.g. Europe/Lisbon") from reason


@lru_cache(maxsize=64)
def _offsets(name: str) -> tuple[IntArray, IntArray]:
    """Return when the offset of `name` from UTC changes, and what it is from then on, both in microseconds."""
    zone = _zone(name)
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1970, 2100))
    starts, offsets = [begin], [_offset(zone, begin)]
    # No zone changes twice within a week, so a look every week finds every change.
    for probe in range(begin, end, 7 * 24 * 3600):
        if _offset(zone, probe) != offsets[-1]:
            starts.append(_first_change(zone, probe - 7 * 24 * 3600, probe))
            offsets.append(_offset(zone, probe))
    return np.array(starts, np.int64) * MICROS, np.array(offsets, np.int64) * MICROS


def _first_change(zone: tzinfo, before: int, after: int) -> int:
    """Return the first second at which the offset is that of `after`, by bisection."""
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == _offset(zone, after):
            after = middle
        else:
            before = middle
    return after


def _offset(zone: tzinfo, second: int) -> int:
    offset = zone.utcoffset(from_us(second * MICROS).astimezone(zone))
    return int(offset.total_seconds()) if offset else 0
