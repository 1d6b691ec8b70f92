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

OWN_UNIT, SHIFT_UNIT, JUMP_UNIT, SPREAD_UNIT, OWN_PAST, SHIFT_PAST, JUMP_PAST, SPREAD_PAST = 0, 1, 2, 3, 4, 5, 6, 7
RECENT, MEAN, LAST_REST, LAST_SCALES, CHANGE, USUAL = 8, 9, 10, 11, 12, 13
EVIDENCE_SHARE, EVIDENCE_EXCESS, LIMIT = 14, 15, 16
"""Columns of ``views``.

How large deviations of each view usually are: of a value from what is expected, in scales; of the mean of the last
few, in scales; of a point from the one before, in units of the series; of the scatter, as a logarithm. What each
view says of the points so far, the newer the more. Of the last points: the level of an hour and the mean of a few,
in scales; how far the last one is off, in units of the series and in scales; the mean of the squared steps. The
usual logarithm of that. Of all evidence: the share of the points in its tail, their mean excess, and the limit that
follows, 0 where nothing was seen: artefacts from before there were views have all zeros.
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

BY_SHIFT, BY_JUMP, BY_SPREAD = 3, 4, 5
"""What decided a score beside those: the last points lie off together, jump, or scatter unlike before."""

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
    views
        float32[m, 17].
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
    views: SingleArray
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

    score: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
    part: NDArray[np.int16]
    onset: NDArray[np.bool_]
    alarm: NDArray[np.bool_]


class Pace(NamedTuple):
    """How fast the loops learn, and when they alarm.

    Attributes
    ----------
    width_us, per_width
        Width of a bucket of the day, and one divided by it.
    least_factor
        The threshold is at least so many scales.
    rarity
        The threshold is what one point in so many exceeds.
    per_level, season_days
        One divided by the memory of the level; the memory of the time of day.
    open_points, open_window, close_points
        An alarm opens when so many of the last so many points exceed the threshold, and closes after so many in a
        row that do not.
    accept_us
        An alarm that has lasted for so long is the new normal.
    """

    width_us: int
    per_width: float
    least_factor: float
    rarity: float
    per_level: float
    season_days: float
    open_points: int
    open_window: int
    close_points: int
    accept_us: int
