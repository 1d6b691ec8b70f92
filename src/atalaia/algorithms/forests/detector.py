"""The detector of assets by an isolation forest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.assets.protocol import MAX_SENSORS, AssetScores, Deviation
from atalaia.algorithms.detectors.bands import LIMIT
from atalaia.algorithms.detectors.hyperparameters import choice, number
from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.algorithms.forests.growing import grow
from atalaia.algorithms.forests.leaving import left_alone
from atalaia.algorithms.forests.walking import Trees, isolation
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD

FEATURES = ("cpu_usage", "memory_usage", "network_io", "disk_io")
"""The sensors of a machine that it is meant for first."""

SAMPLES = 256
"""Moments that each tree is grown on, and all if there are fewer; scikit-learn's ``max_samples="auto"``."""

NODES = 2 * SAMPLES - 1
"""No tree over so many moments has more."""

_MOST_CAUSES = 16
"""Sensors that are named at most as what makes a moment strange; each is found at the price of a walk for all."""

_MOST = 3e38
"""Trees are grown on and asked in 32 bits, as scikit-learn does."""

_INNER = ("left", "right", "feature", "threshold", "sizes")


@dataclass(frozen=True)
class IsolationForest:
    """How few random cuts set a moment of all sensors apart (Liu, Ting and Zhou, "Isolation forest", ICDM 2008).

    The score is scikit-learn's ``-score_samples`` divided by its quantile over the history that leaves
    ``contamination`` above, so that 1.0 is the threshold of ``predict``. scikit-learn grows the trees and is not
    needed afterwards: the state is their arrays, and the walk through them is our own.

    The state takes 12 KB a tree and 40 bytes a sensor, 1.2 MB with 100 trees, however long the history was.

    - A missing sensor counts as usual: its median. One with fewer than 10 values is not learnt, and not looked at.
    - By its nature one moment in ten of the history is strange with the default ``contamination``, whether or not
      anything ever was: use it for ranking, or lower it.
    - It does not know time: moments may come in any order, and drift makes all of them strange.
    - Beyond the values that it has seen all are alike: it cannot tell how far out a reading is. A sensor that was
      constant is never cut, so that it is blind there.
    - The trees draw sensors by position: in another order of sensors the same seed gives another forest.
    """

    name: ClassVar[str] = "isolation_forest"
    part: ClassVar[str] = "snapshot"
    min_points: ClassVar[int] = 10
    draws: ClassVar[bool] = True

    contamination: float = number(0.1, above=0.0, most=0.5)
    trees: int = choice(100, (10, 25, 50, 100, 200, 500))
    random_state: int = choice(42, range(100))

    def fit(self, values: FloatArray) -> State:
        """Return the trees over the moments of a history, and how isolated too many are not."""
        sensors = values.shape[1]
        if sensors > MAX_SENSORS:
            raise Invalid("too_many_sensors", f"an asset has at most {MAX_SENSORS} sensors, not {sensors}")
        clean = _usable(values)
        points = (~np.isnan(clean)).sum(axis=0).astype(np.int64)
        state = self._empty(points)
        learnt = np.flatnonzero(points >= self.min_points)
        for i in learnt:
            state["low"][i], state["usual"][i], state["high"][i] = np.nanpercentile(clean[:, i], [0.5, 50.0, 99.5])
        known = ~np.isnan(clean[:, learnt]).all(axis=1)
        if len(learnt) and known.any():
            filled = self._filled(state, clean[known])
            samples = min(SAMPLES, len(filled))
            for row, tree in enumerate(grow(filled[:, learnt], self.trees, samples, self.random_state)):
                nodes = len(tree.left)
                for name in _INNER:
                    state[name][row, :nodes] = getattr(tree, name)
                inner = tree.feature >= 0
                state["feature"][row, :nodes][inner] = learnt[tree.feature[inner]]
            state["samples"][0] = samples
            usual = np.percentile(self._isolation(state, filled), 100.0 * (1.0 - self.contamination))
            state["usual_isolation"][0] = usual
        return state

    def score(self, state: State, values: FloatArray) -> AssetScores:
        """Return the scores of moments, whatever came before them."""
        moments, sensors = values.shape
        found = AssetScores.none(moments, sensors)
        clean = _usable(values, infinite=True)
        known = ~np.isnan(clean) & ~np.isnan(state["usual"])
        rows = np.flatnonzero(known.any(axis=1))
        if not len(rows) or np.isnan(state["usual_isolation"][0]):
            return found
        filled = self._filled(state, clean[rows])
        found.score[rows] = self._scores(state, filled)
        found.parts[known] = 0.0
        for row in rows[found.score[rows] > THRESHOLD]:
            parts = self._parts(state, filled[np.searchsorted(rows, row)], known[row])
            found.parts[row] = np.where(known[row], parts, np.nan)
            found.sensor[row] = np.argmax(parts)
        return found

    def advance(self, state: State, values: FloatArray) -> AssetScores:
        """Score moments as `score` does, and remember the last for `explain`."""
        found = self.score(state, values)
        known = np.flatnonzero(~np.isnan(found.score))
        if len(known):
            state["last"][:] = _usable(values[known[-1:]], infinite=True)[0]
        return found

    def explain(self, state: State) -> tuple[Deviation, ...]:
        """Return the sensors that, put to their medians one after another, make the last moment usual."""
        found: list[Deviation] = []
        known = ~np.isnan(state["last"]) & ~np.isnan(state["usual"])
        moment = self._filled(state, state["last"][np.newaxis])[0]
        while len(found) < _MOST_CAUSES and known.any() and not np.isnan(state["usual_isolation"][0]):
            score = float(self._scores(state, moment[np.newaxis])[0])
            if score <= THRESHOLD:
                break
            first = int(np.argmax(np.where(known, self._parts(state, moment, known), -1.0)))
            band = (float(state[name][first]) for name in ("usual", "low", "high"))
            found.append(Deviation(first, score, float(state["last"][first]), *band))
            moment[first], known[first] = state["usual"][first], False
        return tuple(found)

    def without(self, state: State, kept: NDArray[np.intp]) -> State:
        """Return the trees without cuts of other sensors than those that are `kept`."""
        return left_alone(state, kept)

    def layout(self, sensors: int) -> Mapping[str, Column]:
        """Return what the arrays of the state of an asset with so many sensors look like."""
        nodes = (self.trees, NODES)
        return {
            "points": Column("<i8", (sensors,), low=0),
            "usual": Column("<f8", (sensors,), low=-_MOST, high=_MOST),
            "low": Column("<f8", (sensors,), low=-_MOST, high=_MOST),
            "high": Column("<f8", (sensors,), low=-_MOST, high=_MOST),
            "last": Column("<f8", (sensors,), low=-_MOST, high=_MOST),
            "samples": Column("<i8", (1,), low=0, high=SAMPLES),
            "usual_isolation": Column("<f8", (1,), low=0.0, high=1.0),
            "left": Column("<i4", nodes, low=-1, high=NODES - 1),
            "right": Column("<i4", nodes, low=-1, high=NODES - 1),
            "feature": Column("<i4", nodes, low=-1, high=max(sensors - 1, -1)),
            "threshold": Column("<f8", nodes, low=-_MOST, high=_MOST),
            "sizes": Column("<i4", nodes, low=0, high=SAMPLES),
        }

    def check(self, state: State) -> None:
        """Raise ValueError if a walk through the trees could leave them or not end."""
        place = np.arange(NODES)
        inner = state["left"] >= 0
        if not ((state["left"] > place) & (state["right"] > place))[inner].all():
            raise ValueError("the branches of a tree lead backwards")
        features = state["feature"][inner]
        if (features < 0).any() or np.isnan(state["usual"][features]).any() or np.isnan(state["threshold"]).any():
            raise ValueError("a tree asks for what was not learnt")

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    def _empty(self, points: NDArray[np.int64]) -> State:
        state: State = {}
        for name, column in self.layout(len(points)).items():
            nothing = np.nan if column.dtype == "<f8" else -1
            state[name] = np.full(column.shape, nothing, np.dtype(column.dtype))
        state["points"], state["threshold"][:], state["sizes"][:], state["samples"][:] = points, 0.0, 0, 0
        return state

    def _filled(self, state: State, values: FloatArray) -> NDArray[np.float32]:
        usual = np.where(np.isnan(state["usual"]), 0.0, state["usual"])
        gone = np.isnan(values) | np.isnan(state["usual"])
        return np.ascontiguousarray(np.where(gone, usual, values), np.float32)

    def _isolation(self, state: State, moments: NDArray[np.float32]) -> FloatArray:
        found = np.empty(len(moments))
        isolation(Trees(*(state[name] for name in _INNER)), int(state["samples"][0]), moments, found)
        return found

    def _scores(self, state: State, moments: NDArray[np.float32]) -> FloatArray:
        return self._isolation(state, moments) / state["usual_isolation"][0]

    def _parts(self, state: State, moment: NDArray[np.float32], known: NDArray[np.bool_]) -> FloatArray:
        """Return how much lower the score of a moment is with one sensor at its median, for each that is known."""
        sensors = np.flatnonzero(known)
        tried = np.repeat(moment[np.newaxis], len(sensors) + 1, axis=0)
        tried[np.arange(len(sensors)), sensors] = state["usual"][sensors]
        scores = self._scores(state, tried)
        parts = np.zeros(len(known))
        parts[sensors] = np.maximum(scores[-1] - scores[:-1], 0.0)
        return parts


def _usable(values: FloatArray, *, infinite: bool = False) -> FloatArray:
    """Return readings that 32 bits can hold, NaN for what is none; `infinite` ones count as huge if wanted."""
    with np.errstate(invalid="ignore"):
        known = np.where(
            np.abs(values) <= LIMIT, values, np.where(np.isnan(values) | (not infinite), np.nan, values)
        )
    return np.clip(known, -_MOST, _MOST)
