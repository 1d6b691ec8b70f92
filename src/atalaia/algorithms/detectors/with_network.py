"""What the detectors with a network have in common."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from atalaia.algorithms.deep.asking import ask
from atalaia.algorithms.deep.columns import Batch, Columns, Found, Stretches
from atalaia.algorithms.deep.learning import WINDOWS, train
from atalaia.algorithms.deep.networks import LENGTH, Network, SingleArray
from atalaia.algorithms.deep.passing import WARM_UP, begin, pass_over, show, weigh
from atalaia.algorithms.detectors.hyperparameters import choice, number
from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.algorithms.detectors.spread import median_and_mad, usable
from atalaia.algorithms.local_time import HOUR_US
from atalaia.algorithms.memory.columns import ACCEPTED, BINS, BLOCK_BINS, CALM, Pace
from atalaia.algorithms.ordering import by_series
from atalaia.core.points import FloatArray, Group, IntArray

MIN_POINTS = WARM_UP + LENGTH
"""What tells the scale of a series, and its first window."""

_AT_ONCE = 1024
"""Points that are asked about and learnt in one go."""

_INTS, _FLOATS, _SINGLES = "<i8", "<f8", "<f4"


@dataclass(frozen=True)
class WithNetwork:
    """A detector whose series have a network each, which is trained in `fit` and stays as it is until the next.

    What follows a stream is the size of the errors that are usual: a histogram of them with an exponential tail,
    and the threshold that keeps a number of false alarms a week (see `atalaia.algorithms.memory.budget`).
    """

    network: ClassVar[Network]
    foretells: ClassVar[bool]

    false_alarms_per_week: float = number(1.0, above=0.0, most=1000.0)
    close_points: int = choice(5, range(1, 61))
    accept_hours: float = number(4.0, above=0.0, most=10_000.0)
    random_state: int = choice(42, range(100))

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    def bands(self, state: State) -> None:
        """Return None: what is expected depends on the points before."""

    def empty(self, series: int) -> State:
        """Return the states of series that have no points yet."""
        layout = self.layout()
        return {name: np.zeros((series, *one.shape), np.dtype(one.dtype)) for name, one in layout.items()}

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        return {
            "weights": Column(_SINGLES, (self.network.weights,)),
            "points": Column(_INTS, low=0),
            "recent": Column(_SINGLES, (LENGTH,)),
            "counts": Column(_SINGLES, (1, BINS), low=0.0),
            "tails": Column(_FLOATS, (1, 4), low=0.0),
            "levels": Column(_FLOATS, (3,)),
            "times": Column(_INTS, (4,)),
            "marks": Column(_INTS, (8,), low=0),
            "state": Column("|i1", low=CALM, high=ACCEPTED),
            "blocks": Column(_SINGLES, (BLOCK_BINS,), low=0.0),
            "budget": Column(_FLOATS, (4,), low=0.0),
        }

    def _learnt(self, group: Group) -> State:
        """Return the states after a training, and a pass over each history as if it had just been streamed."""
        state = self.empty(len(group))
        columns = _columns(state)
        for row in range(len(group)):
            moments, values = group.series(row)
            known = usable(values)
            if int(known.sum()) >= MIN_POINTS:
                values, apart = values[known], np.diff(moments[known])
                centre, scale = median_and_mad(values)
                begin(columns, row, centre, scale, int(np.median(apart[apart > 0])) if (apart > 0).any() else 1)
                state["weights"][row] = self._trained((values - centre) / columns.levels[row, 1])
        rows = np.repeat(np.arange(len(group), dtype=np.int64), group.counts)
        self._passed(state, Batch(rows, group.timestamps, group.values))
        return state

    def _trained(self, values: FloatArray) -> SingleArray:
        """Return the weights of one network; `values` are in scales of the series."""
        last = len(values) - LENGTH - (1 if self.foretells else 0)
        starts = np.unique(np.linspace(0, last, min(last + 1, WINDOWS)).astype(np.int64))
        near = np.clip(values, -1e6, 1e6).astype(np.float32)
        windows = near[starts[:, np.newaxis] + np.arange(LENGTH)]
        following = near[starts + LENGTH, np.newaxis] - windows[:, -1:] if self.foretells else windows
        return train(self.network, windows, following, self.random_state)

    def _weighed(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Found:
        """Return what points are worth as the states stand, which stay as they are."""
        by_series(rows, len(state["points"]))  # refuses rows that are none
        batch, found = _batch(rows, timestamps, values), _found(len(rows))
        places, windows = np.arange(len(rows)), np.zeros((len(rows), LENGTH), np.float32)
        show(_columns(state), self.foretells, batch, Stretches(places, places + 1, places, places), windows)
        answers = ask(self.network, state["weights"], batch.rows, windows)
        weigh(_columns(state), self.foretells, batch, windows, answers, found)
        return found

    def _passed(self, state: State, batch: Batch) -> Found:
        """Return what points are worth, each after those before it, and let the states learn from each."""
        order = by_series(batch.rows, len(state["points"]))
        found = _found(len(batch.rows))
        if order is None:
            self._pass(state, _batch(batch.rows, batch.timestamps, batch.values), found)
            return found
        self._pass(state, _batch(batch.rows[order], batch.timestamps[order], batch.values[order]), found)
        back = _found(len(order))
        for column, sorted_ in zip(back, found, strict=True):
            column[order] = sorted_
        return back

    def _pass(self, state: State, batch: Batch, found: Found) -> None:
        """Pass over points that lie together by series.

        Networks are asked ahead, as if every point joined the window. Behind one that did not they are asked again:
        about one point at first, then about twice as many each time that it goes well.
        """
        columns, accept_us = _columns(state), int(self.accept_hours * HOUR_US)
        pace = Pace(0, self.false_alarms_per_week, self.close_points, accept_us)
        first = np.flatnonzero(np.diff(batch.rows, prepend=-1))
        end, ahead = np.append(first[1:], len(batch.rows)), np.full(len(first), _AT_ONCE)
        while len(left := np.flatnonzero(first < end)):
            points = np.minimum(end[left] - first[left], ahead[left])
            some = max(int(np.searchsorted(np.cumsum(points), _AT_ONCE, side="right")), 1)
            left, points = left[:some], points[:some]
            place = np.cumsum(points) - points
            stretches = Stretches(first[left], first[left] + points, place, np.empty(some, np.int64))
            windows = np.zeros((int(points.sum()), LENGTH), np.float32)
            show(columns, self.foretells, batch, stretches, windows)
            rows = np.repeat(batch.rows[stretches.first], points)
            answers = ask(self.network, state["weights"], rows, windows)
            pass_over(columns, pace, self.foretells, batch, stretches, windows, answers, found)
            first[left] = stretches.done
            ahead[left] = np.where(stretches.done < stretches.end, 1, np.minimum(2 * ahead[left], _AT_ONCE))


def _batch(rows: IntArray, timestamps: IntArray, values: FloatArray) -> Batch:
    return Batch(
        np.ascontiguousarray(rows, np.int64),
        np.ascontiguousarray(timestamps, np.int64),
        np.ascontiguousarray(values, np.float64),
    )


def _columns(state: State) -> Columns:
    return Columns(*(state[name] for name in Columns._fields))


def _found(points: int) -> Found:
    numbers = (np.empty(points) for _ in range(4))
    return Found(*numbers, onset=np.zeros(points, np.bool_), alarm=np.zeros(points, np.bool_))
