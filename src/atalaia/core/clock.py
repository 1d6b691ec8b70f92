"""The one place that knows what time it is.

Times are aware UTC datetimes; inside arrays they are int64 microseconds since the epoch, which is exact for
timestamps to the microsecond and delta-encodes well.
"""

import math
import time
from datetime import UTC, datetime, timedelta

MICROS = 1_000_000
_EXACT_US = 2**31 * MICROS
"""Below it, seconds as a float tell microseconds apart with room to spare, and are thrice as fast."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def now_us() -> int:
    """Return the current time in microseconds since the epoch."""
    return time.time_ns() // 1000


def to_us(moment: datetime) -> int:
    """Return `moment` in microseconds since the epoch.

    Raises
    ------
    ValueError
        If `moment` carries no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone has no place on the clock")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(micros: int) -> datetime:
    """Return the UTC datetime of `micros` microseconds since the epoch."""
    if 0 <= micros < _EXACT_US:
        return datetime.fromtimestamp(micros / MICROS, UTC)
    return _EPOCH + timedelta(microseconds=int(micros))


def seconds_to_us(seconds: float) -> int:
    """Return Unix `seconds` (fractions allowed) as whole microseconds, rounded to the nearest.

    Whole and fractional parts are converted apart, so that no microsecond is lost to the size of the number.
    """
    fraction, whole = math.modf(seconds)
    return int(whole) * MICROS + round(fraction * MICROS)


def isoformat(micros: int) -> str:
    """Return microseconds since the epoch as RFC 3339 in UTC, e.g. ``2014-04-10T07:15:00Z``."""
    return from_us(micros).isoformat().replace("+00:00", "Z")
