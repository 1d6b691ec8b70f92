"""One pass over points: each is judged as its series stands, and then teaches it."""

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline, compiled_without_gil
from atalaia.algorithms.streaming.columns import (
    AGE,
    ALARM,
    CALM,
    DAY_ERROR,
    EXCESS,
    FACTOR,
    FIRST,
    LAST,
    LEVEL,
    OFFSET,
    OVER,
    PLAIN,
    PLAIN_ERROR,
    SCALE,
    SHARE,
    SPREAD,
    STRANGE,
    UNIT,
    WEEK,
    WEEK_ERROR,
    Batch,
    Columns,
    Found,
    Pace,
)
from atalaia.algorithms.streaming.judging import bucket_of_day, hour_of_week, least_scale, seasonal
from atalaia.algorithms.streaming.learning import (
    chosen,
    day_after,
    error_weight,
    errors_after,
    level_step,
    spread_after,
    strange_after,
    tail_after,
    week_after,
)
from atalaia.algorithms.streaming.turning import endure, open_alarm, turn, warm_up, watch

_LIMIT = 1e140
_OLDEST = 1 << 30


@compiled_inline
def _teach(
    c: Columns,
    p: Pace,
    row: int,
    bucket: int,
    hour: int,
    elapsed: int,
    known: int,
    seen: int,
    u: float,
    own: float,
) -> None:
    """Let seasons, level and scale learn from a point that is `u` from the level, where the scale is `own`."""
    _, _, levels, gauges, marks, parts, _, day, week = c
    age, part = int(marks[row, AGE]), int(parts[row])
    by_day, by_week = float(day[row, bucket, OFFSET]), float(week[row, hour])
    errors = gauges[row, PLAIN_ERROR], gauges[row, DAY_ERROR], gauges[row, WEEK_ERROR]
    errors = errors_after(*errors, u, by_day, by_week, own, error_weight(elapsed, seen))
    gauges[row, PLAIN_ERROR], gauges[row, DAY_ERROR], gauges[row, WEEK_ERROR] = errors
    wanted = chosen(part, known, *errors)
    if wanted != part:
        turn(c, row, wanted, errors[1])
        part = wanted
    levels[row, LEVEL] += levels[row, UNIT] * level_step(u - seasonal(part, by_day, by_week), own, elapsed, age, p)
    gauges[row, SPREAD] = spread_after(gauges[row, SPREAD], u, elapsed, age)
    rest = u - by_day - (by_week if part == WEEK else 0.0)
    cell = day_after(by_day, day[row, bucket, SCALE], rest, own, elapsed, known, p)
    day[row, bucket, OFFSET], day[row, bucket, SCALE] = cell
    week[row, hour] = week_after(by_week, u - by_day - by_week, own, elapsed, known)
    marks[row, AGE] = min(age + 1, _OLDEST)


@compiled
def pass_over(c: Columns, p: Pace, batch: Batch, found: Found, first: int, end: int) -> None:
    """Judge and learn some of n points, in their order, under the GIL: for states that others read."""
    points, times, levels, gauges, marks, parts, states, day, week = c
    rows, timestamps, local, values = batch
    expected, allowed, decided, onset, alarm = found
    for i in range(first, end):
        row, moment, value = rows[i], timestamps[i], values[i]
        bucket, hour = bucket_of_day(local[i], p.width_us), hour_of_week(local[i])
        learnt, seen = marks[row, AGE] > 0, int(points[row])
        part, state = int(parts[row]), int(states[row])
        level, unit = levels[row, LEVEL], levels[row, UNIT]
        by_day, by_week = float(day[row, bucket, OFFSET]), float(week[row, hour])
        offset = seasonal(part, by_day, by_week)
        own = gauges[row, SPREAD] if part == PLAIN else day[row, bucket, SCALE]
        own = max(unit * own, least_scale(level))
        expected[i] = level + unit * offset if learnt else np.nan
        allowed[i] = own * gauges[row, FACTOR] if learnt else np.nan
        decided[i], onset[i], alarm[i] = part, False, state != CALM
        if not abs(value) <= _LIMIT or (seen > 0 and moment <= times[row, LAST]):
            continue
        if seen == 0:
            times[row, FIRST] = times[row, LAST] = moment
        elapsed, known = moment - times[row, LAST], times[row, LAST] - times[row, FIRST]
        points[row], times[row, LAST] = seen + 1, moment
        if not learnt:
            warm_up(c, p, row, value, seen + 1)
            continue
        u, own = (value - level) / unit, own / unit
        outside = value > expected[i] + allowed[i] or value < expected[i] - allowed[i]
        over = ((marks[row, OVER] << 1) | (1 if outside else 0)) & 0xFF
        now = watch(over, state, p)
        marks[row, OVER], states[row] = over, now
        onset[i], alarm[i] = now == ALARM and state == CALM, now != CALM
        gauges[row, STRANGE] = strange_after(gauges[row, STRANGE], now == ALARM, elapsed, seen)
        if onset[i]:
            open_alarm(c, row, moment)
        if now != ALARM or onset[i]:
            tail = gauges[row, SHARE], gauges[row, EXCESS], gauges[row, FACTOR]
            tail = tail_after(*tail, abs(u - offset) / own, seen, p)
            gauges[row, SHARE], gauges[row, EXCESS], gauges[row, FACTOR] = tail
        if now == ALARM:
            endure(c, p, row, moment, u - offset)
            continue
        _teach(c, p, row, bucket, hour, elapsed, known, seen, u, own)


@compiled_without_gil
def pass_over_own(c: Columns, p: Pace, batch: Batch, found: Found) -> None:
    """Judge and learn n points, in their order, while other threads run: for states that nobody else has yet."""
    pass_over(c, p, batch, found, 0, len(batch.rows))
