"""How far each metric moved: what it usually is, what it was for a while, and how unusual that is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, Group, IntArray

SUSTAINED_POINTS = 3
"""Points in a row whose mean counts; a single one may be chance."""
LEAST_HISTORY = 3
"""Points before the incident below which nothing is said of a metric."""
_LEVEL = 0.5
"""Part of its usual level that a metric must move by to have moved by one scale, however quiet it was before."""
_PEERS = 0.1
"""Part of the usual level of its peers that counts as its own level where that is lower."""
_SHARE = 0.01
"""The least scale of a share of success, as a part of its range."""
_NORMAL = 0.6745
"""The median of the absolute value of a standard normal."""
_BEYOND = 1e6
"""No move counts more scales than these, however near to nothing a scale is."""
_MOST_SCALES = 20.0
"""What the furthest move of a metric counts that was the same, and nothing, everywhere before."""


@dataclass(frozen=True, slots=True)
class Shifts:
    """Of m series, one row each; NaN where it is not known.

    Attributes
    ----------
    expected
        float64[m], the median before the incident.
    noise
        float64[m], the usual distance from it, as a standard deviation.
    seen
        float64[m], the mean of those points in a row that lie furthest from `expected`.
    scales
        float64[m], how far that is, in scales; positive is more. 0.0 where it is not known.
    since
        int64[m], the position in the window of the first of these points; -1 where there are none.
    """

    expected: FloatArray
    noise: FloatArray
    seen: FloatArray
    scales: FloatArray
    since: IntArray

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """bool[m], whether there was enough before, and anything in the window."""
        return np.isfinite(self.expected) & (self.since >= 0)


def measure(history: Group, window: FloatArray, metrics: IntArray, is_success: NDArray[np.bool_]) -> Shifts:
    """Return how far each series moved.

    A scale is the noise of the series, and at least half its usual level or a twentieth of that of the same metric
    elsewhere: what was constant before is not infinitely surprised by a little.

    Parameters
    ----------
    history
        The points before the incident; those that are no numbers do not count.
    window
        float64[m, w], the values in the incident on a common grid, NaN where there is none.
    metrics
        int64[m], which metric each series is of, from 0 on.
    is_success
        bool[m], whether it is a share of what went well: its level is what is missing to the whole.
    """
    expected, noise = usual(history)
    seen, since = furthest(window, expected)
    best = np.where(is_success, _whole(history, metrics), np.nan)
    is_share = np.isfinite(best)
    level = np.abs(np.where(is_share, best, 0.0) - expected)
    peers = _median_of_each(level, metrics)
    moved = seen - expected
    scale = np.fmax(np.fmax(noise, _LEVEL * level), _PEERS * _LEVEL * peers[metrics])
    scale = np.fmax(scale, np.where(is_share, _SHARE * best, 0.0))
    flat = ~(scale > 0) & np.isfinite(moved)
    if bool(flat.any()):
        largest = np.zeros(len(peers))
        np.maximum.at(largest, metrics[flat], np.abs(moved[flat]))
        scale = np.where(flat, np.maximum(largest[metrics] / _MOST_SCALES, np.finfo(np.float64).tiny), scale)
    scale = np.fmax(scale, np.abs(moved) / _BEYOND)
    scales = np.zeros(len(moved))
    np.divide(moved, scale, out=scales, where=np.isfinite(moved) & (scale > 0))
    return Shifts(expected, noise, seen, scales, since)


def usual(history: Group) -> tuple[FloatArray, FloatArray]:
    """Return the median of each series and the usual distance from it, NaN where there are too few points."""
    expected = np.full(len(history), np.nan)
    noise = np.full(len(history), np.nan)
    is_number = np.isfinite(history.values)
    for position in range(len(history)):
        part = slice(int(history.indptr[position]), int(history.indptr[position + 1]))
        values = history.values[part][is_number[part]]
        if len(values) >= LEAST_HISTORY:
            expected[position] = middle = float(np.median(values))
            noise[position] = float(np.median(np.abs(values - middle))) / _NORMAL
    return expected, noise


def furthest(window: FloatArray, expected: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the mean of the points in a row that lie furthest from `expected`, and where they begin.

    Of `SUSTAINED_POINTS` in a row, those that are missing do not count; a window with fewer is looked at whole.
    """
    rows, length = window.shape
    seen, since = np.full(rows, np.nan), np.full(rows, -1, np.int64)
    if not rows or not length:
        return seen, since
    run = min(SUSTAINED_POINTS, length)
    moved = window - expected[:, None]
    is_there = np.isfinite(moved)
    sums = np.cumsum(np.pad(np.where(is_there, moved, 0.0), ((0, 0), (1, 0))), axis=1)
    counts = np.cumsum(np.pad(is_there, ((0, 0), (1, 0))), axis=1)
    sums, counts = sums[:, run:] - sums[:, :-run], counts[:, run:] - counts[:, :-run]
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    far = np.where(np.isfinite(means), np.abs(means), -1.0)
    best = far.argmax(axis=1)
    every: IntArray = np.arange(rows, dtype=np.int64)
    found = far[every, best] >= 0
    seen[found] = (means[every, best] + expected)[found]
    since[found] = best[found]
    return seen, since


def _whole(history: Group, metrics: IntArray) -> FloatArray:
    """Return, for each series, what all of its metric is: 1 or 100, NaN where the values are no shares."""
    largest = np.full(int(metrics.max(initial=-1)) + 1, -np.inf)
    values = np.where(np.isfinite(history.values), history.values, -np.inf)
    np.maximum.at(largest, metrics[history.rows], values)
    lowest = np.full(len(largest), np.inf)
    np.minimum.at(lowest, metrics[history.rows], np.where(np.isfinite(values), values, np.inf))
    whole = np.where(largest <= 1.0 + 1e-9, 1.0, np.where(largest <= 100.0 + 1e-6, 100.0, np.nan))
    return np.where(lowest >= 0, whole, np.nan)[metrics]


def _median_of_each(values: FloatArray, metrics: IntArray) -> FloatArray:
    """Return the median of the values of each metric, 0.0 where none is known."""
    found = np.zeros(int(metrics.max(initial=-1)) + 1)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(metrics[known], kind="stable")]
    if len(order):
        starts = np.flatnonzero(np.diff(metrics[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            found[metrics[part[0]]] = float(np.median(values[part]))
    return found
