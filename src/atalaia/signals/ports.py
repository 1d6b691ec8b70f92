"""What signals needs from others."""

from collections.abc import Sequence
from typing import Protocol

from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import Explanation, ModelRef, Scores


class ScoredBlock(Protocol):
    """The scores of a block of points, and why."""

    @property
    def scores(self) -> Scores:
        """Return the scores of the n points; NaN where no model is in Production."""
        ...

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        ...

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        ...


class Scorer(Protocol):
    """Scores points with the models in Production."""

    def score_block(
        self, series_ids: Sequence[str], rows: IntArray, timestamps: IntArray, values: FloatArray
    ) -> ScoredBlock:
        """Score n points; ``series_ids[rows[i]]`` is the series of point ``i``."""
        ...
