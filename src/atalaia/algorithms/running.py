"""Running statistics of many series, folded in batch by batch."""

from dataclasses import dataclass
from math import exp, isnan, log

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.ordering import by_series
from atalaia.core.points import FloatArray, IntArray, NumberArray

STEP_WEIGHT = 0.05
"""What one new step weighs against all before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """What is known of m series without their points. `fold` changes the arrays in place.

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


def fold(
    state: Running, rows: IntArray | NumberArray, timestamps: IntArray, values: FloatArray
) -> NDArray[np.bool_]:
    """Add a batch of points to `state`, in place; return bool[n], which points took part.

    Only points newer than the last one of their series take part: late and repeated ones do not, nor do those of
    them that stand behind a newer one in the batch. However a stream is cut into batches, the result is the same to
    the last bit. Mean and squares are updated point by point, which is stable for values far from 0 (Welford, "Note
    on a method for calculating corrected sums of squares and products", 1962). The step is the geometric mean of
    the distances between points, exponentially weighted (`STEP_WEIGHT`), so that a gap of hundreds of steps less
    than doubles it.

    Parameters
    ----------
    rows
        int64[n] or int32[n], position of the series of each point, 0 to m - 1, in any order.
    timestamps
        int64[n], microseconds since the epoch, in order inside each series.
    values
        float64[n], finite; magnitudes over 1e150 make `m2` infinite.

    Raises
    ------
    IndexError
        If a row is not the position of a series; nothing has changed then.
    """
    rows = np.ascontiguousarray(rows, np.int64)
    timestamps, values = np.ascontiguousarray(timestamps, np.int64), np.ascontiguousarray(values, np.float64)
    order = by_series(rows, len(state))
    if order is not None:
        rows, timestamps, values = rows[order], timestamps[order], values[order]
    columns = (state.count, state.mean, state.m2, state.first_ts, state.last_ts, state.last_value, state.step_us)
    newer = np.zeros(len(rows), np.bool_)
    _fold(*columns, rows, timestamps, values, newer)
    if order is None:
        return newer
    took_part = np.empty(len(rows), np.bool_)
    took_part[order] = newer
    return took_part


@compiled
def _fold(
    count: IntArray,
    mean: FloatArray,
    m2: FloatArray,
    first_ts: IntArray,
    last_ts: IntArray,
    last_value: FloatArray,
    step_us: FloatArray,
    rows: IntArray,
    timestamps: IntArray,
    values: FloatArray,
    newer: NDArray[np.bool_],
) -> None:
    for i in range(len(rows)):
        row, moment, value = rows[i], timestamps[i], values[i]
        seen = count[row]
        if seen == 0:
            first_ts[row] = moment
        elif moment <= last_ts[row]:
            continue
        else:
            step_us[row] = _step(float(step_us[row]), float(moment - last_ts[row]))
        count[row] = seen + 1
        delta = value - mean[row]
        mean[row] += delta / (seen + 1)
        m2[row] += delta * (value - mean[row])
        last_ts[row] = moment
        last_value[row] = value
        newer[i] = True


@compiled
def _step(old: float, distance: float) -> float:
    """Return the usual distance after one more: s becomes s ** (1 - w) * distance ** w."""
    if isnan(old):
        return distance
    # Most series are regular, and a power takes longer than all the rest.
    return old if distance == old else old * exp(STEP_WEIGHT * log(distance / old))
