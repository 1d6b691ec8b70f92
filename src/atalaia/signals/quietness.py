"""Pure decisions of explanations: why a series did not alarm at a moment, and what to do about an alarm."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from atalaia.algorithms.explaining.views import distance
from atalaia.core.anomalies import Anomaly, AnomalyState, FeedbackKind
from atalaia.core.clock import MICROS, isoformat
from atalaia.core.scores import THRESHOLD, Confidence

_GAP_STEPS = 1.5
"""A point is missing when none came for so many steps."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; `code` stays, the text is for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model in Production says of the point; `alarm` is whether its series is in alarm after it."""

    score: float
    alarm: bool
    is_accepted: bool
    is_replayed: bool
    confidence: Confidence
    learnt: int
    needed: int


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a series at a moment; times in microseconds.

    Attributes
    ----------
    asked_us, point_us
        The moment, and the newest point that is not later; None without one.
    step_us
        Usual distance of two points.
    scored_us
        Up to which point the series was scored, as far as this process knows.
    model
        ``there``, ``none`` or ``not_loaded``.
    opinion
        None without a model, or without a point.
    opened_us
        When the alarm began that holds the point; None when it did not alarm.
    pending
        Strange points of an interval that holds the point and is no alarm yet.
    events
        The known events that cover the point, each as a sentence says it.
    """

    asked_us: int
    point_us: int | None
    step_us: float | None
    scored_us: int | None
    model: str
    opinion: Opinion | None
    opened_us: int | None
    pending: int
    open_after: int
    close_after: int
    events: Sequence[str] = ()


def reasons(now: Situation) -> list[Reason]:
    """Return why the series alarmed or not, the most telling first."""
    if now.point_us is None:
        return [Reason("no_points", "No point of this series was received up to this moment.")]
    found = _of_model(now)
    told = [
        Reason("known_event", f"A known event covers it, so that it neither alarms nor teaches: {event}.")
        for event in now.events
    ]
    found = [*found, *told] if now.opened_us is not None else [*told, *found]
    if now.step_us and now.asked_us - now.point_us > _GAP_STEPS * now.step_us:
        text = f"No point came after {isoformat(now.point_us)}, though one comes every {now.step_us / MICROS:g} s."
        found.insert(0, Reason("missing_point", f"{text} What is explained is that last one."))
    return found


def _of_model(now: Situation) -> list[Reason]:
    if now.opened_us is not None:
        return [_in_alarm(now, now.opened_us)]
    if now.opinion is None:
        return [_without_model(now.model)]
    found = [_of_score(now, now.opinion)]
    if now.opinion.is_accepted:
        text = "The last alarm lasted for so long that what it showed is learnt as the new normal."
        found.append(Reason("accepted", text))
    if now.opinion.confidence is Confidence.LOW and isfinite(now.opinion.score):
        found.append(Reason("low_confidence", "The model has learnt too little of this series to be trusted."))
    return found


def _in_alarm(now: Situation, opened_us: int) -> Reason:
    since = isoformat(opened_us)
    if now.opinion is not None and now.opinion.score <= THRESHOLD:
        text = f"An alarm is open since {since}; it closes after {now.close_after} quiet points in a row."
        return Reason("alarm_is_open", text)
    return Reason("alarm", f"It did alarm: the point belongs to an anomaly that began at {since}.")


def _without_model(model: str) -> Reason:
    if model == "none":
        text = "No model of this series is in Production, so nothing can alarm: train one, and promote it."
        return Reason("no_model", text)
    return Reason("model_not_loaded", "The model in Production cannot be loaded; `atalaia doctor` says more.")


def _of_score(now: Situation, opinion: Opinion) -> Reason:
    if not isfinite(opinion.score):
        if opinion.learnt < opinion.needed:
            text = f"The model has learnt {opinion.learnt} points of this series and needs {opinion.needed}."
            return Reason("not_learnt", text)
        return Reason("no_opinion", "The model has no opinion on this point: too few came before it.")
    if opinion.score <= THRESHOLD:
        return Reason("inside", f"It is as expected: {distance(opinion.score)}.")
    if now.scored_us is None or (now.point_us or 0) > now.scored_us:
        return Reason("not_scored_yet", "It is strange, and waits to be scored.")
    if now.pending:
        text = f"It is strange, and {now.pending} of the {now.open_after} strange points came that open an alarm."
        return Reason("waits_for_more", text)
    if opinion.is_replayed and not opinion.alarm:
        return Reason("waits_for_more", "It is strange, and the model alarms after several strange points only.")
    text = (
        "It is strange for the model of today, and no anomaly holds it: it came later than newer points, no such "
        "model was in Production when it came, or the anomaly was deleted by age."
    )
    return Reason("not_alarmed_then", text)


def what_next(anomaly: Anomaly, similar: Sequence[Anomaly]) -> list[str]:
    """Return what a person may do about an alarm."""
    found: list[str] = []
    said = [word.kind for one in similar for word in one.feedback[-1:]]
    if said:
        counts = ", ".join(f"{said.count(kind)} {kind.value}" for kind in FeedbackKind if kind in said)
        found.append(f"Look at the similar episodes: people said of them: {counts}.")
    if not anomaly.feedback:
        command = f"atalaia anomalies feedback {anomaly.anomaly_id} useful|noise|expected"
        found.append(f"Say what it was worth: {command}.")
    if anomaly.state is AnomalyState.OPEN:
        found.append("It is still open; it closes by itself once the series is quiet again.")
    return found
