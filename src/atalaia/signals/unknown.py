"""Scores of a block of which some points lie inside known events: these are not shown to any model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, Points
from atalaia.core.scores import BrokenRelation, Explanation, ModelRef
from atalaia.signals.ports import ScoredBlock, Scorer


class PartlyScored:
    """Scores of n points, of which those that are `known` have none: NaN, and no alarm.

    Parameters
    ----------
    scored
        The scores of the others, in their order, and of points that it puts before them.
    points
        All of them.
    """

    def __init__(self, scored: ScoredBlock, points: Points, known: NDArray[np.bool_]) -> None:
        before = len(scored.points) - int(np.count_nonzero(~known))
        self._scored = scored
        self._is_scored = np.concatenate([np.ones(before, np.bool_), ~known])
        self._place = np.cumsum(self._is_scored) - 1
        self.points = Points.concat([scored.points.take(np.arange(before)), points]) if before else points
        self.score = np.full(len(self.points), np.nan)
        self.score[self._is_scored] = scored.score
        self.alarm = np.zeros(len(self.points), np.bool_)
        self.alarm[self._is_scored] = scored.alarm

    def raw(self) -> FloatArray:
        """Return the scores in parts of the detectors' own thresholds, float64[n]."""
        told = np.full(len(self.score), np.nan)
        told[self._is_scored] = self._scored.raw()
        return told

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        return self._scored.explain(int(self._place[index]))

    def relations(self, index: int) -> Sequence[BrokenRelation]:
        """Return the sensors of an asset whose relation broke at point `index`, if that gave it its score."""
        return self._scored.relations(int(self._place[index]))

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        return self._scored.model(int(self._place[index]))


def watch(
    scorer: Scorer, points: Points, known: NDArray[np.bool_] | None, *, replayed: bool = False
) -> ScoredBlock:
    """Score a block; points that are `known` are neither scored nor taught."""
    if known is None:
        return scorer.watch_block(points.series, points.timestamps, points.values, replayed=replayed)
    others = points.take(~known)
    scored = scorer.watch_block(others.series, others.timestamps, others.values, replayed=replayed)
    return PartlyScored(scored, points, known)
