"""The detector of assets by relations between their sensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.assets.protocol import MAX_SENSORS, AssetScores, Deviation
from atalaia.algorithms.detectors.bands import LIMIT, SCALE_FLOOR, scale_floor
from atalaia.algorithms.detectors.hyperparameters import choice, number
from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.algorithms.relations.causes import causes
from atalaia.algorithms.relations.fitting import (
    LEAST_FREEDOM,
    limits_and_freedom,
    mean_and_scale,
    residuals_out_of_block,
    usable,
)
from atalaia.algorithms.relations.leaving import left_alone
from atalaia.algorithms.relations.passing import MOST_DEVIATION, MOST_STRANGE, POWER, Known, pass_over
from atalaia.algorithms.relations.sums import Sums
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray

_CHUNK = 2_000_000
"""Multiplications that are done in one go: some milliseconds, during which no other thread runs."""


@dataclass(frozen=True)
class Relations:
    """How far each sensor of an asset is from what the others say of it.

    Each sensor is told from all others by ridge regression, in closed form: one inverse of the covariance, plus
    ``ridge``, holds the regressions of all (Hoerl and Kennard, "Ridge regression", Technometrics 1970). What a
    relation leaves is averaged over ``mean_points`` moments, compared with its usual level, and divided by what it
    may be off.

    What it may be off comes from the history, without labels. The history is cut into ``blocks`` of time, and each
    is told by relations that were solved without it. The spread of what that leaves is multiplied by the quantile
    of Student's t that all relations together exceed at one moment in ``rarity_points`` by chance. Its degrees of
    freedom are the number of independent values in the history, by its autocorrelation: what wanders slowly is
    known from few and gets a wide band.

    The level follows what is not strange, with a memory of ``memory`` lengths of the history, so that a slow drift
    is no alarm. What is strange teaches nothing, and lasts until the asset is trained again.

    A relation holds where it was learnt. Where the other sensors never were, its band is wider, by ``distrust``:
    by the square root of ``1 + distrust * (d² - 1)``, at most 3, with d² the squared distance of the others from
    their mean in parts of what it is on average. So a machine in a new state does not alarm as a whole, and one
    that is off does not make others look so.

    The score is the mean, of fourth powers, of the strangest relation over the last ``hold_points`` moments, 0
    before the first: one faint oddity is no alarm, and what comes and goes is one alarm.

    The state takes 8 k² + 56 k + 16 k ``mean_points`` bytes for k sensors, however long the history was.

    - A sensor that is missing at a moment is left out of the relations of the others, exactly, and their bands
      widen. Missing and infinite values of a history are left out; sensors that were hardly read together are
      unrelated.
    - A sensor with fewer than 40 values is not learnt. One that was dead (constant) alarms when it moves by more
      than a millionth of its level; one that was silent has no opinion.
    - Copies of a sensor, and more sensors than moments: ridge keeps the relations finite, blocks keep them honest.
    - One sensor alone is compared with its own past.
    - The time between moments is not looked at. What follows the clock in all sensors is learnt as their relation.
    - It is not robust: an outage in the history widens the bands.
    - The history has to hold the slowest relation many times over. The array ``freedom`` says how many independent
      values each is known from: with fewer than about 10, and many sensors, it alarms too often.
    """

    name: ClassVar[str] = "relations"
    part: ClassVar[str] = "relation"
    min_points: ClassVar[int] = 40
    draws: ClassVar[bool] = False

    rarity_points: float = number(1000.0, above=1.0, most=1e12)
    mean_points: int = choice(5, range(1, 61))
    hold_points: int = choice(30, range(1, 121))
    blocks: int = choice(20, (5, 8, 10, 15, 20, 25, 30, 40, 50))
    ridge: float = number(0.01, above=1e-8, most=1e6)
    memory: float = number(1.0, above=0.0, most=1e6)
    distrust: float = number(0.2, above=0.0, most=1e6)

    def fit(self, values: FloatArray) -> State:
        """Return the relations between the k sensors of a history, and their bands."""
        if values.shape[1] > MAX_SENSORS:
            raise Invalid("too_many_sensors", f"an asset has at most {MAX_SENSORS} sensors, not {values.shape[1]}")
        sensors = values.shape[1]
        clean = usable(values)
        points = (~np.isnan(clean)).sum(axis=0)
        learnt = points >= self.min_points
        mean, scale = mean_and_scale(clean, learnt)
        z = (clean - mean) / scale
        whole = Sums.of(z)
        residuals = residuals_out_of_block(z, whole, self.ridge, self.blocks)
        limit, freedom = np.full((2, sensors), np.nan)
        if learnt.any():
            tail = 1.0 / self.rarity_points / int(learnt.sum())
            floor = scale_floor(mean[learnt]) / scale[learnt]
            found, freedom[learnt] = limits_and_freedom(residuals[:, learnt], self.mean_points, tail)
            limit[learnt] = np.maximum(found, floor)
        return {
            "points": points.astype(np.int64),
            "mean": mean,
            "scale": scale,
            "precision": np.ascontiguousarray(whole.solve(self.ridge)[1]),
            "limit": limit,
            "freedom": freedom,
            "level": np.zeros(sensors),
            "residuals": np.full((self.mean_points, sensors), np.nan),
            "readings": np.full((self.mean_points, sensors), np.nan),
            "powers": np.zeros(self.hold_points),
            "seen": np.zeros(1, np.int64),
        }

    def score(self, state: State, values: FloatArray) -> AssetScores:
        """Return the scores of moments that follow what `state` has seen, and leave `state` as it is."""
        moved = {name: state[name].copy() for name in ("level", "residuals", "readings", "powers", "seen")}
        return self.advance({**state, **moved}, values)

    def advance(self, state: State, values: FloatArray) -> AssetScores:
        """Score moments as `score` does, and move level, last residuals and last strangeness of `state` along."""
        n, sensors = values.shape
        known = self._known(state)
        found = AssetScores.none(n, sensors)
        step = max(1, _CHUNK // max(sensors, 1) ** 2)
        for first in range(0, n, step):
            part = slice(first, first + step)
            rows = np.ascontiguousarray(values[part], np.float64)
            pass_over(known, rows, found.score[part], found.sensor[part], found.parts[part])
        return found

    def explain(self, state: State) -> tuple[Deviation, ...]:
        """Return the sensors without which the relations of the others hold, the one that explains most first."""
        return causes(self._known(state))

    def without(self, state: State, kept: NDArray[np.intp]) -> State:
        """Return the relations among the sensors that are `kept`."""
        return left_alone(state, kept)

    def layout(self, sensors: int) -> Mapping[str, Column]:
        """Return what the arrays of the state of an asset with so many sensors look like."""
        reach = MOST_DEVIATION
        return {
            "points": Column("<i8", (sensors,), low=0),
            "mean": Column("<f8", (sensors,), low=-LIMIT, high=LIMIT),
            "scale": Column("<f8", (sensors,), low=SCALE_FLOOR, high=2.0 * LIMIT),
            "precision": Column("<f8", (sensors, sensors), low=-1e15, high=1e15),
            "limit": Column("<f8", (sensors,), low=0.0),
            "freedom": Column("<f8", (sensors,), low=LEAST_FREEDOM),
            "level": Column("<f8", (sensors,)),
            "residuals": Column("<f8", (self.mean_points, sensors)),
            "readings": Column("<f8", (self.mean_points, sensors), low=-reach, high=reach),
            "powers": Column("<f8", (self.hold_points,), low=0.0, high=MOST_STRANGE**POWER),
            "seen": Column("<i8", (1,), low=0),
        }

    def check(self, state: State) -> None:
        """Raise ValueError if the arrays are no relations."""
        precision = state["precision"]
        learnt = ~np.isnan(state["mean"])
        if np.isnan(precision).any() or not (np.diag(precision) > 0.0).all():
            raise ValueError("array precision is not the inverse of a covariance")
        for name in ("scale", "limit"):
            if (np.isnan(state[name]) == learnt).any() or (state[name][learnt] <= 0.0).any():
                raise ValueError(f"array {name} does not say how far the sensors that were learnt may be off")
        if np.isnan(state["powers"]).any() or np.isnan(state["level"]).any():
            raise ValueError("an array holds a gap where there is none")

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    def _known(self, state: State) -> Known:
        with np.errstate(divide="ignore", over="ignore"):
            gain = np.minimum(1.0 / (self.memory * state["points"]), 1.0)
        arrays = {name: state[name] for name in Known._fields if name in state}
        return Known(**arrays, gain=gain, distrust=self.distrust)
