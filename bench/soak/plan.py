"""What is sent: numbered batches of points whose values anybody can compute again."""

from dataclasses import dataclass

import numpy as np

from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, IntArray

HISTORY = 500
"""Points of each series that are there before the load begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The load on a site.

    Attributes
    ----------
    predictions_per_s, points_per_s
        Rates.
    series
        How many series have a point in each batch.
    start_us
        When batch 0 is.
    """

    predictions_per_s: float
    points_per_s: float
    series: int
    start_us: int

    @property
    def batches_per_s(self) -> float:
        """How many batches are sent in a second."""
        return self.points_per_s / self.series

    @property
    def step_us(self) -> int:
        """How far apart two points of one series are."""
        return max(1_000, int(MICROS / self.batches_per_s) // 1_000 * 1_000)

    @property
    def names(self) -> list[str]:
        """The series."""
        return [f"soak/{number}" for number in range(self.series)]

    def timestamps_us(self, batches: IntArray) -> IntArray:
        """Return when the points of batches are."""
        return self.start_us + batches * self.step_us

    def values(self, series: int | IntArray, batches: int | IntArray) -> FloatArray:
        """Return the values of series in batches, numbered from minus `HISTORY` on: a wave and noise."""
        series, batches = np.asarray(series, np.int64), np.asarray(batches, np.int64)
        noise = ((series * 7_919 + batches * 104_729) % 1_009) / 250
        return 50 + 5 * np.sin(batches / 300 + series) + noise
