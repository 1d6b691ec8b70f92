"""Histories to choose detectors from."""

import numpy as np

from atalaia.algorithms.selection.trials import Past
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray

START_US = 1_700_000_000 * MICROS
FIVE_MINUTES = 300


def past_of(values: FloatArray, step_s: int = FIVE_MINUTES) -> Past:
    stamps = START_US + np.arange(len(values), dtype=np.int64) * step_s * MICROS
    return Past(stamps, np.asarray(values, np.float64))


def noise(points: int = 3_000, seed: int = 1) -> FloatArray:
    return 50.0 + np.random.default_rng(seed).normal(0.0, 2.0, points)


def daily(points: int = 288 * 10, seed: int = 1) -> FloatArray:
    """A strong season of a day in steps of five minutes."""
    return 20.0 * np.sin(np.arange(points) / 288 * 2 * np.pi) + noise(points, seed) / 2.0
