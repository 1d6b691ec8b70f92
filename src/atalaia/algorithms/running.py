"""Running statistics of many series, folded in batch by batch."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray

_Array = TypeVar("_Array", bound=NDArray[Any])

STEP_WEIGHT = 0.05
"""What one new step weighs against all before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """What is known of m series without their points.

    Attributes
    ----------
    count
        int64[m], points that took part.
    mean, m2
        float64[m], mean, and sum of the squared differences from it.
    first_ts, last_ts
        int64[m], microseconds since the epoch; 0 while `count` is 0.
    last_value
        float64[m]; NaN while `count` is 0.
    step_us
        float64[m], usual distance between two points in microseconds; NaN below two points.
    """

    count: IntArray
    mean: FloatArray
    m2: FloatArray
    first_ts: IntArray
    last_ts: IntArray
    last_value: FloatArray
    step_us: FloatArray

    def __len__(self) -> int:
        return len(self.count)

    @property
    def std(self) -> FloatArray:
        """float64[m], sample standard deviation; 0.0 below two points."""
        return np.sqrt(np.where(self.count > 1, self.m2, 0.0) / np.maximum(self.count - 1, 1))

    @staticmethod
    def empty(series: int) -> "Running":
        """Return the statistics of `series` series without points."""
        return Running(
            count=np.zeros(series, np.int64),
            mean=np.zeros(series),
            m2=np.zeros(series),
            first_ts=np.zeros(series, np.int64),
            last_ts=np.zeros(series, np.int64),
            last_value=np.full(series, np.nan),
            step_us=np.full(series, np.nan),
        )

    def grown(self, series: int) -> "Running":
        """Return the same statistics with empty ones behind them, of `series` series in all."""
        more = Running.empty(series - len(self))
        return Running(
            count=np.concatenate([self.count, more.count]),
            mean=np.concatenate([self.mean, more.mean]),
            m2=np.concatenate([self.m2, more.m2]),
            first_ts=np.concatenate([self.first_ts, more.first_ts]),
            last_ts=np.concatenate([self.last_ts, more.last_ts]),
            last_value=np.concatenate([self.last_value, more.last_value]),
            step_us=np.concatenate([self.step_us, more.step_us]),
        )


def fold(state: Running, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Running:
    """Return `state` with a batch of points added; `state` itself stays as it is.

    Only points newer than the last one of their series take part. However a stream is cut into batches, the result
    is the same but for rounding. Mean and squares are merged pairwise, which is stable for values far from 0 (Chan,
    Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979). The step
    is the geometric mean of the distances between points, exponentially weighted (`STEP_WEIGHT`), so that a gap of
    hundreds of steps less than doubles it.

    Parameters
    ----------
    rows
        int64[n], position of the series of each point, 0 to m - 1.
    timestamps
        int64[n], microseconds since the epoch.
    values
        float64[n], finite; magnitudes over 1e150 make `m2` infinite. The points are sorted by (row, timestamp),
        without repeats.
    """
    news = (state.count[rows] == 0) | (timestamps > state.last_ts[rows])
    rows, timestamps, values = rows[news], timestamps[news], values[news]
    if not len(rows):
        return state
    starts, counts = _runs(rows)
    lasts = starts + counts - 1
    touched = rows[starts]
    with np.errstate(over="ignore", invalid="ignore"):
        count, mean, m2 = _moments(state, touched, values, starts, counts)
    first_ts = np.where(state.count[touched] == 0, timestamps[starts], state.first_ts[touched])
    return Running(
        count=_with(state.count, touched, count),
        mean=_with(state.mean, touched, mean),
        m2=_with(state.m2, touched, m2),
        first_ts=_with(state.first_ts, touched, first_ts),
        last_ts=_with(state.last_ts, touched, timestamps[lasts]),
        last_value=_with(state.last_value, touched, values[lasts]),
        step_us=_with(state.step_us, *_steps(state, rows, timestamps)),
    )


def _with(old: _Array, rows: IntArray, new: NDArray[Any]) -> _Array:
    changed = old.copy()
    changed[rows] = new
    return changed


def _runs(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each run of equal `rows` starts, and how long it is."""
    starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    return starts, np.diff(starts, append=len(rows))


def _moments(
    state: Running, rows: IntArray, values: FloatArray, starts: IntArray, counts: IntArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return count, mean and m2 of `rows`, those of `state` and those of their runs in `values` taken together."""
    mean = np.add.reduceat(values, starts) / counts
    m2 = np.add.reduceat((values - np.repeat(mean, counts)) ** 2, starts)
    before = state.count[rows]
    delta = mean - state.mean[rows]
    share = counts / (before + counts)
    return before + counts, state.mean[rows] + delta * share, state.m2[rows] + m2 + delta**2 * before * share


def _steps(state: Running, rows: IntArray, timestamps: IntArray) -> tuple[IntArray, FloatArray]:
    """Return which series have a new step, and it: s becomes s ** (1 - w) * distance ** w, point by point."""
    starts, _ = _runs(rows)
    before = np.concatenate([timestamps[:1], timestamps[:-1]])
    before[starts] = state.last_ts[rows[starts]]
    # The very first point of a series has no distance to another.
    measured = np.ones(len(rows), np.bool_)
    measured[starts] = state.count[rows[starts]] > 0
    rows, distances = rows[measured], np.log((timestamps - before)[measured])
    if not len(rows):
        return rows, distances
    starts, counts = _runs(rows)
    old = np.log(state.step_us[rows[starts]])
    # The first distance is the step; folding it once more changes nothing.
    old = np.where(np.isnan(old), distances[starts], old)
    later = np.repeat(starts + counts, counts) - 1 - np.arange(len(rows))
    folded = np.add.reduceat(STEP_WEIGHT * (1 - STEP_WEIGHT) ** later * distances, starts)
    return rows[starts], np.exp(old * (1 - STEP_WEIGHT) ** counts + folded)
