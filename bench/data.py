"""Values for benchmarks: drawn from the real sample series, with noise, at the precision of a sensor."""

from functools import cache

import numpy as np

from atalaia.app.demo.histories import SAMPLES, load
from atalaia.core.points import FloatArray, IntArray


@cache
def _pool() -> FloatArray:
    return np.concatenate([load(sample).values for sample in SAMPLES[:7]])


def values_like(count: int, *, seed: int) -> FloatArray:
    """Return `count` values: a random stretch of the real servers' series, scaled noise on top, 3 decimals."""
    random = np.random.default_rng(seed)
    pool = _pool()
    start = int(random.integers(0, len(pool)))
    stretch = np.take(pool, np.arange(start, start + count), mode="wrap")
    return np.round(stretch * random.normal(1.0, 0.02, count), 3)


def fleet_history(series: int, points: int, *, seed: int) -> FloatArray:
    """Return float64[series, points]: a window of the real servers' series for each, with 2 % of noise on top."""
    random = np.random.default_rng(seed)
    windows = np.take(_pool(), _starts(series, seed)[:, None] + np.arange(points), mode="wrap")
    return np.round(windows * random.normal(1.0, 0.02, windows.shape), 3)


def fleet_tick(series: int, points: int, tick: int, *, seed: int) -> FloatArray:
    """Return the next value of each series: one out of its window, with noise as in its history."""
    random = np.random.default_rng((seed, tick))
    picked = np.take(_pool(), _starts(series, seed) + random.integers(0, points, series), mode="wrap")
    return np.round(picked * random.normal(1.0, 0.02, series), 3)


def _starts(series: int, seed: int) -> IntArray:
    return np.random.default_rng(seed).integers(0, len(_pool()), series)
