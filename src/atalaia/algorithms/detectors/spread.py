"""Where the values of one series lie, and how far they scatter."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.bands import LIMIT, scale_floor
from atalaia.algorithms.detectors.protocol import State
from atalaia.core.points import FloatArray, Group

Estimate = Callable[[FloatArray], tuple[float, float]]
"""Takes the usable values of one series and returns its level and its scale."""

# A normal distribution has its absolute deviations from the median below sigma times 0.6745, 1.6449 and 2.5758 with
# probability 0.5, 0.9 and 0.99: each quantile, multiplied so, estimates sigma.
_QUANTILES = ((0.5, 1.4826), (0.9, 0.6080), (0.99, 0.3882))


def usable(values: FloatArray) -> NDArray[np.bool_]:
    """Return where `values` are numbers to learn from: not NaN, not infinite, not absurdly large."""
    return np.abs(values) <= LIMIT


def learn(group: Group, estimate: Estimate, min_points: int) -> State:
    """Return the level and the scale of every series of `group`, NaN below `min_points` usable points.

    Series are taken one after another, so that memory beside the result is that of one series, and a series
    gets the same result to the last bit whatever stands beside it.
    """
    level = np.full(len(group), np.nan)
    scale = np.full(len(group), np.nan)
    points = np.zeros(len(group), np.int64)
    for row in range(len(group)):
        _, values = group.series(row)
        values = values[usable(values)]
        points[row] = len(values)
        if len(values) >= min_points:
            level[row], scale[row] = estimate(values)
    return {"level": level, "scale": np.maximum(scale, scale_floor(level)), "points": points}


def mean_and_deviation(values: FloatArray) -> tuple[float, float]:
    """Return the mean and the sample standard deviation of at least two values."""
    return float(values.mean()), float(values.std(ddof=1))


def median_and_mad(values: FloatArray) -> tuple[float, float]:
    """Return the median and the scaled median absolute deviation of at least one value."""
    level = float(np.median(values))
    return level, robust_scale(np.abs(values - level))


def robust_scale(deviations: FloatArray) -> float:
    """Return the standard deviation that a normal distribution with these absolute deviations would have.

    This is 1.4826 times their median (Hampel, "The influence curve and its role in robust estimation", JASA 1974).
    Where more than half of them are 0 (a counter of rare errors), the 90 % and then the 99 % quantile take its
    place, so that what happens regularly is not strange; 0.0 when even those are 0.
    """
    for quantile, factor in _QUANTILES:
        # The median needs one partition; only degenerate series pay for the other quantiles.
        reached = np.median(deviations) if quantile == 0.5 else np.quantile(deviations, quantile)
        if reached > 0:
            return float(reached) * factor
    return 0.0
