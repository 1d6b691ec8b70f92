"""What the loops of the memory bank read and write: the columns of its state, and its pace."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray

SingleArray = NDArray[np.float32]

LENGTHS = (8, 16, 32)
"""Points of the windows that are compared with the bank."""

LONGEST = 32

SAME_TIME_LENGTHS = (4, 16)
"""Points of the windows that are compared with those at the same time of days before."""

DAYS = 8
SLOTS = DAYS * 1440 + LONGEST
"""Values that are kept for that: eight days of minutes."""

PROFILE = len(LENGTHS) + len(SAME_TIME_LENGTHS)
"""The last view: what the profile says of the value. Those before it compare windows of these lengths."""

VIEWS = PROFILE + 1

BINS = 96
"""Bins of the histogram of each view, a quarter of an octave wide."""

UNIT, TAIL, EXCESS, WEIGHT = 0, 1, 2, 3
"""Columns of ``tails``: what the bins are multiples of; from where on the tail is exponential, and its mean
excess, in units; how many points the histogram holds."""

CENTRE, SCALE, DEVIATION = range(3)
"""Columns of ``levels``: what window values are relative to, and multiples of; the mean absolute deviation of the
first points."""

STEP, SLOT, LAST, SINCE = 0, 1, 2, 3
"""Columns of ``times``, in microseconds: usual distance of two points; the slot of the newest value; the newest
point; the first point of the alarm."""

SEEN, FILLED, PERIOD, LEARNT, CALM_POINTS, ALARM_POINTS, BLOCK_POINTS = range(7)
"""Columns of ``marks``: points so far; windows in the bank; slots of a day, 0 while unknown; points that taught;
quiet points in a row; points of the alarm; points of the present block."""

THRESHOLD, BLOCK_MOST, BLOCK_WEIGHT, STRANGE = 0, 1, 2, 3
"""Columns of ``budget``: the evidence from which on there is an alarm; the most of the present block; how many
blocks the histogram holds; the share of blocks in alarm."""

CALM, ALARM, ACCEPTED = 0, 1, 2
"""No alarm; one, during which nothing is learnt; one whose points are learnt since it has lasted."""

BLOCK_BINS = 160
"""Bins of the histogram of the blocks' largest evidence."""


class Columns(NamedTuple):
    """The state of m series.

    Attributes
    ----------
    bank
        float32[m, 32, windows], values of past windows, the newest first.
    born
        int64[m, windows], which point of the series each window ended with.
    recent
        float32[m, 32], the newest values, as a ring.
    slots
        float32[m, `SLOTS`], values by time, as a ring.
    counts
        float32[m, `VIEWS`, `BINS`].
    tails
        float64[m, `VIEWS`, 4].
    levels
        float64[m, 3].
    times
        int64[m, 4].
    marks
        int64[m, 7].
    state
        int8[m], `CALM`, `ALARM` or `ACCEPTED`.
    blocks
        float32[m, `BLOCK_BINS`].
    budget
        float64[m, 4].
    """

    bank: SingleArray
    born: IntArray
    recent: SingleArray
    slots: SingleArray
    counts: SingleArray
    tails: FloatArray
    levels: FloatArray
    times: IntArray
    marks: IntArray
    state: NDArray[np.int8]
    blocks: SingleArray
    budget: FloatArray


class Pace(NamedTuple):
    """How the loops learn, and when they alarm.

    Attributes
    ----------
    windows
        Windows in the bank.
    per_week
        False alarms that are accepted.
    close_points
        An alarm closes after so many quiet points in a row.
    accept_us
        An alarm that has lasted for so long is the new normal.
    """

    windows: int
    per_week: float
    close_points: int
    accept_us: int


class Batch(NamedTuple):
    """n points: `local` are their wall-clock microseconds; `told` and `told_part` what the profile says of them."""

    rows: IntArray
    timestamps: IntArray
    local: IntArray
    values: FloatArray
    told: FloatArray
    told_part: NDArray[np.int16]


class Found(NamedTuple):
    """What is written about n points: the evidence of each view, the score, what decides, and the alarm."""

    evidence: FloatArray
    score: FloatArray
    part: NDArray[np.int16]
    onset: NDArray[np.bool_]
    alarm: NDArray[np.bool_]
