"""Which model answers for each series: columns by series, champion and challenger side by side.

Every series that some model holds has an index. By index lie, in one row each, the expected value and the allowed
deviation of its champion and of its challenger, where neither depends on the time; in which slot each of the two is
loaded and at which row; and how many points they scored. Whoever scores reads these columns in one compiled call,
and whoever promotes changes them in one: both hold the GIL, so that nobody ever sees half of two versions.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.models import FleetModel
from atalaia.core.models import ModelKey
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.serving.cache import Loaded
from atalaia.serving.columns import (
    CHALLENGER,
    CHAMPION,
    COUNTS,
    NO_MODEL,
    NOT_LOADED,
    PLACE,
    Columns,
    Room,
    place_of,
    row_of,
    slot_of,
)

_LEAST = 1024
_RESERVED = 1 << 22
"""Series for which addresses are set aside at once: 256 MiB, of which memory is taken as series come."""


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
        self.thresholds: FloatArray = np.ones(_LEAST)
        """By index: the threshold in force, in parts of that of the model that answers."""
        self._by_number: FloatArray = np.ones(0)
        self._allowed = np.full((_LEAST, 2), np.nan)
        self._room = Room(_RESERVED)
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

    def indexes_of(self, numbers: NumberArray) -> NumberArray:
        """Return the index of each series by its number, -1 where no model holds it."""
        by_number = self.columns.by_number
        known = (numbers >= 0) & (numbers < len(by_number))
        return np.where(known, by_number[np.where(known, numbers, 0)], -1).astype(np.int32)

    def names_of(self, numbers: NumberArray) -> list[str]:
        """Return the id of each series by its number, an empty text where no model holds it."""
        return [self.names[index] if index >= 0 else "" for index in self.indexes_of(numbers).tolist()]

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
            self.set_thresholds(self._by_number)

    def renumber(self, numbers: Mapping[str, int]) -> None:
        """Learn by which numbers series are known, and forget all other numbers."""
        with self._lock:
            self.columns = self.columns.with_numbers(np.full_like(self.columns.by_number, -1))
            self.number(numbers)

    def set_thresholds(self, by_number: FloatArray) -> None:
        """Set the thresholds in force, by number; those of all other series are 1.0."""
        with self._lock:
            self._by_number = by_number
            if not len(by_number) and bool((self.thresholds == 1.0).all()):
                return
            indexes = self.columns.by_number[: len(by_number)]
            known = np.flatnonzero(indexes >= 0)
            fresh = np.ones(len(self.columns))
            fresh[indexes[known]] = by_number[known]
            self.thresholds = fresh
            _widen(self.columns.bands, self._allowed, fresh)

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
                self._allowed,
                self.thresholds,
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
        self.thresholds = np.append(self.thresholds, np.ones(series - now))  # before the columns: indexes reach it
        self._allowed = np.append(self._allowed, np.full((series - now, 2), np.nan), axis=0)
        if series > len(self._room.cells):
            before, self._room = self._room, Room(2 * series)
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
def _swap(
    swaps: IntArray,
    cells: NDArray[np.int64],
    bands: FloatArray,
    own: FloatArray,
    thresholds: FloatArray,
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
        own[index, side] = allowed[i]
        bands[index, 2 * side + 1] = allowed[i] * thresholds[index]


@compiled
def _widen(bands: FloatArray, own: FloatArray, thresholds: FloatArray) -> None:
    for i in range(len(bands)):
        for side in range(2):
            bands[i, 2 * side + 1] = own[i, side] * thresholds[i]
