"""Labelled series for the tests of comparisons."""

import numpy as np

from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.core.points import FloatArray

STEP_US = 300_000_000
DAY = 288


def wave(days: int, seed: int = 1) -> FloatArray:
    """Return a daily wave with noise."""
    t = np.arange(days * DAY)
    return 50.0 + 10.0 * np.sin(2 * np.pi * t / DAY) + np.random.default_rng(seed).normal(size=len(t))


def labelled(
    name: str = "a", *, data: str = "plant", days: int = 10, events: int = 3, timed: bool = True, size: float = 30.0
) -> Labelled:
    """Return a series whose second half holds `events` spikes of six points."""
    values, labels = wave(days), np.zeros(days * DAY, np.bool_)
    for start in np.linspace(days * DAY // 2 + 100, days * DAY - 100, events).astype(int):
        labels[start : start + 6] = True
        values[start : start + 6] += size
    times = 1_700_006_400_000_000 + STEP_US * np.arange(len(values), dtype=np.int64)
    return Labelled(name, data, ("value",), values[:, None], labels, None, times if timed else None)
