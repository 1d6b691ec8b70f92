"""What a detector says of points, and what the service says of one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray

THRESHOLD = 1.0
"""Scores are on one scale: this is the threshold in force, whatever the detector."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of n points.

    Attributes
    ----------
    score
        float64[n]; 1.0 is the threshold in force, higher is stranger, NaN is no opinion (a missing value, a
        series that was never learnt). Never infinite.
    expected, lower, upper
        float64[n]; the expected value and the band outside which the score exceeds 1.0, in the unit of the
        series.
    part
        int16[n]; position in the detector's ``parts`` of what decided the score.
    """

    score: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
    part: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.score)


class Confidence(StrEnum):
    """How far an answer can be trusted."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(StrEnum):
    """Where the model that answered was loaded from."""

    MLFLOW = "mlflow"
    LOCAL_CACHE = "local_cache"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model spoke."""

    model_id: str
    version: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class BrokenRelation:
    """A sensor that is not where the other sensors of its asset say.

    Attributes
    ----------
    score
        How far it is off: 1.0 is the edge of the band.
    seen, expected, lower, upper
        What it showed, what was expected, and the band, in its own unit.
    """

    series_id: str
    score: float
    seen: float
    expected: float
    lower: float
    upper: float


class Explanation(NamedTuple):  # as `Score` is: each single prediction makes one, a dataclass takes thrice as long
    """Why one point has the score it has.

    Attributes
    ----------
    expected, lower, upper
        Expected value and band, in the unit of the series; None when the model has no opinion.
    part
        Which part of the model decided, e.g. ``season``.
    text
        One sentence for people.
    """

    expected: float | None
    lower: float | None
    upper: float | None
    part: str
    text: str


class Score(NamedTuple):
    """The answer to one point; `flags` say what is odd about the question, see `serving.inputs`."""

    series_id: str
    timestamp: datetime
    value: float
    score: float | None
    confidence: Confidence
    model: ModelRef
    stage: str
    source: Source
    explanation: Explanation
    flags: int = 0

    @property
    def is_anomaly(self) -> bool:
        """Whether the score exceeds the threshold in force."""
        return self.score is not None and self.score > THRESHOLD
