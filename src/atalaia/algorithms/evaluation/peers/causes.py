"""Rankings of causes as others make them: BARO's RobustScorer, and the N-sigma rule.

BARO (Pham et al., FSE 2024) scores a metric by the largest distance of its values in the incident from its median
before, in interquartile ranges; N-sigma by that from its mean, in standard deviations. A service is as suspect as
the worst of its metrics. Both divide by one where a metric was constant, as the published code does.
"""

from collections.abc import Callable

import numpy as np

from atalaia.core.points import FloatArray, Group

Usual = Callable[[FloatArray], tuple[float, float]]
"""Returns the middle and the width of the values before the incident."""


def robust_scorer(history: Group, window: FloatArray) -> FloatArray:
    """Return a score of each series by BARO's RobustScorer, 0.0 where nothing is known of it."""
    return _furthest(history, window, _quartiles)


def n_sigma(history: Group, window: FloatArray) -> FloatArray:
    """Return a score of each series by the N-sigma rule, 0.0 where nothing is known of it."""
    return _furthest(history, window, _moments)


def _furthest(history: Group, window: FloatArray, usual: Usual) -> FloatArray:
    found = np.zeros(len(window))
    for position, seen in enumerate(window):
        _, before = history.series(position)
        before, now = before[np.isfinite(before)], seen[np.isfinite(seen)]
        if len(before) and len(now):
            middle, width = usual(before)
            found[position] = float(np.abs(now - middle).max()) / (width or 1.0)
    return found


def _quartiles(values: FloatArray) -> tuple[float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return middle, high - low


def _moments(values: FloatArray) -> tuple[float, float]:
    return float(values.mean()), float(values.std())
