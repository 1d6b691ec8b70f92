"""Series with labels, as comparisons take them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from atalaia.algorithms.evaluation.intervals import Marks
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, IntArray

_STEP_US = 60 * MICROS


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One series, or several sensors of one asset, with labels.

    Attributes
    ----------
    name, data
        What it is called, and the set that it is from.
    columns
        Names of its k sensors.
    values
        float64[n, k], NaN where one is missing.
    labels
        bool[n], which points are anomalous.
    history
        Points at the beginning that a detector may learn from before it is judged, without their labels; None where
        the source does not say.
    timestamps
        int64[n], microseconds since the epoch, not falling; None where the source has none.
    published
        Figures that others published for this very series, by method: VUS-PR.
    """

    name: str
    data: str
    columns: tuple[str, ...]
    values: FloatArray
    labels: Marks
    history: int | None = None
    timestamps: IntArray | None = None
    published: Mapping[str, float] = field(default_factory=dict[str, float])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def moments(self) -> IntArray:
        """int64[n], `timestamps`, or one a minute where there are none."""
        return np.arange(len(self), dtype=np.int64) * _STEP_US if self.timestamps is None else self.timestamps
