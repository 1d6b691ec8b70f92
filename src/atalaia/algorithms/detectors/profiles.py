"""Profiles: one number for each bucket of a cycle, a day or a week, and whether a series has one."""

import numpy as np

from atalaia.algorithms.detectors.spread import robust_scale
from atalaia.core.points import FloatArray, IntArray

NEEDED_GAIN = 0.10
"""A profile is used when it lowers the mean absolute error on points that it has not seen by this share."""

_PRIOR_POINTS = 30.0


def profile(bucket: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Return the median of each bucket, float64[size]; buckets without points are filled from their neighbours.

    Parameters
    ----------
    bucket
        int64[n], 0 to ``size - 1``; n is at least 1.
    values
        float64[n].
    """
    medians = _bucket_medians(bucket, values, size)
    filled = np.flatnonzero(~np.isnan(medians))
    if len(filled) == size:
        return medians
    return np.interp(np.arange(size), filled, medians[filled], period=size)


def explains(bucket: IntArray, cycle: IntArray, values: FloatArray, size: int) -> bool:
    """Return whether a profile foretells `values` better than one level does, on cycles that it has not seen.

    The even cycles are foretold from the odd ones and the odd ones from the even ones (two-fold cross-validation):
    a profile that only memorises its own history gains nothing there. Alternate cycles share a trend, which
    therefore favours neither side. With fewer than two points to a bucket that has any, a profile would leave
    nothing of which a scale could be learnt, and is not used.

    Parameters
    ----------
    bucket
        int64[n], place in the cycle.
    cycle
        int64[n], number of the cycle.
    values
        float64[n].
    """
    if len(values) < 2 * len(np.unique(bucket)):
        return False
    even = cycle % 2 == 0
    plain = profiled = 0.0
    for known in (even, ~even):
        if known.all() or not known.any():
            return False
        unseen, learnt = values[~known], values[known]
        plain += float(np.abs(unseen - np.median(learnt)).sum())
        foretold = profile(bucket[known], learnt, size)[bucket[~known]]
        profiled += float(np.abs(unseen - foretold).sum())
    return profiled < plain * (1.0 - NEEDED_GAIN)


def profile_of_scale(bucket: IntArray, deviations: FloatArray, size: int) -> FloatArray:
    """Return the scale of each bucket, float64[size], from absolute deviations.

    The median absolute deviation of a few points is a poor estimate and often far too small, so each bucket is
    mixed with the scale of the whole series, which counts as 30 points (as variances: a sample with a prior).
    """
    whole = robust_scale(deviations)
    counts = np.bincount(bucket, minlength=size).astype(np.float64)
    own = np.nan_to_num(_bucket_medians(bucket, deviations, size)) * 1.4826
    return np.sqrt((counts * own**2 + _PRIOR_POINTS * whole**2) / (counts + _PRIOR_POINTS))


def _bucket_medians(bucket: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Return the median of each bucket, NaN where it is empty."""
    by_value = np.argsort(values)
    # 16-bit keys are sorted by radix, in linear time.
    in_order = by_value[np.argsort(bucket[by_value].astype(np.int16), kind="stable")]
    ordered = values[in_order]
    counts = np.bincount(bucket, minlength=size)
    filled = counts > 0
    starts, counts = (np.cumsum(counts) - counts)[filled], counts[filled]
    medians = np.full(size, np.nan)
    medians[filled] = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2
    return medians
