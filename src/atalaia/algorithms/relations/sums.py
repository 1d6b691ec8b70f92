"""Sums over moments, which can be taken apart again: what all relations are solved from."""

from dataclasses import dataclass

import numpy as np

from atalaia.core.points import FloatArray

MIN_TOGETHER = 10
"""Two sensors that were read together at fewer moments count as unrelated."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of k sensors over some moments; only moments at which both are known count for a pair.

    Attributes
    ----------
    counts
        float64[k, k]: moments at which both sensors were known.
    totals
        float64[k, k]: sum of the first sensor over those moments.
    products
        float64[k, k]: sum of the product of both.
    """

    counts: FloatArray
    totals: FloatArray
    products: FloatArray

    @staticmethod
    def of(values: FloatArray) -> "Sums":
        """Return the sums over the moments of `values`, float64[n, k], NaN where one is missing."""
        known = (~np.isnan(values)).astype(np.float64)
        filled = np.where(known > 0.0, values, 0.0)
        return Sums(known.T @ known, filled.T @ known, filled.T @ filled)

    def without(self, part: "Sums") -> "Sums":
        """Return the sums over the other moments."""
        return Sums(self.counts - part.counts, self.totals - part.totals, self.products - part.products)

    def solve(self, ridge: float) -> tuple[FloatArray, FloatArray]:
        """Return the mean of each sensor, and the inverse of their covariance with `ridge` added to its diagonal.

        Row i of the inverse, divided by its i-th element, gives what the ridge regression of sensor i on all the
        others leaves of it: one inverse holds k regressions.
        """
        counts = np.diag(self.counts)
        mean = np.divide(np.diag(self.totals), counts, out=np.zeros(len(counts)), where=counts > 0)
        together = np.maximum(self.counts, 1.0)
        covariance = self.products / together - (self.totals / together) * (self.totals.T / together)
        covariance[self.counts < MIN_TOGETHER] = 0.0
        if self.counts.size and self.counts.min() != self.counts.max():
            # From different moments for each pair it need not be the covariance of anything.
            weights, axes = np.linalg.eigh(covariance)
            covariance = (axes * np.maximum(weights, 0.0)) @ axes.T
        inverse = np.linalg.inv(covariance + ridge * np.eye(len(counts)))
        return mean, (inverse + inverse.T) / 2.0
