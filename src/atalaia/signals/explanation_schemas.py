"""Wire types of explanations."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from atalaia.algorithms.explaining.rarity import rarity_text
from atalaia.algorithms.explaining.sharing import SharedLabel
from atalaia.algorithms.explaining.views import distance, view
from atalaia.algorithms.sentences import relation_text
from atalaia.core.anomalies import Anomaly
from atalaia.core.clock import isoformat
from atalaia.core.scores import THRESHOLD, BrokenRelation
from atalaia.kit.web.wire import Wire
from atalaia.signals.explanations import AnomalyExplained, Hindsight, Looked, PointExplained, Similar, Together
from atalaia.signals.schemas import AnomalyOut, FeedbackOut, ModelOut, feedback_out
from atalaia.signals.threshold_schemas import ThresholdOut

_EXAMPLE: dict[str, Any] = {
    "anomaly": {
        "anomaly_id": "anm_01jk3v8e2t5w9xq4r7m6p0c1zd",
        "series_id": "hall 2/pump 7",
        "state": "closed",
        "from": "2026-11-20T10:00:00Z",
        "to": "2026-11-20T10:40:00Z",
        "last_at": "2026-11-20T10:40:00Z",
        "peak_at": "2026-11-20T10:10:00Z",
        "peak_score": 8.8,
        "points": 9,
        "seen": 91.3,
        "expected": 12.0,
        "lower": 3.0,
        "upper": 21.0,
        "part": "season_day",
        "explanation": "91.3 is above the expected 12 (band 3 to 21) for this time of day; 8.8 times ...",
        "model": {"model_id": "fleet:pumps", "version": "v3", "algorithm": "streaming"},
        "feedback": [],
    },
    "text": "91.3 is above the expected 12 ...; once in 14 days: ...",
    "view": "the value, beside what is usual at this time of day",
    "lasted_s": 2400.0,
    "history": {"from": "2026-10-23T10:00:00Z", "to": "2026-11-20T11:00:00Z", "points": 8064},
    "rarity": {
        "basis": "model",
        "text": "once in 14 days: half as strange or more 1 other time in the 28 days known (8,055 other points)",
        "points": 8055,
        "days": 28.0,
        "as_strange": 2,
        "episodes": 1,
        "share": 0.00025,
        "once_in_days": 14.0,
    },
    "hindsight": {"score": 11.2, "stranger_than": 1.0},
    "together": [
        {
            "anomaly_id": "anm_01jk3v8f0c6y2n8s5b4h7d3gka",
            "series_id": "hall 2/pump 8",
            "from": "2026-11-20T10:05:00Z",
            "peak_score": 3.1,
            "labels": {"hall": "2"},
        }
    ],
    "together_count": 1,
    "together_more": False,
    "contributing_labels": [
        {
            "name": "hall",
            "value": "2",
            "open": 2,
            "open_total": 2,
            "series": 12,
            "series_total": 400,
            "lift": 33.3,
        }
    ],
    "similar": [
        {
            "anomaly_id": "anm_01jh8s1v7q3z6d9f2k5m8w4xbt",
            "series_id": "hall 2/pump 7",
            "from": "2026-10-30T10:00:00Z",
            "to": "2026-10-30T10:35:00Z",
            "peak_score": 4.0,
            "likeness": 0.92,
            "feedback": [{"kind": "expected", "note": "a backup", "created_at": "2026-10-30T12:00:00Z"}],
        }
    ],
    "compared": 4,
    "relations": [],
    "threshold_moved": {
        "in_force": 1.3,
        "calibrated": 1.0,
        "factor": 1.3,
        "false_alarms_per_week": 1.0,
        "changes": [
            {
                "change_id": 12,
                "kind": "noise",
                "factor": 1.3,
                "anomaly_id": "anm_01jh8s1v7q3z6d9f2k5m8w4xbt",
                "at": "2026-10-30T12:00:00Z",
                "undone_at": "2026-10-31T09:00:00Z",
            }
        ],
    },
    "what_next": ["Look at the similar episodes: people said of them: 1 expected."],
}


class HistoryOut(Wire):
    """The part of the history of the series that was looked at; both ends are null when it has no point."""

    from_: str | None = Field(alias="from", serialization_alias="from")
    to: str | None
    points: int

    @staticmethod
    def of(looked: Looked) -> "HistoryOut":
        """Return `looked` for the wire."""
        start, end = (isoformat(looked.from_us), isoformat(looked.to_us)) if looked.points else (None, None)
        return HistoryOut.model_validate({"from": start, "to": end, "points": looked.points})


class RarityOut(Wire):
    """How often the history holds something at least half as strange as the peak."""

    basis: Literal["model", "hindsight", "none"] = Field(
        description="By what points are compared: by the scores that the model in Production gives them; by a look "
        "back at the history, where no model has an opinion; or by nothing, where there are too few points."
    )
    text: str = Field(description="In words, with what it rests on.")
    points: int = Field(description="Points outside the anomaly that were looked at.")
    days: float = Field(description="From the first point that was looked at to the last.")
    as_strange: int = Field(description="Those at least half as strange as the peak.")
    episodes: int = Field(description="Stretches apart in which these lie.")
    share: float | None = Field(description="Their share of the points; null without other points.")
    once_in_days: float | None = Field(description="null when nothing else is half as strange.")

    @staticmethod
    def of(explained: AnomalyExplained) -> "RarityOut":
        """Return how rare an anomaly is, for the wire."""
        found, text = explained.rarity, rarity_text(explained.rarity)
        if found is None:
            nothing = {"points": 0, "days": 0.0, "as_strange": 0, "episodes": 0, "share": None}
            return RarityOut.model_validate({"basis": "none", "text": text, "once_in_days": None, **nothing})
        return RarityOut.model_validate(
            {
                "basis": explained.rarity_basis,
                "text": text,
                "points": found.points,
                "days": found.days,
                "as_strange": found.as_strange,
                "episodes": found.episodes,
                "share": found.share,
                "once_in_days": found.once_in_days,
            }
        )


class HindsightOut(Wire):
    """How strange the interval is looking back, beside what came before and after it. No alarm can know that."""

    score: float = Field(description="0 is usual, 1 and more is unlike most of the history.")
    stranger_than: float = Field(description="Share of the other points that are less strange.")

    @staticmethod
    def of(found: Hindsight) -> "HindsightOut":
        """Return `found` for the wire."""
        return HindsightOut(score=found.score, stranger_than=found.stranger_than)


class TogetherOut(Wire):
    """An anomaly of another series that was open at the same time."""

    anomaly_id: str
    series_id: str
    from_: str = Field(alias="from", serialization_alias="from")
    peak_score: float
    labels: dict[str, str] = Field(description="Labels that both series have.")

    @staticmethod
    def of(found: Together) -> "TogetherOut":
        """Return `found` for the wire."""
        return TogetherOut.model_validate({**_named(found.anomaly), "labels": found.labels})


class SharedLabelOut(Wire):
    """A label that is commoner among the series that were in alarm together than among all."""

    name: str
    value: str
    open: int = Field(description="Series in alarm at the same time that have it, this one among them.")
    open_total: int = Field(description="Series in alarm at the same time.")
    series: int = Field(description="Series that have it.")
    series_total: int = Field(description="All series.")
    lift: float = Field(description="How many times as often those in alarm have it.")

    @staticmethod
    def of(found: SharedLabel) -> "SharedLabelOut":
        """Return `found` for the wire."""
        return SharedLabelOut(
            name=found.label[0],
            value=found.label[1],
            open=found.strange,
            open_total=found.strange_total,
            series=found.series,
            series_total=found.series_total,
            lift=found.lift,
        )


class SimilarOut(Wire):
    """An earlier anomaly whose shape is like this one's."""

    anomaly_id: str
    series_id: str
    from_: str = Field(alias="from", serialization_alias="from")
    to: str | None
    peak_score: float
    likeness: float = Field(description="1 is the same shape, a half or less one that goes the other way.")
    feedback: list[FeedbackOut]

    @staticmethod
    def of(found: Similar) -> "SimilarOut":
        """Return `found` for the wire."""
        said = [feedback_out(word) for word in found.anomaly.feedback]
        named = _named(found.anomaly)
        return SimilarOut.model_validate(
            {**named, "to": AnomalyOut.of(found.anomaly).to, "likeness": found.likeness, "feedback": said}
        )


class RelationOut(Wire):
    """A sensor that was not where the other sensors of its asset say; values are in its own unit."""

    series_id: str
    score: float = Field(description="How far it was off at the peak: 1.0 is the edge of the band.")
    seen: float = Field(description="What it showed, over the last few moments.")
    expected: float = Field(description="What the other sensors say.")
    lower: float
    upper: float
    text: str

    @staticmethod
    def of(found: BrokenRelation) -> "RelationOut":
        """Return `found` for the wire."""
        return RelationOut(
            series_id=found.series_id,
            score=found.score,
            seen=found.seen,
            expected=found.expected,
            lower=found.lower,
            upper=found.upper,
            text=relation_text(found.score, found.seen, found.expected, found.lower, found.upper),
        )


class AnomalyExplanationOut(Wire):
    """Why there is an anomaly, how rare it is, and what else was strange at the same time or looked like it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    anomaly: AnomalyOut
    text: str = Field(description="What was seen and expected, and how rare that is, in a sentence.")
    view: str = Field(description="What the deciding part of the model looks at.")
    lasted_s: float = Field(description="Seconds from the first strange point to the newest.")
    history: HistoryOut
    rarity: RarityOut
    hindsight: HindsightOut | None
    together: list[TogetherOut] = Field(description="At most 20, whose series share labels with this one.")
    together_count: int = Field(
        description="Anomalies of other series that were open at the same time, read at most 500."
    )
    together_more: bool = Field(description="Whether there were still more.")
    contributing_labels: list[SharedLabelOut]
    similar: list[SimilarOut] = Field(description="The 5 earlier anomalies that are most like it.")
    compared: int = Field(description="Earlier anomalies that were compared.")
    relations: list[RelationOut] = Field(
        description="Where a model of an asset gave the alarm: its sensors that were off at the peak, the one that"
        " explains most first. Else empty."
    )
    threshold_moved: ThresholdOut = Field(description="Where the threshold of the series lies now, and why.")
    what_next: list[str]

    @staticmethod
    def of(explained: AnomalyExplained) -> "AnomalyExplanationOut":
        """Return `explained` for the wire."""
        anomaly, rarity = explained.anomaly, RarityOut.of(explained)
        back = explained.hindsight
        return AnomalyExplanationOut(
            anomaly=AnomalyOut.of(anomaly),
            text=f"{anomaly.explanation.text}; {rarity.text}",
            view=view(anomaly.explanation.part),
            lasted_s=(anomaly.last_at - anomaly.opened_at).total_seconds(),
            history=HistoryOut.of(explained.looked),
            rarity=rarity,
            hindsight=None if back is None else HindsightOut.of(back),
            together=[TogetherOut.of(one) for one in explained.together],
            together_count=explained.together_count,
            together_more=explained.together_more,
            contributing_labels=[SharedLabelOut.of(one) for one in explained.labels],
            similar=[SimilarOut.of(one) for one in explained.similar],
            compared=explained.compared,
            relations=[RelationOut.of(one) for one in anomaly.relations],
            threshold_moved=ThresholdOut.of(explained.threshold),
            what_next=list(explained.what_next),
        )


class ReasonOut(Wire):
    """One reason, as a code that stays and as a sentence."""

    code: str
    text: str


class PointExplanationOut(Wire):
    """Why a series did or did not alarm at a moment."""

    series_id: str
    at: str = Field(description="The moment that was asked about.")
    timestamp: str | None = Field(description="The newest point that is not later; null without one.")
    value: float | None
    alarmed: bool = Field(description="Whether an anomaly holds the point.")
    anomaly_id: str | None
    score: float | None = Field(description="By the model in Production; null is no opinion.")
    threshold: float
    threshold_moved: ThresholdOut = Field(description="Where the threshold of the series lies now, and why.")
    distance: str = Field(description="How far the score is from an alarm.")
    expected: float | None
    lower: float | None
    upper: float | None
    part: str | None = Field(description="Which part of the model decided.")
    view: str | None = Field(description="What that part looks at.")
    text: str | None
    model: ModelOut | None
    is_replayed: bool = Field(
        description="Whether the model learns as it goes, and so was led over the history once more, to the point."
    )
    confidence: str | None
    learnt_points: int | None = Field(description="Points of the series that the model has learnt.")
    needed_points: int | None = Field(description="Points that it needs to have an opinion.")
    history: HistoryOut
    reasons: list[ReasonOut] = Field(description="Why it alarmed or not, the most telling first.")

    @staticmethod
    def of(told: PointExplained) -> "PointExplanationOut":
        """Return `told` for the wire."""
        why, model = told.explanation, told.model
        return PointExplanationOut(
            series_id=told.series_id,
            at=isoformat(told.at_us),
            timestamp=None if told.point_us is None else isoformat(told.point_us),
            value=told.value,
            alarmed=told.alarmed is not None,
            anomaly_id=None if told.alarmed is None else told.alarmed.anomaly_id,
            score=told.score,
            threshold=THRESHOLD,
            threshold_moved=ThresholdOut.of(told.threshold),
            distance=distance(told.score),
            expected=None if why is None else why.expected,
            lower=None if why is None else why.lower,
            upper=None if why is None else why.upper,
            part=None if why is None else why.part,
            view=None if why is None else view(why.part),
            text=None if why is None else why.text,
            model=None
            if model is None
            else ModelOut(model_id=model.model_id, version=model.version, algorithm=model.algorithm),
            is_replayed=told.is_replayed,
            confidence=None if told.confidence is None else told.confidence.value,
            learnt_points=told.learnt,
            needed_points=told.needed,
            history=HistoryOut.of(told.looked),
            reasons=[ReasonOut(code=reason.code, text=reason.text) for reason in told.reasons],
        )


def _named(anomaly: Anomaly) -> dict[str, Any]:
    told = AnomalyOut.of(anomaly)
    return {
        "anomaly_id": told.anomaly_id,
        "series_id": told.series_id,
        "from": told.from_,
        "peak_score": told.peak_score,
    }
