"""The robust z-score: median and median absolute deviation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from atalaia.algorithms.detectors.bands import SCALE_FLOOR, judge
from atalaia.algorithms.detectors.hyperparameters import number
from atalaia.algorithms.detectors.protocol import MAX_BYTES_PER_SERIES, Column, State
from atalaia.algorithms.detectors.spread import learn, median_and_mad
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores


@dataclass(frozen=True)
class RobustZScore:
    """How many scaled median absolute deviations a value is from the median (Iglewicz and Hoaglin, 1993).

    The state takes 24 bytes a series: median, scale, number of points.

    - It is robust: up to half of the history may be wrong before the band is lost. In a series that holds one and
      the same value most of the time, see `robust_scale`, a tenth or a hundredth may.
    - Gaps and irregular steps do not matter: the time of a point is not looked at. NaN and infinite values of
      a history are left out. A NaN gets no score, an infinite value a high one.
    - Fewer than 10 points: not learnt, no opinion.
    - A constant series: the scale is never less than a millionth of its level (and 1e-12), so it alarms when it
      moves.
    - After a jump of the level every point is anomalous until the series is trained again.
    - Series with long tails exceed 3 scaled deviations often: raise ``threshold_sigma`` there.
    """

    name: ClassVar[str] = "robust_zscore"
    parts: ClassVar[tuple[str, ...]] = ("level",)
    min_points: ClassVar[int] = 10
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = MAX_BYTES_PER_SERIES

    threshold_sigma: float = number(3.5, above=0.0, most=1000.0)

    def fit(self, group: Group) -> State:
        """Return the median and the scaled median absolute deviation of each series."""
        return learn(group, median_and_mad, self.min_points)

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return ``|value - median| / (threshold_sigma * 1.4826 * MAD)``."""
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
