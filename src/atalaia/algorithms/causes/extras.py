"""How much worse than usual a metric of each service is, moment by moment, and how many calls there are."""

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray


def extras(
    worse: FloatArray, services: IntArray, count: int, is_part: NDArray[np.bool_], calls: FloatArray | None
) -> FloatArray:
    """Return float64[count, w], the extra of each service: the mean over its series, times its calls.

    Parameters
    ----------
    worse
        float64[m, w], how much worse than usual each series of the metric is; NaN where it is not known.
    services
        int64[m], whose series they are.
    is_part
        bool[m], which of them may explain anything; the extra of others is 0.
    calls
        float64[count, w], see `calls_of`; None where sizes stay as they are.
    """
    found = summed(np.where(is_part[:, None], worse, 0.0 * worse), services, count, is_mean=True)
    return found if calls is None else np.where(calls == 0, 0.0, found * calls)


def calls_of(window: FloatArray, services: IntArray, count: int) -> FloatArray:
    """Return float64[count, w], the calls of each service; a service that is not counted has none.

    Where a moment is missing, there were as many as usual in the window.
    """
    found = summed(np.maximum(window, 0.0), services, count, is_mean=False)
    for service in np.flatnonzero(np.isnan(found).any(axis=1)).tolist():
        known = found[service][np.isfinite(found[service])]
        found[service] = np.nan_to_num(found[service], nan=float(np.median(known)) if len(known) else 0.0)
    return found


def summed(values: FloatArray, services: IntArray, count: int, *, is_mean: bool) -> FloatArray:
    """Return the sum, or mean, of the rows of each service, NaN where none of them is known."""
    is_there = np.isfinite(values)
    sums, counts = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, services, np.where(is_there, values, 0.0))
    np.add.at(counts, services, is_there)
    return np.where(counts > 0, sums / np.maximum(counts, 1) if is_mean else sums, np.nan)
