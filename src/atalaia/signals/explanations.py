"""What is answered when somebody asks why."""

from collections.abc import Sequence
from dataclasses import dataclass

from atalaia.algorithms.explaining.rarity import Rarity
from atalaia.algorithms.explaining.sharing import SharedLabel
from atalaia.core.anomalies import Anomaly
from atalaia.core.scores import Confidence, Explanation, ModelRef
from atalaia.signals.quietness import Reason
from atalaia.signals.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Looked:
    """What part of the history was looked at: first and last moment in microseconds, and points."""

    from_us: int
    to_us: int
    points: int


@dataclass(frozen=True, slots=True)
class Hindsight:
    """How strange the stretch is when one looks back at what came before and after it.

    Attributes
    ----------
    score
        0 is usual; see `atalaia.algorithms.hindsight`.
    stranger_than
        The share of the other points that are less strange.
    """

    score: float
    stranger_than: float


@dataclass(frozen=True, slots=True)
class Together:
    """An anomaly of another series that was open at the same time, and the labels that both series have."""

    anomaly: Anomaly
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Similar:
    """An earlier anomaly, and how alike it looks: 1.0 is the same."""

    anomaly: Anomaly
    likeness: float


@dataclass(frozen=True, slots=True)
class AnomalyExplained:
    """Why there is an anomaly, and what else is known.

    Attributes
    ----------
    rarity_basis
        ``model``: by what the model in Production says of the history; ``hindsight``: by looking back at it, where
        there is no such model; ``none``.
    together_count
        Anomalies of other series that were open at the same time, whatever their labels; `together_more` when there
        were still more than were read.
    compared
        Earlier episodes whose shapes were compared.
    """

    anomaly: Anomaly
    looked: Looked
    rarity: Rarity | None
    rarity_basis: str
    hindsight: Hindsight | None
    together: Sequence[Together]
    together_count: int
    together_more: bool
    labels: Sequence[SharedLabel]
    similar: Sequence[Similar]
    compared: int
    threshold: Threshold
    what_next: Sequence[str]


@dataclass(frozen=True, slots=True)
class PointExplained:
    """Why a series did or did not alarm at a moment.

    Attributes
    ----------
    at_us, point_us, value
        The moment; the newest point that is not later, None without one.
    score
        None when there is no opinion.
    alarmed
        The anomaly that holds the point, None when it did not alarm.
    """

    series_id: str
    at_us: int
    looked: Looked
    point_us: int | None
    value: float | None
    alarmed: Anomaly | None
    threshold: Threshold
    reasons: Sequence[Reason]
    score: float | None = None
    explanation: Explanation | None = None
    model: ModelRef | None = None
    confidence: Confidence | None = None
    learnt: int | None = None
    needed: int | None = None
    is_replayed: bool = False
