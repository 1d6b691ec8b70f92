"""Running statistics of many series, folded in batch by batch."""

from dataclasses import dataclass, fields
from math import exp, isnan, log

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.ordering import by_series
from atalaia.core.points import FloatArray, IntArray, NumberArray

STEP_WEIGHT = 0.05
"""What one new step weighs against all before it."""
FORGETS = 0.99999
"""What is left of a longest gap, or row of equal values, after each point: half of it after 69,000."""
_GROWS = 4.0
"""One that is longer than all before counts as so many times the longest at most: else one outage would teach that
outages are usual. One that comes again is learnt in a few times."""
_FEW_STEPS, _FEW_REPEATS = 10.0, 15.0
"""So long ones are learnt at once."""
_MOST_OFF = 2.0
"""A distance counts as that far off at most, so that one outage does not make a series unsteady."""


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
    unsteady
        float64[m], how much the distances scatter: the usual size of the logarithm of one beside the usual one.
    gap_us
        float64[m], the longest distance between two points, which is forgotten over many thousand points.
    flat, flat_since
        int64[m], how many points in a row have repeated the value of the one at `flat_since`.
    flat_usual
        float64[m], the longest such row that ended, forgotten in the same way.
    """

    count: IntArray
    mean: FloatArray
    m2: FloatArray
    first_ts: IntArray
    last_ts: IntArray
    last_value: FloatArray
    step_us: FloatArray
    unsteady: FloatArray
    gap_us: FloatArray
    flat: IntArray
    flat_since: IntArray
    flat_usual: FloatArray

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
            unsteady=np.zeros(series),
            gap_us=np.zeros(series),
            flat=np.zeros(series, np.int64),
            flat_since=np.zeros(series, np.int64),
            flat_usual=np.zeros(series),
        )

    def grown(self, series: int) -> "Running":
        """Return the same statistics with empty ones behind them, of `series` series in all."""
        more = Running.empty(series - len(self))
        columns = {one.name: (getattr(self, one.name), getattr(more, one.name)) for one in fields(self)}
        return Running(**{name: np.concatenate(both) for name, both in columns.items()})


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
    habits = (state.unsteady, state.gap_us, state.flat, state.flat_since, state.flat_usual)
    newer = np.zeros(len(rows), np.bool_)
    _fold(*columns, *habits, rows, timestamps, values, newer)
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
    unsteady: FloatArray,
    gap_us: FloatArray,
    flat: IntArray,
    flat_since: IntArray,
    flat_usual: FloatArray,
    rows: IntArray,
    timestamps: IntArray,
    values: FloatArray,
    newer: NDArray[np.bool_],
) -> None:
    for i in range(len(rows)):
        row, moment, value = rows[i], timestamps[i], values[i]
        seen = count[row]
        if seen == 0:
            first_ts[row] = flat_since[row] = moment
        elif moment <= last_ts[row]:
            continue
        else:
            distance = float(moment - last_ts[row])
            off = _off(float(step_us[row]), distance)
            if seen == 1:
                step_us[row] = distance
            elif off != 0.0:  # most series are regular, and a power takes longer than all the rest
                step_us[row] *= exp(STEP_WEIGHT * off)
            unsteady[row] += STEP_WEIGHT * (min(abs(off), _MOST_OFF) - unsteady[row])
            gap_us[row] = _longest(float(gap_us[row]), distance, _FEW_STEPS * float(step_us[row]))
            if value == last_value[row]:
                flat[row] += 1
            else:
                flat_usual[row] = _longest(float(flat_usual[row]), float(flat[row]), _FEW_REPEATS)
                flat[row] = 0
                flat_since[row] = moment
        count[row] = seen + 1
        delta = value - mean[row]
        mean[row] += delta / (seen + 1)
        m2[row] += delta * (value - mean[row])
        last_ts[row] = moment
        last_value[row] = value
        newer[i] = True


@compiled
def _off(usual: float, distance: float) -> float:
    """Return how far a distance is off the usual one, as a logarithm: s becomes s ** (1 - w) * distance ** w."""
    return 0.0 if isnan(usual) or distance == usual else log(distance / usual)


@compiled
def _longest(longest: float, now: float, few: float) -> float:
    """Return the longest of its kind after one more."""
    return max(longest * FORGETS, min(now, _GROWS * max(longest, few)))
