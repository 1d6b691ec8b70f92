"""Values for benchmarks: drawn from the real sample series, with noise, at the precision of a sensor."""

from functools import cache

import numpy as np

from atalaia.app.demo.histories import SAMPLES, load
from atalaia.core.points import FloatArray


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
