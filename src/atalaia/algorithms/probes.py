"""Fleets, points and comparisons that the laws of detectors are checked with."""

from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.detectors.protocol import Detector, State
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

STEP_US = 300_000_000
START_US = 1_700_000_000_000_000
DAY_STEPS = 288


@dataclass(frozen=True)
class Probe:
    """Points to score, of all series of a group, in a mixed order."""

    rows: IntArray
    timestamps: IntArray
    values: FloatArray

    def score(self, detector: Detector, state: State) -> Scores:
        """Return the scores of the points."""
        return detector.score(state, self.rows, self.timestamps, self.values)


def require(claim: bool, reason: str) -> None:
    """Raise AssertionError with the reason if the claim is false."""
    if not claim:
        raise AssertionError(reason)


def times(points: int) -> IntArray:
    """Return moments five minutes apart."""
    return START_US + STEP_US * np.arange(points, dtype=np.int64)


def history(seed: int, points: int = 4 * DAY_STEPS) -> tuple[IntArray, FloatArray]:
    """Return four days of a daily wave with noise."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(points) * 2 * np.pi / DAY_STEPS)
    return times(points), 50.0 * seed + (10.0 + seed) * wave + rng.normal(size=points)


def fleet(series: int = 5) -> Group:
    """Return the histories of some series at different levels."""
    return Group.of(history(seed) for seed in range(series))


def probe_of(group: Group, points: int = 200) -> Probe:
    """Return points of the series of `group`, in its time and long after."""
    rng = np.random.default_rng(7)
    rows = rng.integers(0, len(group), points)
    timestamps = START_US + rng.integers(0, 20 * DAY_STEPS, points) * STEP_US
    return Probe(rows, timestamps, rng.normal(size=points) * 30.0 + 50.0 * rows)


def agree(one: Scores, other: Scores) -> bool:
    """Return whether two answers are the same but for rounding."""
    columns = ("score", "expected", "lower", "upper", "part")
    return all(
        np.allclose(getattr(one, name), getattr(other, name), rtol=1e-12, atol=0.0, equal_nan=True)
        for name in columns
    )
