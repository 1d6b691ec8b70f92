"""Points as columns. One point is a row of three arrays; many series in order are a `Group`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
NumberArray = NDArray[np.int32]

MAX_MAGNITUDE = 1e100
"""Larger numbers are no measurements, and their squares are no numbers."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points of many series, in order of arrival.

    Attributes
    ----------
    series
        int32[n], the number of the series (see `core.series.Series.number`).
    timestamps
        int64[n], microseconds since the epoch.
    values
        float64[n].
    """

    series: NumberArray
    timestamps: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Points":
        """Return the rows that `index` names, itself when a mask names all."""
        if index.dtype == np.bool_ and bool(index.all()):
            return self
        return Points(self.series[index], self.timestamps[index], self.values[index])

    def latest(self) -> "Points":
        """Return one row for each (series, timestamp), sorted by both: the row that arrived last wins."""
        if len(self) < 2:
            return self
        key = self._key()
        if key is None:
            order = np.lexsort((self.timestamps, self.series))
            series, timestamps = self.series[order], self.timestamps[order]
            last = (series[1:] != series[:-1]) | (timestamps[1:] != timestamps[:-1])
        elif bool((key[1:] > key[:-1]).all()):
            return self
        else:
            order = np.argsort(key, kind="stable")  # a merge sort: cheap for a few sorted blocks in a row
            last = key[order[1:]] != key[order[:-1]]
        return self.take(order[np.append(last, True)])

    def _key(self) -> IntArray | None:
        """Return one integer for each (series, timestamp), in their order, None when 63 bits do not hold it."""
        first, last = int(self.timestamps.min()), int(self.timestamps.max())
        lowest, highest = int(self.series.min()), int(self.series.max())
        bits = (last - first).bit_length()
        if bits + (highest - lowest).bit_length() > 62:
            return None
        return ((self.series.astype(np.int64) - lowest) << bits) | (self.timestamps - first)

    @staticmethod
    def concat(parts: Sequence["Points"]) -> "Points":
        """Return all `parts`, the earlier before the later."""
        if not parts:
            return Points.empty()
        return Points(
            np.concatenate([p.series for p in parts]),
            np.concatenate([p.timestamps for p in parts]),
            np.concatenate([p.values for p in parts]),
        )

    @staticmethod
    def empty() -> "Points":
        """Return no points."""
        return Points(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True, slots=True)
class Group:
    """The histories of several series, one after another (compressed rows).

    Attributes
    ----------
    timestamps
        int64[n], microseconds since the epoch, increasing inside a series.
    values
        float64[n].
    indptr
        int64[m + 1]: series ``i`` of ``m`` holds rows ``indptr[i]:indptr[i + 1]``.
    """

    timestamps: IntArray
    values: FloatArray
    indptr: IntArray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def counts(self) -> IntArray:
        """int64[m], points per series."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> IntArray:
        """int64[n], for each point the position of its series."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)

    def series(self, position: int) -> tuple[IntArray, FloatArray]:
        """Return the timestamps and values of the series at `position`."""
        part = slice(int(self.indptr[position]), int(self.indptr[position + 1]))
        return self.timestamps[part], self.values[part]

    @staticmethod
    def of(parts: Iterable[tuple[IntArray, FloatArray]]) -> "Group":
        """Return the group of the given (timestamps, values) pairs."""
        pairs = list(parts)
        counts = np.array([0, *(len(t) for t, _ in pairs)], dtype=np.int64)
        if not pairs:
            return Group(np.empty(0, np.int64), np.empty(0, np.float64), np.cumsum(counts))
        timestamps = np.concatenate([np.asarray(t, np.int64) for t, _ in pairs])
        values = np.concatenate([np.asarray(v, np.float64) for _, v in pairs])
        return Group(timestamps, values, np.cumsum(counts))
