"""Peers for assets: Hotelling's T² and the squared prediction error of principal components.

Both are what industry has used for decades to watch many sensors at once (Hotelling, 1947; Jackson and Mudholkar,
"Control procedures for residuals associated with principal component analysis", Technometrics 1979), and stand in
the leaderboard of the SKAB benchmark as T² and T²+Q. As there, a moment is judged by itself, and the threshold is
set on the end of the history, which the components were not learnt from: its 99 % quantile, times 4/3.
"""

from dataclasses import dataclass

import numpy as np

from atalaia.core.points import FloatArray

KEPT_VARIANCE = 0.95
"""Share of the variance that the components keep."""

LEARNT_SHARE = 0.7
"""Of the history; the rest sets the threshold."""

_QUANTILE, _MARGIN = 0.99, 4.0 / 3.0
_LEAST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Principal components of standardised sensors.

    Attributes
    ----------
    mean, scale
        float64[k] of the readings.
    axes
        float64[k, c], the components that were kept.
    variances
        float64[c], along them.
    """

    mean: FloatArray
    scale: FloatArray
    axes: FloatArray
    variances: FloatArray

    @staticmethod
    def of(values: FloatArray) -> "Components":
        """Return the components of a history, float64[n, k], with missing readings at the mean."""
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
        scale = np.where(spread > _LEAST * np.maximum(np.abs(mean), 1e-3), spread, 1.0)
        z = np.where(known, (values - mean) / scale, 0.0)
        variances, axes = np.linalg.eigh(z.T @ z / max(len(z), 1))
        variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
        kept = int((np.cumsum(variances) < KEPT_VARIANCE * variances.sum()).sum()) + 1
        return Components(mean, scale, axes[:, :kept], np.maximum(variances[:kept], _LEAST))

    def t2(self, values: FloatArray) -> FloatArray:
        """Return the squared distance of moments from the mean, along the components and by their variances."""
        return ((self._standardised(values) @ self.axes) ** 2 / self.variances).sum(axis=1)

    def prediction_error(self, values: FloatArray) -> FloatArray:
        """Return the squared length of what the components leave of moments (SPE, or Q)."""
        z = self._standardised(values)
        return ((z - (z @ self.axes) @ self.axes.T) ** 2).sum(axis=1)

    def _standardised(self, values: FloatArray) -> FloatArray:
        return np.where(np.isnan(values), 0.0, (values - self.mean) / self.scale)


def t2_scores(history: FloatArray, values: FloatArray) -> FloatArray:
    """Return the scores of `values` by Hotelling's T², 1.0 at the threshold; float64[n]."""
    learnt, rest = _parted(history)
    components = Components.of(learnt)
    return _over(components.t2(rest), components.t2(values))


def prediction_error_scores(history: FloatArray, values: FloatArray) -> FloatArray:
    """Return the scores of `values` by the squared prediction error, 1.0 at the threshold; float64[n]."""
    learnt, rest = _parted(history)
    components = Components.of(learnt)
    return _over(components.prediction_error(rest), components.prediction_error(values))


def _parted(history: FloatArray) -> tuple[FloatArray, FloatArray]:
    learnt = int(LEARNT_SHARE * len(history))
    return history[:learnt], history[learnt:]


def _over(held_back: FloatArray, statistic: FloatArray) -> FloatArray:
    """Return `statistic` in parts of the threshold that `held_back` sets."""
    if not len(held_back):
        return np.full(len(statistic), np.nan)
    return statistic / max(float(np.quantile(held_back, _QUANTILE)) * _MARGIN, _LEAST)
