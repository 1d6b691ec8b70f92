"""What a detector of assets is, and what it says of moments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.core.points import FloatArray

MAX_SENSORS = 512
"""Of one asset: what is learnt of it grows with their square. A larger one is several assets."""


@dataclass(frozen=True, slots=True, eq=False)
class AssetScores:
    """What a detector says of n moments of an asset with k sensors.

    Attributes
    ----------
    score
        float64[n]; 1.0 is the threshold in force, higher is stranger, NaN is no opinion (no sensor was read at the
        moment, or nothing was learnt). Never infinite.
    sensor
        int32[n]; position of the sensor that is strangest at the moment, -1 where none stands out.
    parts
        float64[n, k]; how strange each sensor is, on the same scale; NaN where it is missing or was not learnt.
    """

    score: FloatArray
    sensor: NDArray[np.int32]
    parts: FloatArray

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def none(moments: int, sensors: int) -> "AssetScores":
        """Return no opinion of so many moments, to be filled."""
        score, parts = np.full(moments, np.nan), np.full((moments, sensors), np.nan)
        return AssetScores(score, np.full(moments, -1, np.int32), parts)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One sensor that is not where the others, or its own past, say.

    Attributes
    ----------
    sensor
        Its position.
    score
        How far it is off; above 1.0.
    seen, expected, lower, upper
        What it showed, what was expected, and the band outside which the score exceeds 1.0, in its own unit.
    """

    sensor: int
    score: float
    seen: float
    expected: float
    lower: float
    upper: float


class AssetDetector(Protocol):
    """Learns how the sensors of one asset belong together, and says when they no longer do.

    A detector is a frozen dataclass of its hyperparameters and holds nothing else: what it learns is a `State`,
    named arrays as `layout` has them. Every state has an array ``points``, int64[k]: how many values of each
    sensor were learnt from. ``check_asset_detector`` in `atalaia.algorithms.asset_laws` holds the laws that every
    one obeys.

    The rows of ``values``, float64[n, k], are moments in order of time at which all sensors are read; NaN where one
    was not.
    """

    name: ClassVar[str]
    """What users call it."""
    part: ClassVar[str]
    """What it looks at, by the name that `atalaia.algorithms.explaining.views` knows."""
    min_points: ClassVar[int]
    """A sensor with fewer finite values is not learnt."""
    draws: ClassVar[bool]
    """Whether it draws lots among the sensors by position: in another order they are learnt a bit otherwise."""

    def fit(self, values: FloatArray) -> State:
        """Return what there is to know of the k sensors of a history.

        Raises
        ------
        Invalid
            ``too_many_sensors`` with more than `MAX_SENSORS`.
        """
        ...

    def score(self, state: State, values: FloatArray) -> AssetScores:
        """Return the scores of moments that follow what `state` has seen, and leave `state` as it is."""
        ...

    def advance(self, state: State, values: FloatArray) -> AssetScores:
        """Score moments as `score` does, and change `state` in place, so that the next ones follow them.

        However a stream is cut into batches, states and scores are the same to the last bit. A moment of which
        nothing is known changes nothing.
        """
        ...

    def explain(self, state: State) -> tuple[Deviation, ...]:
        """Return the sensors that made the last moment strange that `state` has seen, the first cause first."""
        ...

    def without(self, state: State, kept: NDArray[np.intp]) -> State:
        """Return a state of those sensors alone that are `kept`; nothing of the values of the others is in it."""
        ...

    def layout(self, sensors: int) -> Mapping[str, Column]:
        """Return what the arrays of the state of an asset with so many sensors look like, in full shape."""
        ...

    def check(self, state: State) -> None:
        """Raise ValueError if arrays that keep to `layout` still are no state that `fit` or `advance` gives."""
        ...

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON values, by name."""
        ...
