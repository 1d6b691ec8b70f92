"""How strange each point of a whole series is, looking back at all of it.

Here a point is compared with what came after it too, which no alarm can wait for: this is for the record of an
incident, and for finding what a history holds before a detector learns from it.
"""

from math import isfinite

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from atalaia.algorithms.detectors.bands import LIMIT
from atalaia.algorithms.periods import period
from atalaia.core.points import FloatArray, IntArray

NEAREST = 5
"""Windows that a window is compared with."""

BANK = 2000
"""Windows that these are looked for among."""

_LEAST_LENGTH, _LEAST_POINTS = 8, 32
_STRIDES = 12
_AT_ONCE = 2000
_SEED = 7


def hindsight(values: FloatArray) -> FloatArray:
    """Return how strange each point is, from 0 (usual) up, relative to the rest of the series.

    Three forms of the series are looked at: its values, their differences from one point to the next, and their
    distance from a moving mean. Windows of one period are compared with the 5 nearest out of 2,000 that do not
    overlap them, and a point gets the mean of the windows that hold it. Windows are scaled with the series, not
    each by itself: in operations data the level says much (Yeh et al., "Matrix profile I", ICDM 2016, compares
    windows scaled each by itself). The three are added, each in multiples of what its 95 % quantile is over its
    median.

    Parameters
    ----------
    values
        float64[n]; missing values are drawn straight between their neighbours.

    Returns
    -------
    float64[n]
        0.0 everywhere for a series of fewer than 32 points, or that never moves.
    """
    known = np.isfinite(values)
    if len(values) < _LEAST_POINTS or not known.any():
        return np.zeros(len(values))
    places = np.arange(len(values))
    x = _scaled(np.interp(places, places[known], np.clip(values[known], -LIMIT, LIMIT)))
    lag = period(x)
    length = min(max(lag, _LEAST_LENGTH), len(x) // 4)
    forms = (x, _scaled(np.diff(x, prepend=x[0])), _scaled(x - _moving_mean(x, max(lag, _LEAST_LENGTH))))
    return np.sum([_relative(_strangeness(form, length)) for form in forms], axis=0)


def _scaled(x: FloatArray) -> FloatArray:
    x = x - x.mean()
    most = float(np.abs(x).max())
    if not most:
        return x
    x = x / most  # so that no square is too large, nor too small
    return x / x.std()


def _moving_mean(x: FloatArray, width: int) -> FloatArray:
    before, after = width // 2, width - width // 2 - 1
    sums = np.cumsum(np.concatenate([[0.0], np.pad(x, (before, after), "edge")]))
    return (sums[width:] - sums[:-width]) / width


def _strangeness(x: FloatArray, length: int) -> FloatArray:
    """Return for each point the mean distance of the windows that hold it from those nearest to them."""
    stride = max(1, length // _STRIDES)
    windows = sliding_window_view(x, length)[::stride].astype(np.float32)
    starts = np.arange(len(windows)) * stride
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(windows))[:BANK])
    bank = windows[chosen]
    squares = np.square(bank).sum(axis=1)
    distances = np.concatenate([
        _nearest(windows[i : i + _AT_ONCE], starts[i : i + _AT_ONCE], bank, squares, starts[chosen], length)
        for i in range(0, len(windows), _AT_ONCE)
    ])  # fmt: skip
    return _by_point(distances, starts, length, len(x))


def _nearest(
    windows: NDArray[np.float32],
    starts: IntArray,
    bank: NDArray[np.float32],
    squares: NDArray[np.float32],
    bank_starts: IntArray,
    length: int,
) -> FloatArray:
    """Return the root mean squared distance of each window from the nearest of the bank, 0.0 if all overlap it."""
    all_of = np.square(windows).sum(axis=1)[:, None] + squares - 2 * windows @ bank.T
    all_of[np.abs(starts[:, None] - bank_starts) < length] = np.inf
    kept = max(min(NEAREST, all_of.shape[1] - 1), 1)
    near = np.partition(all_of, kept - 1, axis=1)[:, :kept].astype(np.float64)
    usable = np.isfinite(near)
    mean = np.where(usable, near, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
    return np.sqrt(np.maximum(mean, 0.0) / length)


def _by_point(distances: FloatArray, starts: IntArray, length: int, points: int) -> FloatArray:
    total, count = np.zeros(points + 1), np.zeros(points + 1)
    for change, sign in ((starts, 1.0), (np.minimum(starts + length, points), -1.0)):
        np.add.at(total, change, sign * distances)
        np.add.at(count, change, sign)
    total, count = np.cumsum(total)[:-1], np.cumsum(count)[:-1]
    held = count > 0.5
    places = np.arange(points)
    return np.interp(places, places[held], total[held] / count[held])


def _relative(x: FloatArray) -> FloatArray:
    """Return how far each is over the median, in multiples of how far the 95 % quantile is."""
    middle, high = np.quantile(x, [0.5, 0.95])
    width = float(high - middle)
    scale = width if isfinite(width) and width > 1e-9 else max(float(x.max() - middle), 1e-9)
    return np.maximum(x - middle, 0.0) / scale
