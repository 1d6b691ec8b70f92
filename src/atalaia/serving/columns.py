"""Which model answers for each series: what is known of it, by its index, in one line of the processor's cache."""

import mmap
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.core.points import FloatArray, IntArray, NumberArray

CHAMPION, CHALLENGER = 0, 1
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1
_LINE = 64
_HUGE_FROM = 1 << 22
"""Bytes from which huge pages are worth it: one alone holds 32,768 series."""
NO_MODEL = -1
NOT_LOADED = -2
"""There is a model in Production, but it is not in memory."""
_Place = TypeVar("_Place", int, IntArray)


def place_of(slot: int, row: _Place) -> _Place:
    """Return the place of a row of the model in a slot."""
    return (slot << _ROW_BITS) | row


def slot_of(place: _Place) -> _Place:
    """Return the slot of a place; below 0 for no model."""
    return place >> _ROW_BITS


def row_of(place: _Place) -> _Place:
    """Return the row of a place."""
    return place & _ROW_MASK


class Columns:
    """What is known of each series, by its index, in one row of 64 bytes: a series is one line of the processor's
    cache.

    Whoever needs several of these takes them together, from one object.

    Attributes
    ----------
    bands
        float64[m, 8], the first four: expected value and allowed deviation of champion and challenger; NaN where
        they depend on the time, or nothing was learnt.
    cells
        int64[m, 8], the same memory. The fifth and sixth are the places of champion and challenger: slot << 32 |
        row, or `NO_MODEL` or `NOT_LOADED`; the last two are counts, see `counts_of`.
    begun
        int64[m, 2], what the two cells of counts were when the version of the champion, or for the second that of
        the challenger, last changed.
    versions
        int32[m, 2], which versions these are, see `Routes.numbered`.
    by_number
        int32[k], the index of the series with that number, -1 for none.
    """

    __slots__ = ("bands", "begun", "by_number", "cells", "versions")

    def __init__(
        self, cells: NDArray[np.int64], begun: NDArray[np.int64], versions: NumberArray, by_number: NumberArray
    ) -> None:
        self.cells = cells
        self.bands: FloatArray = cells.view(np.float64)
        self.begun = begun
        self.versions = versions
        self.by_number = by_number

    def __len__(self) -> int:
        return len(self.cells)

    def places(self, side: int) -> NDArray[np.int64]:
        """int64[m], the places of champions or challengers."""
        return self.cells[:, PLACE + side]

    def with_numbers(self, by_number: NumberArray) -> "Columns":
        """Return the same columns, in the same memory, with other numbers."""
        return Columns(self.cells, self.begun, self.versions, by_number)

    def grown(self, cells: NDArray[np.int64]) -> "Columns":
        """Return the same columns with more cells, of which those that are there already are the first."""
        begun, versions = np.zeros((len(cells), 2), np.int64), np.zeros((len(cells), 2), np.int32)
        begun[: len(self)], versions[: len(self)] = self.begun, self.versions
        return Columns(cells, begun, versions, self.by_number)


PLACE, COUNTS = 4, 6
"""Where in a row of `Columns.cells` the places and the counts begin."""
SCORED, STRANGE, CHALLENGED, DISAGREED = range(4)
"""Columns of `counts_of`."""


def counts_of(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what was counted since the start, int64[m, 4].

    That is the points that the champion scored, those of them over the threshold, those that the challenger scored
    too, and those on which the two disagree; two counts of 32 bits lie in one cell.
    """
    packed = cells[:, COUNTS:]
    counts = np.empty((len(packed), 4), np.int64)
    counts[:, [SCORED, CHALLENGED]] = packed & _ROW_MASK
    counts[:, [STRANGE, DISAGREED]] = packed >> _ROW_BITS
    return counts


def counts_of_versions(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what `counts_of` does, since the champion, or the challenger, has its version; and the champion's."""
    counts = np.empty((len(columns), 4), np.int64)
    _count_since(columns.cells, columns.begun, counts)
    return counts, columns.versions[:, CHAMPION].astype(np.int64)


class Room:
    """Memory for the cells of many series, whose rows are lines of the cache; what is not opened yet costs nothing.

    `np.empty` would set it aside as well, but ask for huge pages, so that the first row costs 2 MiB.
    """

    def __init__(self, series: int) -> None:
        self._memory = mmap.mmap(-1, series * _LINE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.cells: NDArray[np.int64] = np.frombuffer(self._memory, np.int64).reshape(series, 8)

    def opened(self, start: int, end: int) -> NDArray[np.int64]:
        """Return the cells before `end`; those from `start` on point nowhere."""
        if end * _LINE >= _HUGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):  # it is Linux
            self._memory.madvise(mmap.MADV_HUGEPAGE, 0, end * _LINE)
        fresh = self.cells[start:end]
        fresh.view(np.float64)[:, :PLACE] = np.nan
        fresh[:, PLACE:COUNTS] = NO_MODEL
        fresh[:, COUNTS:] = 0
        return self.cells[:end]


@compiled
def _count_since(cells: NDArray[np.int64], begun: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    for i in range(len(cells)):
        for side in range(2):
            now, then = cells[i, COUNTS + side], begun[i, side]
            counts[i, 2 * side] = (now & _ROW_MASK) - (then & _ROW_MASK)
            counts[i, 2 * side + 1] = (now >> _ROW_BITS) - (then >> _ROW_BITS)
