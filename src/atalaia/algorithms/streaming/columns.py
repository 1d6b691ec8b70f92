"""What the loops of the streaming detector read and write: the columns of its state, and its pace."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray

SingleArray = NDArray[np.float32]
MarkArray = NDArray[np.int32]

FIRST, LAST, SINCE = 0, 1, 2
"""Columns of ``times``: the first and the last point, and the first one of the last alarm."""

LEVEL, UNIT, SHIFT = 0, 1, 2
"""Columns of ``levels``: the level; what the 32-bit numbers are multiples of; the deviation in the last alarm."""

SPREAD, PLAIN_ERROR, DAY_ERROR, WEEK_ERROR, SHARE, EXCESS, FACTOR, SHIFT_SPREAD, STRANGE = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of ``gauges``.

The scale around the level alone; the mean absolute errors of `PLAIN`, `DAY` and `WEEK`; of the tail: the share of
the points in it, their mean excess, and the factor from scale to threshold that follows; the scale in the last
alarm; the share of the time in alarm.
"""

AGE, OVER, ALARMS, ALARM_POINTS = 0, 1, 2, 3
"""Columns of ``marks``.

How many points taught since the series was learnt, or learnt again (0 while it is not); the last eight points as
bits, the newest lowest, 1 where one exceeded the threshold; alarms so far; points of the last one.
"""

OFFSET, SCALE = 0, 1
"""Columns of ``day``."""

PLAIN, DAY, WEEK = 0, 1, 2
"""What a series follows: its level, the time of day too, the hour of the week too."""

CALM, ALARM, ACCEPTED = 0, 1, 2
"""No alarm; one, during which nothing is learnt; one whose points are learnt since it has lasted."""


class Columns(NamedTuple):
    """The state of m series.

    Attributes
    ----------
    points
        int64[m], usable points that came in order of time.
    times
        int64[m, 3], microseconds since the epoch.
    levels
        float64[m, 3]; of a series that is not learnt, `LEVEL` and `UNIT` are mean and mean deviation so far.
    gauges
        float32[m, 9], in units of the series, so that no magnitude is too large for 32 bits.
    marks
        int32[m, 4].
    part
        int8[m], `PLAIN`, `DAY` or `WEEK`.
    alarm
        int8[m], `CALM`, `ALARM` or `ACCEPTED`.
    day
        float32[m, buckets, 2], offset and scale of each time of day, in units of the series.
    week
        float32[m, 168], offset of each hour of the week, in units of the series.
    """

    points: IntArray
    times: IntArray
    levels: FloatArray
    gauges: SingleArray
    marks: MarkArray
    part: NDArray[np.int8]
    alarm: NDArray[np.int8]
    day: SingleArray
    week: SingleArray


class Batch(NamedTuple):
    """n points; `local` are their wall-clock microseconds."""

    rows: IntArray
    timestamps: IntArray
    local: IntArray
    values: FloatArray


class Found(NamedTuple):
    """What is written about n points."""

    expected: FloatArray
    allowed: FloatArray
    part: NDArray[np.int16]
    onset: NDArray[np.bool_]
    alarm: NDArray[np.bool_]


class Pace(NamedTuple):
    """How fast the loops learn, and when they alarm.

    Attributes
    ----------
    width_us
        Width of a bucket of the day.
    least_factor
        The threshold is at least so many scales.
    rarity
        The threshold is what one point in so many exceeds.
    level_us, season_days
        Memory of the level, and of the time of day.
    open_points, open_window, close_points
        An alarm opens when so many of the last so many points exceed the threshold, and closes after so many in a
        row that do not.
    accept_us
        An alarm that has lasted for so long is the new normal.
    """

    width_us: int
    least_factor: float
    rarity: float
    level_us: float
    season_days: float
    open_points: int
    open_window: int
    close_points: int
    accept_us: int
