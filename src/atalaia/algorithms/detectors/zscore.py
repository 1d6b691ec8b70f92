"""The z-score: mean and standard deviation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from atalaia.algorithms.detectors.bands import SCALE_FLOOR, judge
from atalaia.algorithms.detectors.hyperparameters import number
from atalaia.algorithms.detectors.protocol import MAX_BYTES_PER_SERIES, Column, State
from atalaia.algorithms.detectors.spread import learn, mean_and_deviation
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores


@dataclass(frozen=True)
class ZScore:
    """How many standard deviations a value is from the mean of its history (Shewhart, 1931).

    The state takes 24 bytes a series: mean, standard deviation, number of points.

    - Gaps and irregular steps do not matter: the time of a point is not looked at. NaN and infinite values of
      a history are left out. A NaN gets no score, an infinite value a high one.
    - Fewer than 10 points: not learnt, no opinion.
    - A constant series has a standard deviation of 0; the scale is never less than a millionth of its level (and
      1e-12), so it alarms when it moves.
    - After a jump of the level every point is anomalous until the series is trained again.
    - It is not robust: one extreme value in the history widens the band. Use ``robust_zscore`` for histories that
      nobody cleaned.
    """

    name: ClassVar[str] = "statistical"
    parts: ClassVar[tuple[str, ...]] = ("level",)
    min_points: ClassVar[int] = 10
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = MAX_BYTES_PER_SERIES

    threshold_sigma: float = number(3.0, above=0.0, most=1000.0)

    def fit(self, group: Group) -> State:
        """Return the mean and the standard deviation of each series."""
        return learn(group, mean_and_deviation, self.min_points)

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return ``|value - mean| / (threshold_sigma * std)``."""
        allowed = state["scale"][rows] * self.threshold_sigma
        return judge(values, state["level"][rows], allowed, np.zeros(len(rows), np.int16))

    def bands(self, state: State) -> tuple[FloatArray, FloatArray]:
        """Return the expected value and the allowed deviation of each series."""
        return state["level"], state["scale"] * self.threshold_sigma

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        return {"level": Column("<f8"), "scale": Column("<f8", low=SCALE_FLOOR), "points": Column("<i8", low=0)}

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)
