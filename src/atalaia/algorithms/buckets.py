"""A long series in few numbers, for a chart."""

from dataclasses import dataclass

import numpy as np

from atalaia.core.points import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """What happened in each stretch of time that holds points, in order of time.

    Attributes
    ----------
    start, end
        int64[k], microseconds since the epoch: the stretch is ``[start, end)``.
    count
        int64[k], points in it, at least 1.
    min, mean, max
        float64[k], of their values.
    """

    start: IntArray
    end: IntArray
    count: IntArray
    min: FloatArray
    mean: FloatArray
    max: FloatArray

    def __len__(self) -> int:
        return len(self.count)


def aggregate(timestamps: IntArray, values: FloatArray, start_us: int, end_us: int, buckets: int) -> Buckets:
    """Return the points of one series between two moments in at most `buckets` stretches of equal length.

    Stretches without points are left out; the last one ends at `end_us` and may be shorter. NaN and infinite values
    count as no points.

    Parameters
    ----------
    timestamps
        int64[n], microseconds since the epoch, in order.
    values
        float64[n].
    start_us, end_us
        Points of ``[start_us, end_us)`` take part.

    Raises
    ------
    ValueError
        If `buckets` is less than 1.
    """
    if buckets < 1:
        raise ValueError("a chart needs at least one bucket")
    inside = slice(*np.searchsorted(timestamps, [start_us, end_us]))
    finite = np.isfinite(values[inside])
    timestamps, values = timestamps[inside][finite], values[inside][finite]
    width = max(-((start_us - end_us) // buckets), 1)
    place = (timestamps - start_us) // width
    first = np.flatnonzero(np.r_[True, place[1:] != place[:-1]][: len(place)])
    start = start_us + place[first] * width
    count = np.diff(np.r_[first, len(place)])
    if not len(first):
        return Buckets(start, start, count[:0], values, values, values)
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    # Divided before they are added, so that only the last rounding can carry a mean over its extremes.
    with np.errstate(over="ignore"):
        mean = np.clip(np.add.reduceat(values / np.repeat(count, count), first), low, high)
    return Buckets(start, np.minimum(start + width, end_us), count, low, mean, high)
