"""Which model answers for each series: columns by series, champion and challenger side by side.

Every series that some model holds has an index. By index lie, in one row each, the expected value and the allowed
deviation of its champion and of its challenger, where neither depends on the time; in which slot each of the two is
loaded and at which row; and how many points they scored. Whoever scores reads these columns in one compiled call,
and whoever promotes changes them in one: both hold the GIL, so that nobody ever sees half of two versions.
"""

import mmap
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.models import FleetModel
from atalaia.core.models import ModelKey
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.serving.cache import Loaded

CHAMPION, CHALLENGER = 0, 1
NO_MODEL = -1
NOT_LOADED = -2
"""There is a model in Production, but it is not in memory."""
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1
_LEAST = 1024
_LINE = 64
_RESERVED = 1 << 22
"""Series for which addresses are set aside at once: 256 MiB, of which memory is taken as series come."""
_HUGE_FROM = 1 << 22
"""Bytes from which huge pages are worth it: one alone holds 32,768 series."""
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


@dataclass(frozen=True, slots=True)
class Change:
    """Series of one model that change on one side: what they point to from now on.

    Attributes
    ----------
    side
        `CHAMPION` or `CHALLENGER`.
    indexes
        int64[m].
    places
        int64[m], see `place`, or `NO_MODEL` or `NOT_LOADED`.
    expected, allowed
        float64[m], the band where it does not depend on the time, else NaN.
    version
        The number that `Routes.numbered` gave to the version that comes; 0 lets the counts go on as they are.
    """

    side: int
    indexes: IntArray
    places: IntArray
    expected: FloatArray
    allowed: FloatArray
    version: int = 0


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


class _Room:
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


class Routes:
    """The columns, and the loaded models that they point to.

    A model is added before any place leads to it, and dropped when none does any more. `swaps`, int64[1], says how
    often places have changed: whoever reads it, then `columns` and `models`, and finds it the same in the call that
    reads the places, has the models of all of them; else all must be read anew.
    """

    def __init__(self) -> None:
        self.index_of: dict[str, int] = {}
        self.names: list[str] = []
        self.models: dict[int, Loaded] = {}
        self.swaps = np.zeros(1, np.int64)
        self._room = _Room(_RESERVED)
        cells, begun = self._room.opened(0, _LEAST), np.zeros((_LEAST, 2), np.int64)
        versions = np.zeros((_LEAST, 2), np.int32)
        self.columns: Columns = Columns(cells, begun, versions, np.full(_LEAST, -1, np.int32))
        self.versions: list[tuple[ModelKey, int] | None] = [None]
        """By number: which versions have been sent to. None stands for answers without a model."""
        self._number_of: dict[tuple[ModelKey, int], int] = {}
        self.has_challengers = False
        self._slots = 0
        self._lock = threading.RLock()

    def indexes(self, series_ids: Sequence[str]) -> IntArray:
        """Return the index of each series, int64[m]; new ones get the next."""
        with self._lock:
            known = self.index_of
            fresh = list(dict.fromkeys(series_id for series_id in series_ids if series_id not in known))
            if fresh:
                self._grow(len(self.names) + len(fresh))
                start = len(self.names)
                self.names.extend(fresh)
                known.update({name: start + i for i, name in enumerate(fresh)})
            return np.fromiter((known[s] for s in series_ids), np.int64, len(series_ids))

    def reserve(self, series: int) -> None:
        """Make room for so many further series at once."""
        with self._lock:
            self._grow(len(self.names) + series)

    def number(self, numbers: Mapping[str, int]) -> None:
        """Learn by which numbers series are known."""
        if not numbers:
            return
        with self._lock:
            wanted = np.fromiter(numbers.values(), np.int64, len(numbers))
            indexes = self.indexes(list(numbers))
            old = self.columns.by_number
            by_number = np.full(max(len(old), int(wanted.max()) * 9 // 8 + 1), -1, np.int32)
            by_number[: len(old)] = old
            by_number[wanted] = indexes
            self.columns = self.columns.with_numbers(by_number)

    def renumber(self, numbers: Mapping[str, int]) -> None:
        """Learn by which numbers series are known, and forget all other numbers."""
        with self._lock:
            self.columns = self.columns.with_numbers(np.full_like(self.columns.by_number, -1))
            self.number(numbers)

    def numbered(self, key: ModelKey, version: int) -> int:
        """Return the number by which `Columns.versions` knows a version of a model."""
        with self._lock:
            number = self._number_of.setdefault((key, version), len(self.versions))
            if number == len(self.versions):
                self.versions.append((key, version))
            return number

    def without_model(self, index: int) -> None:
        """Let what is counted of a series from now on be counted as answered without a model."""
        if self.columns.versions.item(index, CHAMPION):
            with self._lock:
                columns = self.columns
                columns.begun[index, CHAMPION] = columns.cells[index, COUNTS]
                columns.versions[index, CHAMPION] = 0

    def add(self, loaded: Loaded) -> int:
        """Give a loaded model a slot; nobody is sent to it before `swap`."""
        with self._lock:
            self._slots += 1
            self.models = {**self.models, self._slots: loaded}
            return self._slots

    def drop(self, slots: Iterable[int]) -> None:
        """Forget models that nobody is sent to any more."""
        gone = set(slots)
        with self._lock:
            self.models = {slot: loaded for slot, loaded in self.models.items() if slot not in gone}

    def swap(self, changes: Sequence[Change]) -> None:
        """Make all changes at once."""
        if not changes:
            return
        with self._lock:
            lengths = [len(c.indexes) for c in changes]
            sides = np.repeat(np.array([c.side for c in changes], np.int64), lengths)
            versions = np.repeat(np.array([c.version for c in changes], np.int64), lengths)
            columns = self.columns
            _swap(
                self.swaps,
                columns.cells,
                columns.bands,
                columns.begun,
                columns.versions,
                sides,
                versions,
                np.concatenate([c.indexes for c in changes]),
                np.concatenate([c.places for c in changes]),
                np.concatenate([c.expected for c in changes]),
                np.concatenate([c.allowed for c in changes]),
            )
            if any(c.side == CHALLENGER for c in changes):
                self.has_challengers = bool((columns.places(CHALLENGER) != NO_MODEL).any())

    def found(self, index: int, side: int = CHAMPION) -> tuple[Loaded, int] | int:
        """Return the loaded model of a series and its row there, else `NO_MODEL` or `NOT_LOADED`."""
        while True:
            place = self.columns.cells.item(index, PLACE + side)
            if place < 0:
                return place
            loaded = self.models.get(slot_of(place))
            if loaded is not None:
                return loaded, row_of(place)
            # The model was replaced between the two look-ups: the new place is there already.

    def waits(self, index: int) -> bool:
        """Say whether the champion of a series must be loaded before it can answer; -1 is no series."""
        return index >= 0 and self.columns.cells.item(index, PLACE) == NOT_LOADED

    def look_up(self, indexes: NumberArray) -> tuple[Mapping[int, Loaded], list[int]]:
        """Return the places of the champions of series, all as they are at one moment, and the models there.

        An index of -1 is a series without a model.
        """
        places = np.empty(len(indexes), np.int64)
        while True:
            seen = self.swaps.item()
            cells, models = self.columns.cells, self.models
            if gather_places(cells, indexes, places, self.swaps, seen):
                return models, places.tolist()
            # Places changed within these few lines; once more.

    def _grow(self, series: int) -> None:
        """Make room for that many series, in the memory where the cells are: a block may still count there.

        Only beyond `_RESERVED` series are they copied, and what it counts later is lost.
        """
        now = len(self.columns)
        if series <= now:
            return
        series = max(now + now // 8, series)
        if series > len(self._room.cells):
            before, self._room = self._room, _Room(2 * series)
            self._room.cells[:now] = before.cells[:now]
        self.columns = self.columns.grown(self._room.opened(now, series))


def change_to(
    model: FleetModel, slot: int, side: int, indexes: IntArray, rows: IntArray, version: int = 0
) -> Change:
    """Return the change that sends series to rows of the model in `slot`."""
    places = place_of(slot, rows)
    bands = model.bands
    if bands is None:
        nothing = np.full(len(rows), np.nan)
        return Change(side, indexes, places, nothing, nothing, version)
    return Change(side, indexes, places, bands[0][rows], bands[1][rows], version)


def change_to_none(side: int, indexes: IntArray, why: int) -> Change:
    """Return the change that leaves series without a loaded model."""
    nothing = np.full(len(indexes), np.nan)
    return Change(side, indexes, np.full(len(indexes), why, np.int64), nothing, nothing)


@compiled
def gather_places(
    cells: NDArray[np.int64], indexes: NumberArray, places: IntArray, swaps: IntArray, seen: int
) -> bool:
    """Write the places of the champions of series, `NO_MODEL` for an index below 0, if `swaps` is still `seen`."""
    if swaps[0] != seen:
        return False
    for i in range(len(indexes)):
        places[i] = cells[indexes[i], PLACE] if indexes[i] >= 0 else NO_MODEL
    return True


@compiled
def _count_since(cells: NDArray[np.int64], begun: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    for i in range(len(cells)):
        for side in range(2):
            now, then = cells[i, COUNTS + side], begun[i, side]
            counts[i, 2 * side] = (now & _ROW_MASK) - (then & _ROW_MASK)
            counts[i, 2 * side + 1] = (now >> _ROW_BITS) - (then >> _ROW_BITS)


@compiled
def _swap(
    swaps: IntArray,
    cells: NDArray[np.int64],
    bands: FloatArray,
    begun: NDArray[np.int64],
    serving: NumberArray,
    sides: IntArray,
    versions: IntArray,
    indexes: IntArray,
    to: IntArray,
    expected: FloatArray,
    allowed: FloatArray,
) -> None:
    swaps[0] += 1
    for i in range(len(indexes)):
        index, side = indexes[i], sides[i]
        if versions[i] != 0 and serving[index, side] != versions[i]:
            serving[index, side] = versions[i]
            begun[index, 1] = cells[index, COUNTS + 1]
            if side == CHAMPION:
                begun[index, 0] = cells[index, COUNTS]
        cells[index, PLACE + side] = to[i]
        bands[index, 2 * side] = expected[i]
        bands[index, 2 * side + 1] = allowed[i]
