"""How ready a series is to be judged: what its model has learnt of it, and what is missing."""

from dataclasses import dataclass
from enum import StrEnum

from atalaia.algorithms.detectors.seasonal import MIN_DAYS, MIN_WEEKS
from atalaia.algorithms.models import FleetModel
from atalaia.core.scores import Confidence

_SEASONS = ("season", "part", "profile_part")
"""Columns that are above 0 where a series follows the time of day; a detector has one of them, or none."""


class ReadinessState(StrEnum):
    """How far a series is."""

    UNLEARNT = "unlearnt"
    LEARNT = "learnt"
    SEASONAL = "seasonal"


@dataclass(frozen=True, slots=True)
class Readiness:
    """How ready a series is.

    Attributes
    ----------
    state
        Whether nothing was learnt of it, its level, or its season too.
    points, days
        What is known of it.
    missing
        What it would take to know more, in words.
    peers
        Series like it that it began from, since it was not there at the training; 0 where it began from nothing.
    """

    state: ReadinessState
    confidence: Confidence
    points: int
    days: float
    missing: tuple[str, ...]
    peers: int = 0


def readiness_of(model: FleetModel, series_id: str, days: float) -> Readiness:
    """Return how ready a series is to be judged by `model`, which knows so many `days` of it."""
    row = model.row_of(series_id)
    if row is None:
        return Readiness(
            ReadinessState.UNLEARNT, Confidence.LOW, 0, 0.0, ("it was not there when the model was trained",)
        )
    points, confidence = int(model.state["points"][row]), model.confidence(row)
    peers = len(model.peers_of(row) or ())
    if not model.ready(row):
        few = f"a level needs {model.detector.min_points} points, {points} are known"
        return Readiness(ReadinessState.UNLEARNT, confidence, points, days, (few,), peers)
    followed = [int(model.state[name][row]) for name in _SEASONS if name in model.state]
    if not followed:
        none = f"{model.detector.name} learns no season"
        return Readiness(ReadinessState.LEARNT, confidence, points, days, (none,))
    daily, weekly = max(followed) >= 1, max(followed) >= 2
    state, missing = (ReadinessState.SEASONAL if daily else ReadinessState.LEARNT), tuple[str, ...]()
    if not daily:
        missing = (_season_missing("daily", MIN_DAYS, days),)
    elif not weekly:
        missing = (_season_missing("weekly", 7 * MIN_WEEKS, days),)
    return Readiness(state, confidence, points, days, missing, peers)


def _season_missing(kind: str, needed: int, days: float) -> str:
    if days < needed:
        return f"a {kind} season needs {needed} days, {days:.1f} are known"
    return f"in {days:.1f} days no {kind} season has shown that helps to foretell"
