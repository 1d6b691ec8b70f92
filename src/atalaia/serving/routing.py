"""Which model answers for each series: columns by series, champion and challenger side by side.

Every series that some model holds has an index. By index lie, in one row each, the expected value and the allowed
deviation of its champion and of its challenger, where neither depends on the time; in which slot each of the two is
loaded and at which row; and how many points they scored. Whoever scores reads these columns in one compiled call,
and whoever promotes changes them in one: both hold the GIL, so that nobody ever sees half of two versions.
"""

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
        int64[m, 4], what the two cells of counts were when the version of the champion, or for the second that of
        the challenger, last changed; and which versions these are, see `Routes.numbered`.
    by_number
        int32[k], the index of the series with that number, -1 for none.
    """

    __slots__ = ("bands", "begun", "by_number", "cells")

    def __init__(self, cells: NDArray[np.int64], begun: NDArray[np.int64], by_number: NumberArray) -> None:
        self.cells = cells
        self.bands: FloatArray = cells.view(np.float64)
        self.begun = begun
        self.by_number = by_number

    def __len__(self) -> int:
        return len(self.cells)

    def places(self, side: int) -> NDArray[np.int64]:
        """int64[m], the places of champions or challengers."""
        return self.cells[:, PLACE + side]

    def with_numbers(self, by_number: NumberArray) -> "Columns":
        """Return the same columns, in the same memory, with other numbers."""
        return Columns(self.cells, self.begun, by_number)

    def uncounted(self) -> "Columns":
        """Return a copy of which nobody sees what is counted."""
        return Columns(_aligned_copy(self.cells, len(self)), self.begun, self.by_number)

    def grown(self, series: int) -> "Columns":
        """Return a copy with room for that many series."""
        begun = np.zeros((series, 4), np.int64)
        begun[: len(self)] = self.begun
        return Columns(_aligned_copy(self.cells, series), begun, self.by_number)


PLACE, COUNTS = 4, 6
"""Where in a row of `Columns.cells` the places and the counts begin."""
VERSION = 2
"""Where in a row of `Columns.begun` the versions begin."""
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
    counts, versions = np.empty((len(columns), 4), np.int64), np.empty(len(columns), np.int64)
    _count_versions(columns.cells, columns.begun, counts, versions)
    return counts, versions


def _aligned_copy(cells: NDArray[np.int64], series: int) -> NDArray[np.int64]:
    """Return a copy with room for `series`, whose rows are lines of the cache; those that are new point nowhere."""
    room = np.empty(series * 8 + 8, np.int64)
    first = (-room.ctypes.data // 8) % 8
    copy = room[first : first + series * 8].reshape(series, 8)
    copy[: len(cells)] = cells
    copy.view(np.float64)[len(cells) :, :PLACE] = np.nan
    copy[len(cells) :, PLACE:COUNTS] = NO_MODEL
    copy[len(cells) :, COUNTS:] = 0
    return copy


class Routes:
    """The columns, and the loaded models that they point to."""

    def __init__(self) -> None:
        self.index_of: dict[str, int] = {}
        self.names: list[str] = []
        self.models: dict[int, Loaded] = {}
        nothing = np.empty((0, 8), np.int64)
        self.columns = Columns(
            _aligned_copy(nothing, _LEAST), np.zeros((_LEAST, 4), np.int64), np.full(_LEAST, -1, np.int32)
        )
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

    def numbered(self, key: ModelKey, version: int) -> int:
        """Return the number by which `Columns.begun` knows a version of a model."""
        with self._lock:
            number = self._number_of.setdefault((key, version), len(self.versions))
            if number == len(self.versions):
                self.versions.append((key, version))
            return number

    def without_model(self, index: int) -> None:
        """Let what is counted of a series from now on be counted as answered without a model."""
        if self.columns.begun.item(index, VERSION):
            with self._lock:
                columns = self.columns
                columns.begun[index, 0] = columns.cells[index, COUNTS]
                columns.begun[index, VERSION] = 0

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
                columns.cells,
                columns.bands,
                columns.begun,
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
        models = None
        while models is None:
            before = self.models
            gather_places(self.columns.cells, indexes, places)
            models = self.holding(before, places)
        return models, places.tolist()

    def holding(self, before: Mapping[int, Loaded], places: IntArray) -> Mapping[int, Loaded] | None:
        """Return models among which are all at `places`; `before` is what `models` was before these were read.

        None if one of them came and went meanwhile, in which case the places must be read anew.
        """
        now = self.models
        if now is before:
            return before
        both = {**now, **before}
        slots = np.unique(slot_of(places))
        return both if both.keys() >= set(slots[slots >= 0].tolist()) else None

    def _grow(self, series: int) -> None:
        room = len(self.columns)
        if series > room:
            self.columns = self.columns.grown(max(room + room // 8, series))


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
def gather_places(cells: NDArray[np.int64], indexes: NumberArray, places: IntArray) -> None:
    """Write the places of the champions of series; `NO_MODEL` for an index below 0."""
    for i in range(len(indexes)):
        places[i] = cells[indexes[i], PLACE] if indexes[i] >= 0 else NO_MODEL


@compiled
def _count_versions(
    cells: NDArray[np.int64], begun: NDArray[np.int64], counts: NDArray[np.int64], versions: NDArray[np.int64]
) -> None:
    for i in range(len(cells)):
        for side in range(2):
            now, then = cells[i, COUNTS + side], begun[i, side]
            counts[i, 2 * side] = (now & _ROW_MASK) - (then & _ROW_MASK)
            counts[i, 2 * side + 1] = (now >> _ROW_BITS) - (then >> _ROW_BITS)
        versions[i] = begun[i, VERSION]


@compiled
def _swap(
    cells: NDArray[np.int64],
    bands: FloatArray,
    begun: NDArray[np.int64],
    sides: IntArray,
    versions: IntArray,
    indexes: IntArray,
    to: IntArray,
    expected: FloatArray,
    allowed: FloatArray,
) -> None:
    for i in range(len(indexes)):
        index, side = indexes[i], sides[i]
        if versions[i] != 0 and begun[index, VERSION + side] != versions[i]:
            begun[index, VERSION + side] = versions[i]
            begun[index, 1] = cells[index, COUNTS + 1]
            if side == CHAMPION:
                begun[index, 0] = cells[index, COUNTS]
        cells[index, PLACE + side] = to[i]
        bands[index, 2 * side] = expected[i]
        bands[index, 2 * side + 1] = allowed[i]
