"""What a model says, told in parts of a threshold that is not its own."""

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray
from atalaia.core.scores import Scores

OneScore = tuple[float, float, float, float, int]
"""Score, expected value, lower and upper end of the band, and part, see `FleetModel.score_one`."""


def moved(scores: Scores, values: FloatArray, thresholds: FloatArray) -> Scores:
    """Return the scores of n values as they are under other thresholds.

    The score is divided by the threshold. Scores grow in proportion to the distance from what is expected, but not
    always from zero on: what the last points said may count too. So the band ends where the line through its old
    end and the value, and their scores, reaches the threshold.

    Parameters
    ----------
    thresholds
        float64[n], in parts of the model's own.
    """
    if bool((thresholds == 1.0).all()):
        return scores
    is_above = values >= scores.expected
    off = np.abs(values - scores.expected)
    allowed = np.where(is_above, scores.upper - scores.expected, scores.expected - scores.lower)
    with np.errstate(all="ignore"):
        rate = (off - allowed) / (scores.score - 1.0)
        rate = np.where(np.isfinite(rate) & (rate > 0), rate, allowed)
        factor = np.maximum(allowed + (thresholds - 1.0) * rate, 0.0) / allowed
    factor = np.where(np.isfinite(factor), factor, thresholds)
    factor = np.where(thresholds == 1.0, 1.0, factor)
    return Scores(
        scores.score / thresholds,
        scores.expected,
        scores.expected - (scores.expected - scores.lower) * factor,
        scores.expected + (scores.upper - scores.expected) * factor,
        scores.part,
    )


def moved_one(said: OneScore, value: float, threshold: float) -> OneScore:
    """Return what is said of one value as it is under another threshold, see `moved`."""
    if threshold == 1.0:
        return said
    score, expected, lower, upper, part = (np.array([one]) for one in said)
    told = moved(Scores(score, expected, lower, upper, part), np.array([value]), np.array([threshold]))
    return told.score.item(0), expected.item(0), told.lower.item(0), told.upper.item(0), said[4]


def alarm_under(alarm: NDArray[np.bool_], is_over: NDArray[np.bool_], thresholds: FloatArray) -> NDArray[np.bool_]:
    """Return which points are in alarm, bool[n], given which are in an alarm of the model, and over the threshold.

    The model's own alarms go on until they are over; a higher threshold holds each of their points to itself, a
    lower one adds points.
    """
    return np.where(thresholds > 1.0, alarm & is_over, alarm | (is_over & (thresholds < 1.0)))
