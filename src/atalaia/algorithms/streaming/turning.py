"""The turns in the life of a series: it is learnt, an alarm opens, lasts, is accepted, or closes."""

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.local_time import DAY_US
from atalaia.algorithms.streaming.columns import (
    ACCEPTED,
    AGE,
    ALARM,
    ALARM_POINTS,
    ALARMS,
    CALM,
    EXCESS,
    FACTOR,
    FIRST,
    LEVEL,
    OVER,
    PLAIN,
    SCALE,
    SHARE,
    SHIFT,
    SHIFT_SPREAD,
    SINCE,
    SPREAD,
    STRANGE,
    UNIT,
    Columns,
    Pace,
)
from atalaia.algorithms.streaming.judging import least_scale
from atalaia.algorithms.streaming.learning import (
    FIRST_EXCESS,
    FIRST_SHARE,
    FROM_MEAN,
    MIN_POINTS,
    MOST_FACTOR,
    TAIL_START,
    beyond,
    toward,
)
from atalaia.algorithms.streaming.looking import begin_looking
from atalaia.core.points import IntArray

# The new level is the mean of so many last points of the alarm.
_SHIFT_POINTS = 64

# A larger share of the time is no exception.
_USUAL = 0.2


@compiled
def begin(c: Columns, p: Pace, row: int, level: float, spread: float, age: int) -> None:
    """Write what a series knows when it is learnt from `age` points."""
    c.levels[row, LEVEL] = level
    c.levels[row, UNIT] = max(spread, least_scale(level))
    c.marks[row, AGE] = age
    c.gauges[row, SPREAD] = 1.0
    share, excess = FIRST_SHARE, FIRST_EXCESS
    c.gauges[row, SHARE], c.gauges[row, EXCESS] = share, excess
    c.gauges[row, FACTOR] = beyond(share, excess, TAIL_START, p.least_factor, MOST_FACTOR, p.rarity)


@compiled
def restart(c: Columns, p: Pace, rows: IntArray) -> None:
    """Forget what was counted of series, and their alarms; keep what they have learnt."""
    for i in range(len(rows)):
        row = rows[i]
        c.points[row] = 0
        c.alarm[row] = CALM
        c.times[row, SINCE] = 0
        c.gauges[row, STRANGE] = 0.0
        c.marks[row, OVER] = c.marks[row, ALARMS] = c.marks[row, ALARM_POINTS] = 0
        begin_looking(c, p, row)


@compiled
def warm_up(c: Columns, p: Pace, row: int, value: float, seen: int) -> None:
    """Take one of the first points, number `seen`; the last of them begins to have an opinion."""
    deviation = value - c.levels[row, LEVEL]
    c.levels[row, LEVEL] += deviation / seen
    if seen > 1:
        c.levels[row, UNIT] += (abs(deviation) - c.levels[row, UNIT]) / (seen - 1)
    if seen == MIN_POINTS:
        begin(c, p, row, c.levels[row, LEVEL], c.levels[row, UNIT] * FROM_MEAN, seen)


@compiled_inline
def watch(over: int, state: int, p: Pace) -> int:
    """Return the state of a series, given what it was and the last points as bits, see `OVER`."""
    if state != CALM:
        return state if over & ((1 << p.close_points) - 1) else CALM
    count = 0
    for bit in range(p.open_window):
        count += (over >> bit) & 1
    return ALARM if over & 1 and count >= p.open_points else CALM


@compiled
def open_alarm(c: Columns, row: int, moment: int) -> None:
    """Write that an alarm begins."""
    c.marks[row, ALARMS] += 1
    c.marks[row, ALARM_POINTS] = 0
    c.times[row, SINCE] = moment
    c.levels[row, SHIFT] = 0.0
    c.gauges[row, SHIFT_SPREAD] = 0.0


@compiled
def endure(c: Columns, p: Pace, row: int, moment: int, deviation: float) -> None:
    """Remember where a point of an alarm lies; once the alarm has lasted, take that for the level.

    It has lasted after `Pace.accept_us`, or when it has more points than had taught what they are compared with:
    what was learnt in an hour is not believed for a day. Where alarms fill a fifth of the time, one more is no
    exception but something that comes and goes: then the scale grows, the level stays, and a season may be learnt.
    """
    seen = c.marks[row, ALARM_POINTS] + 1
    c.marks[row, ALARM_POINTS] = seen
    weight = 1.0 / min(seen, _SHIFT_POINTS)
    shift, spread = c.levels[row, SHIFT], c.gauges[row, SHIFT_SPREAD]
    if seen > 1:
        spread = toward(spread, abs(deviation - shift), weight)
        c.gauges[row, SHIFT_SPREAD] = spread
    shift += weight * (deviation - shift)
    c.levels[row, SHIFT] = shift
    if seen >= c.marks[row, AGE] or (seen >= MIN_POINTS and moment - c.times[row, SINCE] >= p.accept_us):
        c.levels[row, LEVEL] += c.levels[row, UNIT] * shift
        c.marks[row, AGE] = MIN_POINTS
        _widen(c, row, spread * FROM_MEAN)
    elif seen == 1 and c.gauges[row, STRANGE] > _USUAL and moment - c.times[row, FIRST] >= DAY_US:
        c.gauges[row, STRANGE] = _USUAL / 2
        _widen(c, row, toward(0.0, abs(shift) / 2, 1.0))


@compiled
def _widen(c: Columns, row: int, spread: float) -> None:
    """Let every scale be at least `spread`, and learn again."""
    c.alarm[row] = ACCEPTED
    c.gauges[row, SPREAD] = max(c.gauges[row, SPREAD], spread)
    if c.part[row] != PLAIN:
        for bucket in range(c.day.shape[1]):
            c.day[row, bucket, SCALE] = max(c.day[row, bucket, SCALE], spread)


@compiled
def turn(c: Columns, row: int, part: int, by_day: float) -> None:
    """Take seasons into use, or out of it; a time of day begins with the scale of all, from their mean error."""
    if c.part[row] == PLAIN:
        for bucket in range(c.day.shape[1]):
            c.day[row, bucket, SCALE] = by_day * FROM_MEAN
    c.part[row] = part
