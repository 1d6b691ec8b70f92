"""What every store of `bench.store` takes: the same points, in the same commits. Needs NumPy and nothing else."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SERIES = 2_000
MINUTES = 10_080
COMMIT = 30_000
READS = 40
START = 1_763_000_000_000_000
MINUTE = 60_000_000

Batch = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]


def batches(values: NDArray[np.float64]) -> Iterator[Batch]:
    """Yield (series, times, values) in commits of `COMMIT` points, in the order of time."""
    series, minutes = values.shape
    step = COMMIT // series
    for first in range(0, minutes, step):
        stamps = START + np.arange(first, min(first + step, minutes), dtype=np.int64) * MINUTE
        numbers = np.tile(np.arange(1, series + 1, dtype=np.int32), len(stamps))
        yield numbers, np.repeat(stamps, series), np.ascontiguousarray(values[:, first : first + step].T).ravel()


def wanted(series: int) -> list[int]:
    """Return those of the series that are read."""
    found: list[int] = np.random.default_rng(7).integers(1, series + 1, READS).tolist()
    return found
