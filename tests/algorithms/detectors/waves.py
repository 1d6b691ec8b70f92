"""Waves that the tests of networks learn from, and the streams behind them."""

import numpy as np

from atalaia.core.points import Group

STEP_US = 60_000_000


def wave(points, seed=0):
    rng = np.random.default_rng(seed)
    return 100.0 + 20.0 * np.sin(np.arange(points) / 6.0) + rng.normal(size=points)


def times(points, first=0):
    return 1_700_000_000_000_000 + STEP_US * np.arange(first, first + points, dtype=np.int64)


def trained_by(detector, points=1500):
    """Return a detector and what it learnt of one wave."""
    return detector, detector.fit(Group.of([(times(points), wave(points))]))


def after(detector, state, values, first=1500):
    return detector.advance(state, np.zeros(len(values), np.int64), times(len(values), first), values)
