"""Runs of marked points: labelled events, and alerts made of flagged points."""

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import IntArray

Marks = NDArray[np.bool_]

SAME_ALERT_POINTS = 10
"""Flagged points at most so many apart are one alert."""


def runs(marks: Marks) -> tuple[IntArray, IntArray]:
    """Return the first and the last index of each run of marked points, int64[k] each."""
    steps = np.diff(np.concatenate([[0], np.asarray(marks, np.int8), [0]]))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1


def alerts(flags: Marks, gap: int = SAME_ALERT_POINTS) -> tuple[IntArray, IntArray]:
    """Return the first and the last index of each alert: runs of flags, those at most `gap` points apart joined."""
    starts, ends = runs(flags)
    if not len(starts):
        return starts, ends
    parted = starts[1:] - ends[:-1] > gap
    return starts[np.concatenate([[True], parted])], ends[np.concatenate([parted, [True]])]
