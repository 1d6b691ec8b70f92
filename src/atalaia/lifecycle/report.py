"""How a model does: its scores on recent points, and whether the data have drifted from what it learnt."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from atalaia.algorithms.drift import ks_2samp
from atalaia.algorithms.models import FleetModel
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD, Scores

DRIFT_P_VALUE = 0.05
DRIFT_STATISTIC = 0.15
_MIN_POINTS = 30


@dataclass(frozen=True, slots=True)
class Judged:
    """Points of one series, and what its model says of them."""

    timestamps: IntArray
    values: FloatArray
    scores: Scores


def judge(model: FleetModel, series_id: str, timestamps: IntArray, values: FloatArray) -> Judged:
    """Score the points of one series with `model`; all NaN when the model does not know the series."""
    row = model.row_of(series_id)
    if row is None:  # it joined the fleet after the training
        none = np.full(len(values), np.nan)
        return Judged(timestamps, values, Scores(none, none, none, none, np.zeros(len(values), np.int16)))
    return Judged(timestamps, values, model.score(np.full(len(values), row, np.int64), timestamps, values))


def score_summary(judged: Judged) -> dict[str, Any]:
    """Return quantiles of the scores and the share over the threshold, None without scored points."""
    scores = judged.scores.score[np.isfinite(judged.scores.score)]
    if not len(scores):
        return {"points": 0, "p50": None, "p95": None, "p99": None, "over_threshold": None}
    p50, p95, p99 = np.quantile(scores, [0.5, 0.95, 0.99]).tolist()
    over = float((scores > THRESHOLD).mean())
    return {"points": len(scores), "p50": p50, "p95": p95, "p99": p99, "over_threshold": over}


def drift(reference: FloatArray, recent: FloatArray) -> dict[str, Any]:
    """Compare the values that were learnt with recent ones (two-sample Kolmogorov-Smirnov).

    With thousands of points any real difference is significant, and neighbours in time are not independent;
    so the distance between the distributions must also be worth speaking of (`DRIFT_STATISTIC`).
    """
    told: dict[str, Any] = {
        "method": "ks_2samp",
        "threshold": DRIFT_P_VALUE,
        "min_statistic": DRIFT_STATISTIC,
        "reference_points": len(reference),
        "recent_points": len(recent),
    }
    if min(len(reference), len(recent)) < _MIN_POINTS:
        return {**told, "statistic": None, "p_value": None, "drifted": False}
    statistic, p_value = ks_2samp(reference, recent)
    drifted = p_value < DRIFT_P_VALUE and statistic >= DRIFT_STATISTIC
    return {**told, "statistic": statistic, "p_value": p_value, "drifted": drifted}
