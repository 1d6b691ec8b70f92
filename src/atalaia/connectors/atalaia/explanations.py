"""What the API answers when it is asked why."""

from datetime import datetime

from msgspec import field

from atalaia.connectors.atalaia.answers import Anomaly, Answer, Feedback, ModelUsed
from atalaia.connectors.atalaia.thresholds import Threshold


class HistoryLookedAt(Answer, frozen=True, kw_only=True):
    """The part of a history that was looked at."""

    from_: datetime | None = field(name="from", default=None)
    to: datetime | None = None
    points: int = 0


class Rarity(Answer, frozen=True, kw_only=True):
    """How often a history holds something half as strange; `basis` is ``model``, ``hindsight`` or ``none``."""

    basis: str = ""
    text: str = ""
    points: int = 0
    days: float = 0.0
    as_strange: int = 0
    episodes: int = 0
    share: float | None = None
    once_in_days: float | None = None


class Hindsight(Answer, frozen=True, kw_only=True):
    """How strange an interval is looking back, and the share of the other points that are less strange."""

    score: float
    stranger_than: float = 0.0


class AnomalyTogether(Answer, frozen=True, kw_only=True):
    """An anomaly of another series that was open at the same time; `labels` are those that both series have."""

    anomaly_id: str
    series_id: str
    from_: datetime | None = field(name="from", default=None)
    peak_score: float | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])


class SharedLabel(Answer, frozen=True, kw_only=True):
    """A label that is commoner among the series in alarm together than among all, by the factor `lift`."""

    name: str
    value: str
    open: int = 0
    open_total: int = 0
    series: int = 0
    series_total: int = 0
    lift: float = 0.0


class SimilarAnomaly(Answer, frozen=True, kw_only=True):
    """An earlier anomaly of a like shape; a likeness of 1.0 is the same."""

    anomaly_id: str
    series_id: str
    from_: datetime | None = field(name="from", default=None)
    to: datetime | None = None
    peak_score: float | None = None
    likeness: float = 0.0
    feedback: list[Feedback] = field(default_factory=list[Feedback])


class BrokenRelation(Answer, frozen=True, kw_only=True):
    """A sensor that was not where the other sensors of its asset say; 1.0 is the edge of the band."""

    series_id: str
    score: float = 0.0
    seen: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    text: str = ""


class AnomalyExplanation(Answer, frozen=True, kw_only=True):
    """Why there is an anomaly."""

    anomaly: Anomaly
    text: str = ""
    view: str = ""
    lasted_s: float = 0.0
    history: HistoryLookedAt = field(default_factory=HistoryLookedAt)
    rarity: Rarity = field(default_factory=Rarity)
    hindsight: Hindsight | None = None
    together: list[AnomalyTogether] = field(default_factory=list[AnomalyTogether])
    together_count: int = 0
    together_more: bool = False
    contributing_labels: list[SharedLabel] = field(default_factory=list[SharedLabel])
    similar: list[SimilarAnomaly] = field(default_factory=list[SimilarAnomaly])
    compared: int = 0
    threshold_moved: Threshold = field(default_factory=lambda: Threshold(in_force=1.0))
    relations: list[BrokenRelation] = field(default_factory=list[BrokenRelation])
    what_next: list[str] = field(default_factory=list[str])


class Reason(Answer, frozen=True, kw_only=True):
    """One reason, as a code that stays and as a sentence."""

    code: str
    text: str = ""


class PointExplanation(Answer, frozen=True, kw_only=True):
    """Why a series did or did not alarm at a moment."""

    series_id: str
    at: datetime | None = None
    timestamp: datetime | None = None
    value: float | None = None
    alarmed: bool = False
    anomaly_id: str | None = None
    score: float | None = None
    threshold: float = 1.0
    threshold_moved: Threshold = field(default_factory=lambda: Threshold(in_force=1.0))
    distance: str = ""
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    part: str | None = None
    view: str | None = None
    text: str | None = None
    model: ModelUsed | None = None
    is_replayed: bool = False
    confidence: str | None = None
    learnt_points: int | None = None
    needed_points: int | None = None
    history: HistoryLookedAt = field(default_factory=HistoryLookedAt)
    reasons: list[Reason] = field(default_factory=list[Reason])
