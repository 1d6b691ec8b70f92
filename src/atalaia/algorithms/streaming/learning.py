"""What a point teaches its series: numbers go in, and those that have changed come out.

All deviations are in units of the series, see `Columns`.
"""

from math import log

from atalaia.algorithms.compiled import compiled_inline
from atalaia.algorithms.local_time import DAY_US, HOUR_US, WEEK_US
from atalaia.algorithms.streaming.columns import DAY, PLAIN, WEEK, Pace

MIN_POINTS = 10
"""Points from which on there is an opinion."""

TAIL_START = 2.0
"""Scales from which on a deviation belongs to the tail."""

NORMAL_SHARE, NORMAL_EXCESS = 0.0455, 0.373
"""How much of a normal distribution is beyond `TAIL_START` standard deviations, and by how many more on average."""

MOST_FACTOR = 100.0
"""The threshold is never more scales away."""

FROM_MEAN = 1.2533
"""From the mean absolute deviation of a normal distribution to its standard deviation."""

# A deviation teaches as if it were so many scales and no more (Huber, 1964).
_CLIP = 3.0
# Where seasons are compared: none is to be chosen because of one outage.
_ERROR_CLIP = 10.0

# No point weighs more, however long it was awaited.
_LEVEL_WEIGHT = 0.1
_SCALE_WEIGHT = 0.05
_DAY_SCALE_WEIGHT = 0.1

_SCALE_US = 1.0 * DAY_US
_ERROR_US = 1.0 * DAY_US
_STRANGE_US = 7.0 * DAY_US
_WEEKS = 4.0
_TAIL_POINTS = 5000
_TAIL_WEIGHT = 0.01

_USE_BELOW, _DROP_ABOVE = 0.9, 1.0
_MIN_DAYS, _MIN_WEEK_DAYS = 3, 14
_MOST = 1e37


@compiled_inline
def clip(number: float, most: float) -> float:
    """Return `number`, or where it is farther from 0 than `most`, what is just as far."""
    return min(max(number, -most), most)


@compiled_inline
def toward(old: float, new: float, weight: float) -> float:
    """Return `old` moved towards `new`, within what 32 bits hold."""
    return clip(old + weight * (new - old), _MOST)


@compiled_inline
def factor_of(share: float, excess: float, p: Pace) -> float:
    """Return how many scales one point in `rarity` exceeds, if excesses over `TAIL_START` are exponential."""
    return min(max(TAIL_START + excess * log(max(share * p.rarity, 1.0)), p.least_factor), MOST_FACTOR)


@compiled_inline
def tail_after(
    share: float, excess: float, factor: float, scales: float, points: int, p: Pace
) -> tuple[float, float, float]:
    """Return share, excess and factor after a deviation of `scales`, which counts as the factor if it is larger."""
    inside = scales > TAIL_START
    share = toward(share, 1.0 if inside else 0.0, 1.0 / min(points + 100, _TAIL_POINTS))
    if not inside:
        return share, excess, factor
    excess = toward(excess, min(scales, factor) - TAIL_START, _TAIL_WEIGHT)
    return share, excess, factor_of(share, excess, p)


@compiled_inline
def time_weight(elapsed_us: int, memory_us: float, most: float, least: float) -> float:
    """Return what a point weighs that stands for the time since the one before, beside a memory of so long."""
    return max(min(elapsed_us / (memory_us + elapsed_us), most), least)


@compiled_inline
def errors_after(
    plain: float, by_day: float, by_week: float, u: float, day: float, week: float, limit: float, weight: float
) -> tuple[float, float, float]:
    """Return the mean absolute errors of level, time of day and time of week, after a point that none has seen."""
    most = _ERROR_CLIP * limit
    return (
        toward(plain, min(abs(u), most), weight),
        toward(by_day, min(abs(u - day), most), weight),
        toward(by_week, min(abs(u - day - week), most), weight),
    )


@compiled_inline
def error_weight(elapsed_us: int, points: int) -> float:
    """Return what a point weighs in those errors."""
    return time_weight(elapsed_us, _ERROR_US, _SCALE_WEIGHT, 1.0 / (points + 1))


@compiled_inline
def strange_after(share: float, in_alarm: bool, elapsed_us: int, points: int) -> float:
    """Return the share of the time in alarm after a point."""
    weight = time_weight(elapsed_us, _STRANGE_US, _SCALE_WEIGHT, 1.0 / (points + 1))
    return toward(share, 1.0 if in_alarm else 0.0, weight)


@compiled_inline
def chosen(part: int, known_us: int, plain: float, by_day: float, by_week: float) -> int:
    """Return which seasons to use, given those in use, for how long the series is known, and the errors."""
    if part == PLAIN:
        return DAY if known_us >= _MIN_DAYS * DAY_US and by_day < _USE_BELOW * plain else PLAIN
    if part == DAY:
        if by_day > _DROP_ABOVE * plain:
            return PLAIN
        return WEEK if known_us >= _MIN_WEEK_DAYS * DAY_US and by_week < _USE_BELOW * by_day else DAY
    return DAY if by_week > _DROP_ABOVE * by_day else WEEK


@compiled_inline
def level_step(deviation: float, own: float, elapsed_us: int, age: int, p: Pace) -> float:
    """Return by how much the level follows a deviation, where the scale is `own`."""
    return time_weight(elapsed_us, p.level_us, _LEVEL_WEIGHT, 1.0 / age) * clip(deviation, _CLIP * own)


@compiled_inline
def spread_after(old: float, deviation: float, elapsed_us: int, age: int) -> float:
    """Return the scale of a series after a deviation."""
    return scale_after(old, deviation, time_weight(elapsed_us, _SCALE_US, _SCALE_WEIGHT, 1.0 / age))


@compiled_inline
def scale_after(old: float, deviation: float, weight: float) -> float:
    """Return a scale after a deviation."""
    return toward(old, min(abs(deviation), _CLIP * old) * FROM_MEAN, weight)


@compiled_inline
def day_after(
    offset: float, scale: float, rest: float, own: float, elapsed_us: int, known_us: int, p: Pace
) -> tuple[float, float]:
    """Return offset and scale of a time of day after a point that was off by `rest`.

    A point weighs as much of a bucket as it stands for, beside half of the days that are known: the later half
    counts most, so that what was learnt at first, from nothing, is soon forgotten.
    """
    share = min(elapsed_us, p.width_us) / p.width_us
    weight = share / (min((known_us / DAY_US + 1.0) / 2, p.season_days) + share)
    offset = clip(offset + weight * clip(rest, _CLIP * own), _MOST)
    return offset, scale_after(scale, rest, min(weight, _DAY_SCALE_WEIGHT))


@compiled_inline
def week_after(offset: float, rest: float, own: float, elapsed_us: int, known_us: int) -> float:
    """Return the offset of an hour of the week after a point that was off by `rest`."""
    share = min(elapsed_us, HOUR_US) / HOUR_US
    weight = share / (min((known_us / WEEK_US + 1.0) / 2, _WEEKS) + share)
    return clip(offset + weight * clip(rest, _CLIP * own), _MOST)
