"""What a point is expected to be, and how strange it is, as its series stands."""

from math import isnan

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.local_time import DAY_US, HOUR_US, WEEK_US
from atalaia.algorithms.streaming.columns import (
    AGE,
    BY_JUMP,
    BY_SHIFT,
    BY_SPREAD,
    DAY,
    FACTOR,
    JUMP_PAST,
    LAST,
    LEVEL,
    LIMIT,
    OFFSET,
    OWN_PAST,
    OWN_UNIT,
    PLAIN,
    RECENT,
    SCALE,
    SHIFT_PAST,
    SPREAD,
    SPREAD_PAST,
    UNIT,
    WEEK,
    Batch,
    Columns,
    Found,
)
from atalaia.core.scores import THRESHOLD

SLOPE = 1.5
"""Evidence of a deviation that is as large as usual: evidence is proportional to it."""

NEWEST = 0.5
"""Evidence is a running mean over points; the newest point weighs so much of it."""

FORGOTTEN_US = DAY_US // 2
"""What the last points said does not count after so long a gap, nor for points before them."""

# The past may narrow the band to what is left of the limit, and never closes it.
_MOST_PAST = 0.75
_ALLOWED = 1.0 / (NEWEST * SLOPE)
_NO_LIMIT = 1e30

# The epoch is a Thursday; weeks begin on Monday.
_MONDAY_US = 3 * DAY_US

# The same as in `detectors.bands`, which a compiled function cannot call.
_SCALE_FLOOR = 1e-12
_RELATIVE_SCALE_FLOOR = 1e-6
_LARGEST = 1e140
_SCORE_CAP = 1e6
_JUST_OVER = float(np.nextafter(THRESHOLD, 2.0))


@compiled_inline
def bucket_of_day(local: int, width_us: int) -> int:
    """Return which bucket of the day a wall-clock moment is in."""
    return local % DAY_US // width_us


@compiled_inline
def hour_of_week(local: int) -> int:
    """Return the hour of the week, counted from Monday's midnight, of a wall-clock moment."""
    return (local + _MONDAY_US) % WEEK_US // HOUR_US


@compiled_inline
def least_scale(level: float) -> float:
    """Return the least scale of a series around `level`."""
    return max(abs(level) * _RELATIVE_SCALE_FLOOR, _SCALE_FLOOR)


@compiled_inline
def seasonal(part: int, by_day: float, by_week: float) -> float:
    """Return the offset from the level that the seasons in use expect."""
    return by_day + by_week if part == WEEK else by_day if part == DAY else 0.0


@compiled_inline
def score_of(value: float, expected: float, allowed: float, alone: float, together: float) -> float:
    """Return the score of a value: `alone`, or `together` with what was seen before, whichever is more.

    As in `detectors.bands`, at the edges the band decides.
    """
    if isnan(value):
        return np.nan
    score = min(max(alone, together), _SCORE_CAP)
    if value > expected + allowed or value < expected - allowed:
        return max(score, _JUST_OVER)
    return min(score, THRESHOLD)


@compiled_inline
def decider(season: int, own: float, shift: float, jump: float, spread: float) -> int:
    """Return which view says the most of the points so far."""
    if own >= max(shift, jump, spread):
        return season
    return BY_SHIFT if shift >= max(jump, spread) else BY_JUMP if jump >= spread else BY_SPREAD


@compiled_inline
def judge_point(
    c: Columns, found: Found, i: int, row: int, bucket: int, hour: int, elapsed: int, value: float
) -> tuple[float, float, float, float]:
    """Write what there is to say of a point of a learnt series.

    Returns
    -------
    tuple
        The offset of the seasons, in units of the series; the scale; how many usual deviations the value is off;
        all evidence.
    """
    _, _, levels, gauges, _, views, parts, _, day, week = c
    part, level, unit = int(parts[row]), levels[row, LEVEL], levels[row, UNIT]
    offset = seasonal(part, float(day[row, bucket, OFFSET]), float(week[row, hour]))
    least = least_scale(level)
    scale = max(unit * (gauges[row, SPREAD] if part == PLAIN else day[row, bucket, SCALE]), least)
    limit, usual, past, recent = float(views[row, LIMIT]), scale, 0.0, 0.0
    own, shift, jump, spread = 0.0, 0.0, 0.0, 0.0
    if limit > 0.0:
        usual = max(scale * views[row, OWN_UNIT], least)
        if 0 < elapsed < FORGOTTEN_US:
            recent, own = float(views[row, RECENT]), NEWEST * views[row, OWN_PAST]
            shift, jump, spread = views[row, SHIFT_PAST], views[row, JUMP_PAST], views[row, SPREAD_PAST]
            past = min(own + shift + jump + spread, _MOST_PAST * limit)
    else:
        limit = _NO_LIMIT
    expected, factor = level + unit * offset + scale * recent, float(gauges[row, FACTOR])
    off = abs(min(max(value, -_LARGEST), _LARGEST) - expected) / usual
    evidence = past + NEWEST * SLOPE * off
    allowed = usual * min(factor, (limit - past) * _ALLOWED)
    per_both = 1.0 / (factor * limit)
    score = score_of(value, expected, allowed, off * limit * per_both, evidence * factor * per_both)
    found.expected[i], found.lower[i], found.upper[i] = expected, expected - allowed, expected + allowed
    found.score[i] = score
    told = score > THRESHOLD and off <= factor
    found.part[i] = decider(part, own, shift, jump, spread) if told else part
    return offset, scale, off, evidence


@compiled_inline
def no_opinion(found: Found, i: int, part: int) -> None:
    """Write that there is nothing to say of a point."""
    found.score[i] = found.expected[i] = found.lower[i] = found.upper[i] = np.nan
    found.part[i] = part


@compiled
def expect(c: Columns, width_us: int, batch: Batch, found: Found) -> None:
    """Write what there is to say of n points; nothing is learnt."""
    rows, timestamps, wall, values = batch
    for i in range(len(rows)):
        row, local = rows[i], wall[i]
        if c.marks[row, AGE] > 0:
            elapsed = timestamps[i] - c.times[row, LAST]
            bucket, hour = bucket_of_day(local, width_us), hour_of_week(local)
            judge_point(c, found, i, row, bucket, hour, elapsed, values[i])
        else:
            no_opinion(found, i, int(c.part[row]))
