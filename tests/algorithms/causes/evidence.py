"""Incidents made by hand: services with metrics that are quiet, and then some that are not."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from atalaia.algorithms.causes.calls import Calls
from atalaia.algorithms.causes.ranking import Evidence
from atalaia.core.points import FloatArray, Group

MINUTE_US = 60_000_000
HISTORY = 60
WINDOW = 6

Shape = Mapping[tuple[str, str], tuple[float, Iterable[float]]]
"""By service and metric: its usual level, and its values in the incident."""


def quiet(level: float, count: int = HISTORY, seed: int = 0) -> FloatArray:
    """Values about a level, that vary by a percent."""
    return level * (1 + 0.01 * np.random.default_rng(seed).standard_normal(count))


def before(*values: FloatArray) -> Group:
    return Group.of((np.arange(len(v), dtype=np.int64) * MINUTE_US, v) for v in values)


def evidence(shape: Shape, edges: Iterable[tuple[str, str]] = (), **more: Any) -> Evidence:
    """Evidence in which each metric was quiet at its level, and then has the given values."""
    history = before(*(quiet(level, seed=i) for i, (level, _) in enumerate(shape.values())))
    window = np.array([list(seen) for _, seen in shape.values()], np.float64)
    calls = Calls(edges) if edges else None
    return Evidence([s for s, _ in shape], [m for _, m in shape], history, window, calls, **more)
