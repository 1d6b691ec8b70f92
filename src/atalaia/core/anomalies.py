"""An anomaly is an interval in one series, and what people said of it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from atalaia.core.scores import BrokenRelation, Explanation, ModelRef


class AnomalyState(StrEnum):
    """Whether the interval still grows."""

    OPEN = "open"
    CLOSED = "closed"


class FeedbackKind(StrEnum):
    """What a person says of an anomaly."""

    USEFUL = "useful"
    NOISE = "noise"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One person's word on one anomaly."""

    kind: FeedbackKind
    note: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An interval of one series whose score was above the threshold.

    Attributes
    ----------
    opened_at, last_at
        First and newest strange point, in the series' own time.
    closed_at
        Last strange point once the series was quiet again; None while open.
    points
        How many points of it were strange.
    seen
        The value at the peak.
    relations
        The sensors of its asset that were off at the peak, where a model of the asset gave it its score.
    """

    anomaly_id: str
    series_id: str
    state: AnomalyState
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    peak_at: datetime
    peak_score: float
    points: int
    seen: float
    explanation: Explanation
    model: ModelRef
    feedback: tuple[Feedback, ...] = field(default=())
    relations: tuple[BrokenRelation, ...] = field(default=())
