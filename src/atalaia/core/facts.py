"""What happened, in the past tense: small, made of ids and numbers, told after the commit that made it true."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fact:
    """The root of all facts. `name` is what the outbox and the documentation call it."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class AnomalyOpened(Fact):
    """A series left its band."""

    name = "AnomalyOpened"
    anomaly_id: str
    series_id: str
    score: float


@dataclass(frozen=True, slots=True)
class AnomalyClosed(Fact):
    """A series came back."""

    name = "AnomalyClosed"
    anomaly_id: str
    series_id: str
    peak_score: float


@dataclass(frozen=True, slots=True)
class FeedbackGiven(Fact):
    """A person said what an anomaly was worth."""

    name = "FeedbackGiven"
    anomaly_id: str
    series_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ModelRegistered(Fact):
    """A training ended in a new version, which stands in Staging."""

    name = "ModelRegistered"
    model_id: str
    version: int
    job_id: str


@dataclass(frozen=True, slots=True)
class ModelPromoted(Fact):
    """A version went to Production. `previous` is the version that it took over from, 0 for none."""

    name = "ModelPromoted"
    model_id: str
    version: int
    previous: int
    previous_archived: bool


@dataclass(frozen=True, slots=True)
class ChallengerChanged(Fact):
    """A version is scored beside the one in Production from now on; 0 for none."""

    name = "ChallengerChanged"
    model_id: str
    version: int


FACTS: dict[str, type[Fact]] = {
    fact.name: fact
    for fact in (
        AnomalyOpened,
        AnomalyClosed,
        FeedbackGiven,
        ModelRegistered,
        ModelPromoted,
        ChallengerChanged,
    )
}
