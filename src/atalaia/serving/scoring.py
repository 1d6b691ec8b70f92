"""The score of a single point, and why."""

from atalaia.algorithms.sentences import sentence
from atalaia.core.clock import from_us
from atalaia.core.scores import Confidence, Explanation, ModelRef, Score, Source
from atalaia.core.series import Statistics
from atalaia.serving.cache import Loaded
from atalaia.serving.thresholds import moved_one

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


def score_one(loaded: Loaded, row: int, threshold: float, series_id: str, timestamp: int, value: float) -> Score:
    """Score one point by the row of a loaded model; `threshold` in parts of the model's own."""
    model = loaded.model
    said = moved_one(model.score_one(row, timestamp, value), value, threshold)
    score, expected, lower, upper, part = said
    return Score(
        series_id=series_id,
        timestamp=from_us(timestamp),
        value=value,
        score=None if score != score else score,
        confidence=model.confidence(row),
        model=loaded.ref,
        stage=loaded.stage,
        source=loaded.source,
        explanation=model.explain_one(value, score, expected, lower, upper, part),
    )
