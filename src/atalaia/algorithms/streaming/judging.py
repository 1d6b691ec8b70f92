"""What a point is expected to be, as its series stands."""

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.local_time import DAY_US, HOUR_US, WEEK_US
from atalaia.algorithms.streaming.columns import (
    AGE,
    DAY,
    FACTOR,
    LEVEL,
    OFFSET,
    PLAIN,
    SCALE,
    SPREAD,
    UNIT,
    WEEK,
    Batch,
    Columns,
    Found,
)

# The epoch is a Thursday; weeks begin on Monday.
_MONDAY_US = 3 * DAY_US

# The same as in `detectors.bands`, which a compiled function cannot call.
_SCALE_FLOOR = 1e-12
_RELATIVE_SCALE_FLOOR = 1e-6


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


@compiled
def expect(c: Columns, width_us: int, batch: Batch, found: Found) -> None:
    """Write what n points are expected to be, by how much they may differ, and what decides that."""
    _, _, levels, gauges, marks, parts, _, day, week = c
    rows, _, wall, _ = batch
    expected, allowed, decided, _, _ = found
    for i in range(len(rows)):
        row, local = rows[i], wall[i]
        part = int(parts[row])
        decided[i] = part
        expected[i] = allowed[i] = np.nan
        if marks[row, AGE] > 0:
            level, unit, bucket = levels[row, LEVEL], levels[row, UNIT], bucket_of_day(local, width_us)
            offset = seasonal(part, day[row, bucket, OFFSET], week[row, hour_of_week(local)])
            own = gauges[row, SPREAD] if part == PLAIN else day[row, bucket, SCALE]
            expected[i] = level + unit * offset
            allowed[i] = max(unit * own, least_scale(level)) * gauges[row, FACTOR]
