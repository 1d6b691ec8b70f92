"""Explanations as pages that a person reads from top to bottom."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from atalaia.app.cli.output import columns, readable, show_rows, show_table, write_body
from atalaia.app.cli.session import Output, Session
from atalaia.app.cli.times import local

if TYPE_CHECKING:
    from datetime import datetime

    from atalaia.connectors.atalaia import AnomalyExplanation, Feedback, ModelUsed, PointExplanation
    from atalaia.connectors.atalaia.thresholds import Threshold

Line = tuple[str, str]
_PAGE = columns("field", "value")


def show_page(session: Session, lines: Sequence[Line]) -> None:
    """Write a page, or what the API said where that is wanted."""
    if session.output in (Output.JSON, Output.NDJSON):
        write_body(session)
        return
    rows = [{"field": name, "value": text} for name, text in lines]
    if session.output is Output.CSV:
        show_rows(session, rows, _PAGE)
    else:
        show_table(rows, _PAGE, headings=False)


def anomaly_lines(told: "AnomalyExplanation") -> list[Line]:
    """Return the page of an anomaly."""
    anomaly, rarity = told.anomaly, told.rarity
    lines = [
        ("anomaly", f"{anomaly.anomaly_id} of {anomaly.series_id}, {anomaly.state}"),
        ("what", anomaly.explanation),
        ("seen", f"{readable(anomaly.seen)} at {_time(anomaly.peak_at)}"),
        ("expected", _band(anomaly.expected, anomaly.lower, anomaly.upper)),
        ("score", f"{readable(anomaly.peak_score)} (1 is the threshold)"),
        ("view", told.view),
        ("how rare", rarity.text),
        (
            "since",
            f"{_time(anomaly.from_)}, for {timedelta(seconds=round(told.lasted_s))}, {anomaly.points} points",
        ),
        ("model", _model(anomaly.model)),
    ]
    if told.hindsight is not None:
        share = f"{100 * told.hindsight.stranger_than:.4g} %"
        lines.append(("looking back", f"{told.hindsight.score:.3g}, stranger than {share} of the history"))
    lines += moved_lines(told.threshold_moved)
    lines += _others(told)
    lines += [("feedback", _said(anomaly.feedback))] if anomaly.feedback else []
    return [*lines, *(("next", text) for text in told.what_next)]


def point_lines(told: "PointExplanation") -> list[Line]:
    """Return the page of a series at a moment."""
    lines = [("series", f"{told.series_id} at {_time(told.at)}")]
    lines.append(("alarm", f"yes: {told.anomaly_id}" if told.alarmed else "no"))
    lines += [("why" if told.alarmed else "why not", reason.text) for reason in told.reasons]
    if told.timestamp is not None:
        lines.append(("seen", f"{readable(told.value)} at {_time(told.timestamp)}"))
    if told.model is not None:
        how = ", led over the history once more" if told.is_replayed else ""
        ready = f"confidence {told.confidence}, {told.learnt_points} points learnt, {told.needed_points} needed"
        lines += [
            ("score", f"{readable(told.score)}: {told.distance}"),
            ("expected", _band(told.expected, told.lower, told.upper)),
            ("what", told.text or ""),
            ("view", told.view or ""),
            ("model", f"{_model(told.model)}{how}"),
            ("readiness", ready),
            *moved_lines(told.threshold_moved),
        ]
    looked = f"{told.history.points:,} points"
    since = f" since {_time(told.history.from_)}" if told.history.points else ""
    return [*lines, ("history", looked + since)]


def moved_lines(told: "Threshold") -> list[Line]:
    """Return the line on a threshold that is not its model's own, none for one that is."""
    return [] if told.in_force == 1.0 and not told.changes else [("threshold", told.text)]


def _others(told: "AnomalyExplanation") -> Iterator[Line]:
    if told.relations:
        yield "relations", f"sensors of the asset that were off at the peak: {len(told.relations)}"
    for one in told.relations:
        yield "", f"{one.series_id}: {one.text}"
    more = " or more" if told.together_more else ""
    yield "together", f"anomalies of other series that were open at the same time: {told.together_count}{more}"
    for one in told.together:
        yield "", f"{one.series_id} (score {readable(one.peak_score)}): {readable(one.labels)}"
    for label in told.contributing_labels:
        counts = f"{label.open} of {label.open_total} in alarm, {label.series} of {label.series_total} series"
        yield "label", f"{label.name}={label.value}: {counts}, {label.lift:.3g} times as often"
    yield "similar", f"earlier episodes that were compared: {told.compared}"
    for one in told.similar:
        said = _said(one.feedback) or "nobody judged it"
        yield "", f"{one.likeness:.2f} alike: {one.anomaly_id} of {one.series_id}, {_time(one.from_)}: {said}"


def _said(feedback: "Sequence[Feedback]") -> str:
    return ", ".join(f"{word.kind} ({word.note})" if word.note else word.kind for word in feedback)


def _band(expected: float | None, lower: float | None, upper: float | None) -> str:
    if expected is None:
        return "no opinion"
    return f"{readable(expected)}, band {readable(lower)} to {readable(upper)}"


def _model(model: "ModelUsed") -> str:
    return f"{model.model_id} {model.version} ({model.algorithm})"


def _time(moment: "datetime | None") -> str:
    return "" if moment is None else local(moment.isoformat())
