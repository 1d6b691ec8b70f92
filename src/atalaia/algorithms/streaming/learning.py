"""What a point teaches its series: numbers go in, and those that have changed come out.

All deviations are in units of the series, see `Columns`.
"""

from math import log

from atalaia.algorithms.compiled import compiled_inline
from atalaia.algorithms.local_time import DAY_US, HOUR_US, WEEK_US
from atalaia.algorithms.streaming.columns import DAY, PLAIN, WEEK, Pace
from atalaia.algorithms.streaming.judging import NEWEST, SLOPE

MIN_POINTS = 10
"""Points from which on there is an opinion."""

TAIL_START, FIRST_SHARE, FIRST_EXCESS, MOST_FACTOR = 4.0, 0.002, 1.5, 100.0
"""Of deviations of single values: from how many scales on they belong to the tail; its share and mean excess at
first; the threshold is never more scales away."""

EVIDENCE_START, FIRST_EVIDENCE_SHARE, FIRST_EVIDENCE_EXCESS, MOST_EVIDENCE = 16.0, 0.003, 2.5, 1000.0
"""The same of all evidence together."""

TAIL_WEIGHT, EVIDENCE_WEIGHT = 0.02, 0.005
"""What a point in a tail weighs in its mean excess."""

FARTHEST = 1e36
"""No deviation counts for more units of its series: what is learnt of it has 32 bits."""

USUAL_POINTS = 30
"""How many points it takes to know how a series usually scatters."""

FROM_MEAN = 1.2533
"""From the mean absolute deviation of a normal distribution to its standard deviation."""

# A deviation teaches as if it were so many scales and no more (Huber, 1964).
_CLIP = 3.0
# Where seasons are compared: none is to be chosen because of one outage.
_ERROR_CLIP = 10.0

# So small a share of a memory is all but its weight: no division.
_SMALL = 0.05

# No point weighs more, however long it was awaited.
_LEVEL_WEIGHT = 0.1
_SCALE_WEIGHT = 0.05
_DAY_SCALE_WEIGHT = 0.1

_PER_ERROR = 1.0 / DAY_US
_PER_SCALE = 1.0 / WEEK_US
_WEEKS = 4.0
_TAIL_SHARE = 1.0 / 20_000

# Of the views: a unit learns from so many units and no more, and from one point in so much.
_UNIT_CLIP = 6.0
_UNIT_WEIGHT = 0.0002
_USUAL_WEIGHT = 0.001
_MOST_SAID = 60.0

_USE_BELOW, _DROP_ABOVE = 0.9, 1.0
_MIN_DAYS, _MIN_WEEK_DAYS = 3, 14
PER_HOUR, _PER_DAY, _PER_WEEK = 1.0 / HOUR_US, 1.0 / DAY_US, 1.0 / WEEK_US


@compiled_inline
def clip(number: float, most: float) -> float:
    """Return `number`, or where it is farther from 0 than `most`, what is just as far."""
    return min(max(number, -most), most)


@compiled_inline
def toward(old: float, new: float, weight: float) -> float:
    """Return `old` moved towards `new`."""
    return old + weight * (new - old)


@compiled_inline
def beyond(share: float, excess: float, start: float, least: float, most: float, rarity: float) -> float:
    """Return what one point in `rarity` exceeds, if excesses over `start` are exponential."""
    return min(max(start + excess * log(max(share * rarity, 1.0)), least), most)


@compiled_inline
def tail_after(
    share: float,
    excess: float,
    edge: float,
    seen: float,
    points: int,
    weight: float,
    start: float,
    least: float,
    most: float,
    rarity: float,
) -> tuple[float, float, float]:
    """Return share, excess and edge of a tail after a point, which counts as the edge if it is farther.

    Outside of the tail the share falls, and the edge with it: as its logarithm does, to first order.
    """
    step = one_of(points + 100, _TAIL_SHARE)
    if seen <= start:
        return share - step * share, excess, max(edge - step * excess, start, least)
    share += step * (1.0 - share)
    excess = toward(excess, min(seen, edge) - start, weight)
    return share, excess, beyond(share, excess, start, least, most, rarity)


@compiled_inline
def one_of(points: int, least: float) -> float:
    """Return what one of so many points weighs, and `least` at least; a division costs more than all else here."""
    return least if points * least >= 1.0 else 1.0 / points


@compiled_inline
def time_weight(elapsed_us: int, per_memory: float, most: float, points: int) -> float:
    """Return what a point weighs that stands for the time since the one before, beside a memory of so long.

    `per_memory` is one divided by the memory. A point never weighs less than one of so many points.
    """
    share = elapsed_us * per_memory
    weight = share * (1.0 - share) if share < _SMALL else share / (1.0 + share)
    return one_of(points, min(weight, most))


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
    return time_weight(elapsed_us, _PER_ERROR, _SCALE_WEIGHT, points + 1)


@compiled_inline
def strange_after(share: float, in_alarm: bool, elapsed_us: int, points: int) -> float:
    """Return the share of the time in alarm after a point."""
    weight = time_weight(elapsed_us, _PER_SCALE, _SCALE_WEIGHT, points + 1)
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
    return time_weight(elapsed_us, p.per_level, _LEVEL_WEIGHT, age) * clip(deviation, _CLIP * own)


@compiled_inline
def spread_after(old: float, deviation: float, elapsed_us: int, age: int) -> float:
    """Return the scale of a series after a deviation."""
    return scale_after(old, deviation, time_weight(elapsed_us, _PER_SCALE, _SCALE_WEIGHT, age))


@compiled_inline
def scale_after(old: float, deviation: float, weight: float) -> float:
    """Return a scale after a deviation."""
    return toward(old, min(abs(deviation), _CLIP * old) * FROM_MEAN, weight)


@compiled_inline
def season_weights(elapsed_us: int, known_us: int, p: Pace) -> tuple[float, float]:
    """Return what a point weighs in its time of day and in its hour of the week.

    It weighs as much of a bucket as it stands for, beside half of the days or weeks that are known: the later half
    counts most, so that what was learnt at first, from nothing, is soon forgotten.
    """
    of_bucket, of_hour = min(elapsed_us * p.per_width, 1.0), min(elapsed_us * PER_HOUR, 1.0)
    days = min((known_us * _PER_DAY + 1.0) / 2, p.season_days) + of_bucket
    weeks = min((known_us * _PER_WEEK + 1.0) / 2, _WEEKS) + of_hour
    per_both = 1.0 / (days * weeks)
    return of_bucket * weeks * per_both, of_hour * days * per_both


@compiled_inline
def offset_after(offset: float, rest: float, own: float, weight: float) -> float:
    """Return the offset of a time of day, or of the week, after a point that was off by `rest`."""
    return offset + weight * clip(rest, _CLIP * own)


@compiled_inline
def day_scale_after(scale: float, rest: float, weight: float) -> float:
    """Return the scale of a time of day after a point that was off by `rest`."""
    return scale_after(scale, rest, min(weight, _DAY_SCALE_WEIGHT))


@compiled_inline
def said_after(said: float, units: float) -> float:
    """Return what a view has said, the newer the more, after a deviation of so many times what is usual."""
    return (1.0 - NEWEST) * said + NEWEST * min(SLOPE * units, _MOST_SAID)


@compiled_inline
def unit_weight(points: int) -> float:
    """Return what a point weighs in the units of the views."""
    return one_of(points + MIN_POINTS, _UNIT_WEIGHT)


@compiled_inline
def unit_after(unit: float, deviation: float, weight: float, least: float) -> float:
    """Return how large deviations of a view usually are, after one."""
    return max(toward(unit, min(deviation, _UNIT_CLIP * unit) * FROM_MEAN, weight), least)


@compiled_inline
def usual_after(usual: float, seen: float, points: int) -> float:
    """Return the usual logarithm of the squared steps after one; the first ones are taken as they are."""
    if points <= USUAL_POINTS:
        return seen
    return usual + one_of(points - USUAL_POINTS + 2, _USUAL_WEIGHT) * clip(seen - usual, 1.0)
