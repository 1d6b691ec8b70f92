"""From the history of an asset to its relations, and to how far each may be off."""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.bands import LIMIT, scale_floor
from atalaia.algorithms.relations.passing import means_over, residuals_over
from atalaia.algorithms.relations.sums import Sums
from atalaia.algorithms.relations.tails import student_quantile
from atalaia.core.points import FloatArray

LEAST_FREEDOM = 2.0
"""Even the wildest history counts as so many independent values."""


def usable(values: FloatArray) -> FloatArray:
    """Return `values` with NaN for what cannot be a reading."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) <= LIMIT, values, np.nan)


def mean_and_scale(values: FloatArray, learnt: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each sensor, the latter floored; NaN for those that are not learnt."""
    mean, scale = np.full((2, values.shape[1]), np.nan)
    for i in np.flatnonzero(learnt):
        column = values[:, i]
        column = column[~np.isnan(column)]
        mean[i] = np.mean(column)
        scale[i] = np.maximum(np.std(column), scale_floor(mean[i]))
    return mean, scale


def residuals_out_of_block(z: FloatArray, whole: Sums, ridge: float, blocks: int) -> FloatArray:
    """Return what relations leave of a history that were solved without the block of time that they are tried on.

    In-sample residuals would tell how well the relations were bent to the history. These also tell how far they
    wander from one block to the next.
    """
    residuals = np.full(z.shape, np.nan)
    edges = np.linspace(0, len(z), min(blocks, len(z)) + 1).astype(int)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        mean, precision = whole.without(Sums.of(z[start:end])).solve(ridge)
        residuals_over(precision, z[start:end] - mean, residuals[start:end])
    return residuals


def spread_and_freedom(means: FloatArray) -> tuple[float, float]:
    """Return the spread of one relation around 0, and how many independent values it is known from.

    Neighbours in time resemble each other. A sum of n of them varies as one of ``n / (1 + 2 Σ r)`` independent
    values, with r the autocorrelation, here up to a quarter of the history and weighted down evenly (Bartlett).
    A missing value is a 0 in all sums.
    """
    filled = np.where(np.isnan(means), 0.0, means)
    count = int((~np.isnan(means)).sum())
    n, lags = len(filled), len(filled) // 4
    if count == 0:
        return 0.0, LEAST_FREEDOM
    power = np.abs(np.fft.rfft(filled, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[: lags + 1]
    if not correlation[0] > 0.0:
        return 0.0, LEAST_FREEDOM
    weights = 1.0 - np.arange(1, lags + 1) / max(lags, 1)
    together = 1.0 + 2.0 * float((weights * correlation[1:]).sum()) / float(correlation[0])
    return float(np.sqrt((filled**2).sum() / count)), max(count / max(together, 1.0), LEAST_FREEDOM)


def limits_and_freedom(residuals: FloatArray, points: int, tail: float) -> tuple[FloatArray, FloatArray]:
    """Return what the mean of the last residuals of each relation exceeds with probability `tail`, to either side,
    and from how many independent values that is known.

    The spread is known from few independent values where a relation wanders, so that Student's t says how rare a
    deviation is, not the normal distribution.
    """
    means = np.empty_like(residuals)
    means_over(residuals, points, means)
    limit, freedom = np.empty((2, residuals.shape[1]))
    for i in range(residuals.shape[1]):
        spread, freedom[i] = spread_and_freedom(means[:, i])
        limit[i] = spread * student_quantile(tail / 2.0, float(freedom[i]))
    return limit, freedom
