"""What the loops around the networks read and write: the columns of their state.

Positions in ``tails``, ``times``, ``marks``, ``budget`` and the values of ``state`` are those of the memory bank,
whose histogram, budget and alarm they share: see `atalaia.algorithms.memory.columns`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.deep.networks import SingleArray
from atalaia.core.points import FloatArray, IntArray

CENTRE, SCALE, DEVIATION = 0, 1, 2
"""Columns of ``levels``: what values are relative to, and multiples of (0 while it is unknown); the mean deviation
of the first points, while they are all that is known."""


class Columns(NamedTuple):
    """The state of m series.

    Attributes
    ----------
    points
        int64[m], usable points that came in order of time.
    recent
        float32[m, 32], the newest values in scales of the series, as a ring.
    counts
        float32[m, 1, bins], the histogram of the errors.
    tails
        float64[m, 1, 4].
    levels
        float64[m, 3].
    times
        int64[m, 4].
    marks
        int64[m, 8].
    state
        int8[m], calm, in alarm, or in one that was accepted.
    blocks
        float32[m, bins].
    budget
        float64[m, 4].
    """

    points: IntArray
    recent: SingleArray
    counts: SingleArray
    tails: FloatArray
    levels: FloatArray
    times: IntArray
    marks: IntArray
    state: NDArray[np.int8]
    blocks: SingleArray
    budget: FloatArray


class Batch(NamedTuple):
    """n points."""

    rows: IntArray
    timestamps: IntArray
    values: FloatArray


class Stretches(NamedTuple):
    """Points of `Batch` that lie together and belong to one series each: from `first` to before `end`.

    Their windows and answers stand one after another, those of a stretch from `place` on. The loops write to `done`
    up to where they came: windows are made as if every point joined them, and not every one does.
    """

    first: IntArray
    end: IntArray
    place: IntArray
    done: IntArray


class Found(NamedTuple):
    """What is written about n points: what was expected and how much it may differ, the error in scales of the
    series, the one that is allowed, and the alarm."""

    expected: FloatArray
    allowed: FloatArray
    error: FloatArray
    most: FloatArray
    onset: NDArray[np.bool_]
    alarm: NDArray[np.bool_]
