"""Scores of single points and of blocks, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from atalaia.algorithms.sentences import sentence
from atalaia.core.clock import from_us
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import Confidence, Explanation, ModelRef, Score, Scores, Source
from atalaia.core.series import Statistics
from atalaia.serving.cache import Loaded

FALLBACK = ModelRef("catalogue", "running-statistics", "zscore")
_MAX_SCORE = 1e6


def score_fallback(
    statistics: Statistics, series_id: str, timestamp: int, value: float, *, sigma: float, min_points: int
) -> Score:
    """Score one point by a z-score on the running statistics of its series; the confidence is low.

    Without enough points, or without any spread, there is no opinion.
    """
    known = statistics.count >= min_points and statistics.std > 0
    score = min(abs(value - statistics.mean) / (sigma * statistics.std), _MAX_SCORE) if known else None
    if score is None:
        explanation = Explanation(None, None, None, "none", "no model is in Production and too little is known")
    else:
        mean, width = statistics.mean, sigma * statistics.std
        text = sentence(score, value, mean, mean - width, mean + width, "level")
        explanation = Explanation(
            mean, mean - width, mean + width, "level", f"{text} (running statistics, no model)"
        )
    return Score(
        series_id=series_id,
        timestamp=from_us(timestamp),
        value=value,
        score=score,
        confidence=Confidence.LOW,
        model=FALLBACK,
        stage="None",
        source=Source.FALLBACK,
        explanation=explanation,
    )


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What one model says of its share of a block."""

    loaded: Loaded
    scores: Scores


class Block:
    """The scores of a block of points, each from the model of its series.

    Points of series without a loaded model have the score NaN.
    """

    def __init__(self, timestamps: IntArray, values: FloatArray) -> None:
        n = len(values)
        self._values = values
        self._timestamps = timestamps
        self._model = np.full(n, -1, np.int32)
        self._place = np.zeros(n, np.int64)
        self._models: list[ModelScores] = []
        nan = np.full(n, np.nan)
        self.scores = Scores(nan, nan.copy(), nan.copy(), nan.copy(), np.zeros(n, np.int16))

    def add(self, loaded: Loaded, points: IntArray, rows: IntArray) -> Scores:
        """Score the block's `points` with a model; ``rows[i]`` is the model's row of ``points[i]``."""
        scores = loaded.model.score(rows, self._timestamps[points], self._values[points])
        self._model[points] = len(self._models)
        self._place[points] = np.arange(len(points))
        self._models.append(ModelScores(loaded, scores))
        for name in ("score", "expected", "lower", "upper", "part"):
            getattr(self.scores, name)[points] = getattr(scores, name)
        return scores

    def answer(self, index: int, series_id: str) -> Score | None:
        """Return the whole answer to point `index` of a series, None when no model scored it."""
        if self._model[index] < 0:
            return None
        loaded = self._told(index).loaded
        score = float(self.scores.score[index])
        row = loaded.model.row_of(series_id)
        assert row is not None, "the model scored it, so it holds the series"
        return Score(
            series_id=series_id,
            timestamp=from_us(int(self._timestamps[index])),
            value=float(self._values[index]),
            score=None if isnan(score) else score,
            confidence=loaded.model.confidence(row),
            model=loaded.ref,
            stage="Production",
            source=loaded.source,
            explanation=self.explain(index),
        )

    def explain(self, index: int) -> Explanation:
        """Say why point `index` has its score."""
        told = self._told(index)
        return told.loaded.model.explain(told.scores, int(self._place[index]), float(self._values[index]))

    def model(self, index: int) -> ModelRef:
        """Say which model scored point `index`."""
        return self._told(index).loaded.ref

    def _told(self, index: int) -> ModelScores:
        which = int(self._model[index])
        assert which >= 0, "no model scored this point"
        return self._models[which]


def rows_by_model(
    loaded: Sequence[Loaded | None], series_ids: Sequence[str], rows: IntArray
) -> list[tuple[Loaded, IntArray, IntArray]]:
    """Split the points of a block by model: the model, its points, and the model's rows of them.

    Parameters
    ----------
    loaded, series_ids
        For each series of the block, its model and its id.
    rows
        int64[n], the position of each point's series.
    """
    position: dict[int, int] = {}
    kinds: list[Loaded] = []
    which = np.full(len(series_ids), -1, np.int64)
    model_row = np.zeros(len(series_ids), np.int64)
    for i, (one, series_id) in enumerate(zip(loaded, series_ids, strict=True)):
        row = one.model.row_of(series_id) if one is not None else None
        if one is None or row is None:
            continue
        if id(one) not in position:
            position[id(one)] = len(kinds)
            kinds.append(one)
        which[i], model_row[i] = position[id(one)], row
    return _split(kinds, which[rows], model_row[rows])


def _split(kinds: list[Loaded], which: IntArray, rows: IntArray) -> list[tuple[Loaded, IntArray, IntArray]]:
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(kinds) + 1))
    parts = [order[bounds[k] : bounds[k + 1]] for k in range(len(kinds))]
    return [(kind, part, rows[part]) for kind, part in zip(kinds, parts, strict=True)]
