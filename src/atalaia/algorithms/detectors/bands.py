"""From an expected value and a scale to scores: one rule for all detectors."""

import math

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD, Scores

SCORE_CAP = 1e6
"""No score exceeds it: a series that never moved would otherwise score without limit when it does."""

LIMIT = 1e140
"""Larger magnitudes are gaps in a history, since their squares overflow, and count as this when scored."""

SCALE_FLOOR = 1e-12
RELATIVE_SCALE_FLOOR = 1e-6

_SURELY_INSIDE = 0.999
_JUST_OVER = float(np.nextafter(THRESHOLD, 2.0))


def scale_floor(level: FloatArray | np.float64) -> FloatArray:
    """Return the least scale of a series around `level`: a millionth of its magnitude, and never under 1e-12.

    A series that never moved has no scale of its own. It shall alarm when it does move, but not at the rounding
    of the last digits that some exporters add, which is far below a millionth of the value.
    """
    return np.maximum(np.abs(level) * RELATIVE_SCALE_FLOOR, SCALE_FLOOR)


def judge(values: FloatArray, expected: FloatArray, allowed: FloatArray, part: NDArray[np.int16]) -> Scores:
    """Return the scores of `values` around `expected`.

    The score is ``|value - expected| / allowed``, so that 1.0 is the edge of the band ``expected ± allowed``. A
    missing value has a band and no score; where `expected` is NaN there is neither. An infinite value lies outside
    every band and scores high, not NaN.

    Parameters
    ----------
    values, expected, allowed
        float64[n], in the unit of the series; `allowed` is above 0, or NaN where nothing was learnt.
    part
        int16[n], what decides.
    """
    lower, upper = expected - allowed, expected + allowed
    seen = np.minimum(np.maximum(values, -LIMIT), LIMIT)
    score = np.minimum(np.abs(seen - expected) / allowed, SCORE_CAP)
    # Rounding may put a value at the edge on different sides in score and band: the band decides.
    outside = (values > upper) | (values < lower)
    score = np.where(outside, np.maximum(score, _JUST_OVER), np.minimum(score, THRESHOLD))
    return Scores(score=score, expected=expected, lower=lower, upper=upper, part=part)


@compiled
def judge_one(value: float, expected: float, allowed: float) -> float:
    """Return the score that `judge` gives to one value."""
    score = abs(value - expected) / allowed
    if score < _SURELY_INSIDE:  # nearly always, and far from where rounding matters
        return score
    score = abs(min(max(value, -LIMIT), LIMIT) - expected) / allowed
    if math.isnan(value) or math.isnan(score):
        return math.nan
    if value > expected + allowed or value < expected - allowed:
        return min(max(score, _JUST_OVER), SCORE_CAP)
    return min(score, THRESHOLD)
