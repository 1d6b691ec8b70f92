"""The scores of a block of points of many series, in a few compiled passes over columns."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.detectors.bands import judge_one
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, Explanation, ModelRef, Scores
from atalaia.serving.cache import Loaded
from atalaia.serving.columns import CHALLENGER, COUNTS, NO_MODEL, NOT_LOADED, PLACE, place_of, row_of, slot_of
from atalaia.serving.routing import Routes
from atalaia.serving.streams import Streams
from atalaia.serving.thresholds import alarm_under, moved, moved_one

_OWN_SLOTS = 1 << 30
"""Slots from here on belong to one block alone."""
_NONE = np.empty(0, np.int64)


class Block:
    """The scores of n points, each from the model of its series; NaN where none is loaded.

    Parameters
    ----------
    routes
        Which model answers for which series; read once, so that all points see one version.
    numbers, timestamps, values
        The points. A number that nobody knows is a series without a model.
    find
        Loads the model of a series that is in Production and not in memory; returns it and the row of the series.
    streams
        The streaming models that learn from the points, which must be in order of time inside a series then; None
        lets none learn.
    by_index
        Whether `numbers` are indexes of `routes` instead.
    counted
        Whether the points are counted as scored.

    Attributes
    ----------
    score
        float64[n], 1.0 is the threshold in force.
    alarm
        bool[n], whether a point belongs to an anomaly: it is over the threshold, or where a streaming model has
        learnt from it, its series is in alarm.
    places
        int64[n], see `routing.Columns`.
    loaded_for
        How many of the points had to wait for their model to be loaded.
    """

    def __init__(
        self,
        routes: Routes,
        numbers: NumberArray,
        timestamps: IntArray,
        values: FloatArray,
        find: Callable[[str], tuple[Loaded, int] | None],
        *,
        streams: Streams | None = None,
        counted: bool = True,
        by_index: bool = False,
    ) -> None:
        n = len(values)
        self._numbers, self._timestamps, self._values = numbers, timestamps, values
        self._streams = streams
        self._counted = counted
        self._thresholds = routes.thresholds
        self._told: dict[int, tuple[IntArray, Scores]] = {}
        self.score, self.places = np.empty(n), np.empty(n, np.int64)
        waiting = np.empty(n, np.int64)
        challenger = np.empty(n if routes.has_challengers else 0)
        found = self._score_bands(routes, challenger, waiting, by_index)
        self.alarm = self.score > THRESHOLD
        self.loaded_for = 0
        if found:
            self._load(waiting[:found], routes.names, find)
            self._score_others(waiting[:found], challenger)

    def __len__(self) -> int:
        return len(self.score)

    @cached_property
    def columns(self) -> Scores:
        """What the models say of all points; NaN where none is loaded."""
        expected, allowed = np.full(len(self), np.nan), np.full(len(self), np.nan)
        for slot, points in by_slot(self.places, np.arange(len(self))):
            bands = self._models[slot].model.bands  # not those of the columns: these may be of a later version
            if bands is not None:
                rows = row_of(self.places[points])
                expected[points] = bands[0][rows]
                allowed[points] = bands[1][rows] * self._threshold_of(points)
        part = np.zeros(len(self), np.int16)
        scores = Scores(self.score, expected, expected - allowed, expected + allowed, part)
        for points, told in self._told.values():
            for name in ("expected", "lower", "upper", "part"):
                getattr(scores, name)[points] = getattr(told, name)
        return scores

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        loaded, row = self.at(index)
        points, scores = self._told.get(slot_of(int(self.places[index])), (_NONE, None))
        value = float(self._values[index])
        place = int(np.searchsorted(points, index))
        if scores is not None and place < len(points) and points[place] == index:
            return loaded.model.explain(scores, place, value)  # as it was then: the model may have learnt since
        said = loaded.model.score_one(row, int(self._timestamps[index]), value)
        threshold = self._threshold_of(np.array([index])).item(0)
        return loaded.model.explain_one(value, *moved_one(said, value, threshold))

    def raw(self) -> FloatArray:
        """Return the scores in parts of the models' own thresholds, float64[n]."""
        known = np.flatnonzero(self.places >= 0)
        scores = self.score.copy()
        scores[known] *= self._threshold_of(known)
        return scores

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        return self.at(index)[0].ref

    def loaded(self, slot: int) -> Loaded:
        """Return the model in a slot that `places` names."""
        return self._models[slot]

    def at(self, index: int) -> tuple[Loaded, int]:
        """Return the model that scored point `index`, and its row there."""
        place = int(self.places[index])
        assert place >= 0, "no model scored this point"
        return self._models[slot_of(place)], row_of(place)

    def _score_bands(self, routes: Routes, challenger: FloatArray, waiting: IntArray, by_index: bool) -> int:
        """Score what has plain bands, and note which models these were; return how many points wait for more."""
        while True:
            seen = routes.swaps.item()
            columns, models = routes.columns, routes.models
            if by_index:
                columns = columns.with_numbers(np.arange(len(columns), dtype=np.int32))
            arrays = (columns.by_number, columns.cells, self._numbers, self._values)
            told = (self.score, challenger, self.places, waiting)
            found = score_bands(*arrays, *told, self._counted, routes.swaps, seen)
            if found >= 0:
                self._columns, self._models = columns, models
                return found
            # Places changed within these few lines; once more. Nothing was scored, nor counted.

    def _load(
        self, waiting: IntArray, names: Sequence[str], find: Callable[[str], tuple[Loaded, int] | None]
    ) -> None:
        """Load what is not in memory, and keep it for this block, whatever the cache does with it meanwhile."""
        points = waiting[self.places[waiting] == NOT_LOADED]
        if not len(points):
            return
        indexes = self._columns.by_number[self._numbers[points]]
        models = self._models = dict(self._models)
        wanted: list[int] = np.unique(indexes).tolist()
        for slot, index in enumerate(wanted, start=_OWN_SLOTS):
            found = find(names[index])
            if found is not None:
                models[slot], row = found
                here = points[indexes == index]
                self.places[here] = place_of(slot, row)
                self.loaded_for += len(here)

    def _score_others(self, waiting: IntArray, challenger: FloatArray) -> None:
        """Score the points whose champion or challenger depends on the time, and count them."""
        missing = waiting[np.isnan(self.score[waiting])]
        for slot, points in by_slot(self.places, missing):
            scores, alarm = self._ask(slot, self.places, points)
            self.score[points], self.alarm[points] = scores.score, alarm
            self._told[slot] = (points, scores)
        numbers = self._numbers[waiting]
        if len(challenger):
            places = np.full(len(self), NO_MODEL, np.int64)
            columns = self._columns
            places[waiting] = columns.places(CHALLENGER)[columns.by_number[numbers]]
            for slot, points in by_slot(places, waiting[np.isnan(challenger[waiting])]):
                if slot in self._models:  # else it came after the champions were looked up
                    challenger[points] = self._ask(slot, places, points)[0].score
            challenger = challenger[waiting]
        if self._counted:
            at = self.places[waiting]
            count(self._columns.by_number, self._columns.cells, numbers, at, self.score[waiting], challenger)

    def _ask(self, slot: int, places: IntArray, points: IntArray) -> tuple[Scores, NDArray[np.bool_]]:
        loaded = self._models[slot]
        at = (row_of(places[points]), self._timestamps[points], self._values[points])
        thresholds = self._threshold_of(points)
        if self._streams is not None and loaded.is_streaming and self._streams.has_caught_up(loaded):
            told = self._streams.advance(loaded, *at)
            scores = moved(told.scores, at[2], thresholds)
            return scores, alarm_under(told.alarm, scores.score > THRESHOLD, thresholds)
        scores = moved(loaded.model.score(*at), at[2], thresholds)
        return scores, scores.score > THRESHOLD

    def _threshold_of(self, points: IntArray) -> FloatArray:
        """Return the thresholds in force for points of series that have a model."""
        return self._thresholds[self._columns.by_number[self._numbers[points]]]


def by_slot(places: IntArray, points: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield each slot that `points` are sent to, and those of them, in their order."""
    slots = slot_of(places[points])
    points, slots = points[slots >= 0], slots[slots >= 0]
    if not len(points):
        return
    order = np.argsort(slots.astype(np.int32), kind="stable")
    starts = np.flatnonzero(np.diff(slots[order], prepend=-1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        yield int(slots[order[start]]), points[order[start:end]]


@compiled
def score_bands(
    by_number: NumberArray,
    cells: NDArray[np.int64],
    numbers: NumberArray,
    values: FloatArray,
    score: FloatArray,
    challenger: FloatArray,
    place: IntArray,
    waiting: IntArray,
    counted: bool,
    swaps: IntArray,
    seen: int,
) -> int:
    """Score, and if they are `counted` count, the points whose models have plain bands; return how many others.

    Writes `score`, `challenger` (unless its length is 0) and `place`, and into `waiting` the positions of the
    others. Does nothing and returns -1 when `swaps` is not what was `seen`, see `Routes`.
    """
    if swaps[0] != seen:
        return -1
    bands: Any = cells.view(np.float64)
    others = 0
    challenged = len(challenger) > 0
    for i in range(len(numbers)):
        number = numbers[i]
        index = by_number[number] if 0 <= number < len(by_number) else -1
        if index < 0:
            place[i], score[i] = NO_MODEL, np.nan
            if challenged:
                challenger[i] = np.nan
            continue
        at = cells[index, PLACE]
        one = judge_one(values[i], bands[index, 0], bands[index, 1])
        place[i], score[i] = at, one
        waits = np.isnan(one) and at != NO_MODEL
        other = np.nan
        if challenged:
            other = challenger[i] = judge_one(values[i], bands[index, 2], bands[index, 3])
            waits |= np.isnan(other) and cells[index, PLACE + CHALLENGER] >= 0
        if waits:
            waiting[others] = i
            others += 1
        elif counted and at >= 0:
            _count(cells, index, one, other)
    return others


@compiled
def count(
    by_number: NumberArray,
    cells: NDArray[np.int64],
    numbers: NumberArray,
    places: IntArray,
    score: FloatArray,
    challenger: FloatArray,
) -> None:
    """Count the points that have a champion, of series that have an index; `challenger` has their length, or 0."""
    for i in range(len(numbers)):
        if places[i] >= 0:
            _count(cells, by_number[numbers[i]], score[i], challenger[i] if len(challenger) else np.nan)


@compiled
def _count(cells: NDArray[np.int64], index: Any, score: float, challenger: float) -> None:
    strange = score > THRESHOLD
    cells[index, COUNTS] += (np.int64(strange) << 32) + 1
    if not np.isnan(challenger):
        cells[index, COUNTS + 1] += (np.int64(strange != (challenger > THRESHOLD)) << 32) + 1


def count_one(cells: NDArray[np.int64], index: int, is_strange: bool) -> None:
    """Count one point that the champion of a series scored."""
    cells[index, COUNTS] += (is_strange << 32) + 1


def challenge_one(cells: NDArray[np.int64], index: int, is_apart: bool) -> None:
    """Count one point that the challenger of a series scored too, and whether it says otherwise."""
    cells[index, COUNTS + 1] += (is_apart << 32) + 1
