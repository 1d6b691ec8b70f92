"""One pass over points: each is judged as its series stands, and then teaches it."""

from atalaia.algorithms.compiled import compiled, compiled_inline, compiled_without_gil
from atalaia.algorithms.streaming.adopting import warm_up_adopted
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
    LIMIT,
    OFFSET,
    OVER,
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
from atalaia.algorithms.streaming.judging import bucket_of_day, hour_of_week, judge_point, no_opinion, seasonal
from atalaia.algorithms.streaming.learning import (
    FARTHEST,
    MOST_FACTOR,
    TAIL_START,
    TAIL_WEIGHT,
    chosen,
    clip,
    day_scale_after,
    error_weight,
    errors_after,
    level_step,
    offset_after,
    season_weights,
    spread_after,
    strange_after,
    tail_after,
)
from atalaia.algorithms.streaming.looking import begin_looking, count_evidence, look
from atalaia.algorithms.streaming.turning import endure, open_alarm, turn, warm_up, watch
from atalaia.core.scores import THRESHOLD

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
    _, _, levels, gauges, marks, _, parts, _, day, week = c
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
    of_day, of_week = season_weights(elapsed, known, p)
    day[row, bucket, OFFSET] = offset_after(by_day, rest, own, of_day)
    day[row, bucket, SCALE] = day_scale_after(day[row, bucket, SCALE], rest, of_day)
    week[row, hour] = offset_after(by_week, u - by_day - by_week, own, of_week)
    marks[row, AGE] = min(age + 1, _OLDEST)


@compiled_inline
def _count(c: Columns, p: Pace, row: int, off: float, seen: int) -> None:
    """Let the tail of single values learn from how far a point is off."""
    gauges = c.gauges
    tail = gauges[row, SHARE], gauges[row, EXCESS], gauges[row, FACTOR]
    tail = tail_after(*tail, off, seen, TAIL_WEIGHT, TAIL_START, p.least_factor, MOST_FACTOR, p.rarity)
    gauges[row, SHARE], gauges[row, EXCESS], gauges[row, FACTOR] = tail


@compiled_inline
def _see(
    c: Columns,
    p: Pace,
    row: int,
    state: int,
    rest: float,
    own: float,
    off: float,
    evidence: float,
    elapsed: int,
    seen: int,
    teaches: bool,
) -> None:
    """Let the views see a point of a series that was in `state`, see `look`, and their limit learn from it."""
    if c.views[row, LIMIT] <= 0.0:
        begin_looking(c, p, row)
    if teaches and state == CALM:
        count_evidence(c, p, row, evidence, seen)
    look(c, row, rest, own, off, elapsed, min(seen + 1, int(c.marks[row, AGE])), teaches)


@compiled_inline
def _warm_up(c: Columns, p: Pace, row: int, bucket: int, hour: int, value: float, seen: int) -> None:
    """Take one of the first points of a series, number `seen`."""
    if c.gauges[row, SPREAD] > 0.0:  # it was adopted
        warm_up_adopted(c, row, bucket, hour, value, seen)
    else:
        warm_up(c, p, row, value, seen)


@compiled
def pass_over(c: Columns, p: Pace, batch: Batch, found: Found, first: int, end: int, looks: bool) -> None:
    """Judge and learn some of n points, in their order, under the GIL: for states that others read.

    Without `looks` each value is judged alone, and the views see nothing.
    """
    points, times, levels, gauges, marks, _, parts, states, _, _ = c
    rows, timestamps, local, values = batch
    onset, alarm = found.onset, found.alarm
    for i in range(first, end):
        row, moment, value = rows[i], timestamps[i], values[i]
        learnt, seen, state = marks[row, AGE] > 0, int(points[row]), int(states[row])
        bucket, hour = bucket_of_day(local[i], p.width_us), hour_of_week(local[i])
        elapsed = moment - times[row, LAST] if seen > 0 else 0
        judged = 0.0, 1.0, 0.0, 0.0
        if learnt:
            judged = judge_point(c, found, i, row, bucket, hour, elapsed, value)
        else:
            no_opinion(found, i, int(parts[row]))
        onset[i], alarm[i] = False, state != CALM
        if not abs(value) <= _LIMIT or (seen > 0 and elapsed <= 0):
            continue
        if seen == 0:
            times[row, FIRST] = times[row, LAST] = moment
        known = times[row, LAST] - times[row, FIRST]
        points[row], times[row, LAST] = seen + 1, moment
        if not learnt:
            _warm_up(c, p, row, bucket, hour, value, seen + 1)
            continue
        offset, scale, off, evidence = judged
        per_unit = 1.0 / levels[row, UNIT]
        u, own = clip((value - levels[row, LEVEL]) * per_unit, FARTHEST), scale * per_unit
        over = ((marks[row, OVER] << 1) | (1 if found.score[i] > THRESHOLD else 0)) & 0xFF
        now = watch(over, state, p)
        marks[row, OVER], states[row] = over, now
        onset[i], alarm[i] = now == ALARM and state == CALM, now != CALM
        gauges[row, STRANGE] = strange_after(gauges[row, STRANGE], now == ALARM, elapsed, seen)
        if onset[i]:
            open_alarm(c, row, moment)
        teaches = now != ALARM or onset[i]
        if teaches:
            _count(c, p, row, off, seen)
        if looks:
            _see(c, p, row, state, u - offset, own, off, evidence, elapsed, seen, teaches)
        if now == ALARM:
            endure(c, p, row, moment, u - offset)
            continue
        _teach(c, p, row, bucket, hour, elapsed, known, seen, u, own)


@compiled_without_gil
def pass_over_own(c: Columns, p: Pace, batch: Batch, found: Found, looks: bool) -> None:
    """Judge and learn n points, in their order, while other threads run: for states that nobody else has yet."""
    pass_over(c, p, batch, found, 0, len(batch.rows), looks)
