"""Wire types of incidents."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from atalaia.algorithms.causes.ranking import Reason, Suspect
from atalaia.core.clock import MICROS, isoformat
from atalaia.incidents.ports import Change
from atalaia.incidents.rootcause import DEFAULT_METRIC_LABEL, DEFAULT_SERVICE_LABEL, Finding, sentence
from atalaia.kit.web.wire import Wire

MOST_EDGES = 50_000
MOST_LEFT_OUT = 100
"""Series that were left out and are named; all are counted."""

Name = Annotated[str, Field(min_length=1, max_length=256)]
_EXAMPLE: dict[str, Any] = {
    "from": "2026-11-20T10:00:00Z",
    "to": "2026-11-20T10:15:00Z",
    "labels": ["env:production"],
    "service_label": "service",
    "metric_label": "__name__",
    "alarmed_service": "web",
    "alarmed_metric": "latency_seconds",
    "edges": [{"from": "web", "to": "orders"}, {"from": "orders", "to": "database"}],
}


class EdgeIn(Wire):
    """A service or asset that depends on another, as by calling it."""

    from_: Name = Field(alias="from", description="Who depends.")
    to: Name = Field(description="On whom.")


class RootCauseIn(Wire):
    """An incident whose cause is asked for, and what to look at: series by id, or by fleet and labels."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    from_: float | str = Field(alias="from", description="When it began: Unix seconds, or RFC 3339 with a zone.")
    to: float | str = Field(description="When it ended, or now.")
    history_hours: float | None = Field(
        default=None, gt=0, le=2_160, description="Hours before it that say what is usual."
    )
    series_ids: list[str] = Field(default=[], max_length=100_000, description="Series to look at.")
    fleet_id: str | None = Field(default=None, max_length=256, description="A fleet to look at.")
    labels: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[], max_length=16, description="`name:value`; several: series that have all of them."
    )
    service_label: Name = Field(
        default=DEFAULT_SERVICE_LABEL, description="Label that names the service or asset of a series."
    )
    metric_label: Name = Field(
        default=DEFAULT_METRIC_LABEL, description="Label that names its metric; without it, the id is the metric."
    )
    alarmed_series: str | None = Field(default=None, max_length=256, description="Series that the alarm was about.")
    alarmed_service: Name | None = Field(default=None, description="Or the service that it was about,")
    alarmed_metric: Name | None = Field(default=None, description="and which of its metrics.")
    edges: list[EdgeIn] = Field(default=[], max_length=MOST_EDGES, description="Who depends on whom.")
    directions: dict[Name, Literal["up", "down", "either"]] = Field(
        default={}, max_length=10_000, description="Which way is bad, of metrics whose name does not say it."
    )
    traffic_metric: Name | None = Field(default=None, description="The metric that counts calls.")
    limit: int = Field(default=20, ge=1, le=1_000, description="Services, and metrics, that are named at most.")


class CauseMetricOut(Wire):
    """How one series moved."""

    series_id: str
    service: str
    metric: str
    direction: Literal["up", "down"]
    is_bad: bool | None = Field(description="Whether that way is bad; null where nobody knows.")
    expected: float = Field(description="The median before the incident.")
    seen: float = Field(description="The mean of the points in a row that lie furthest from that.")
    scales: float = Field(description="How far that is: 1 is its noise, or half its level where that is more.")
    part: float = Field(description="How far, of the furthest move of this metric that way: 0 to 1.")
    since: str = Field(description="When it moved.")

    @staticmethod
    def of(reason: Reason, finding: Finding) -> "CauseMetricOut":
        """Return `reason` for the wire."""
        return CauseMetricOut(
            series_id=finding.series_ids[reason.position],
            service=reason.service,
            metric=reason.metric,
            direction="up" if reason.direction == "up" else "down",
            is_bad=reason.is_bad,
            expected=reason.expected,
            seen=reason.seen,
            scales=reason.scales,
            part=reason.part,
            since=isoformat(finding.since_us(reason.since)),
        )


class ChangeOut(Wire):
    """Something that happened to a service and is no metric."""

    at: str
    kind: str = Field(description="`deploy`, `config`, `log` or `trace`.")
    text: str

    @staticmethod
    def of(change: Change) -> "ChangeOut":
        """Return `change` for the wire."""
        return ChangeOut(at=isoformat(change.at_us), kind=change.kind, text=change.text)


class SuspectOut(Wire):
    """A service or asset, and why it stands where it does."""

    rank: int
    service: str
    score: float = Field(description="To compare services of one answer by.")
    explains: float | None = Field(description="Part of what the alarm shows that it explains; null without alarm.")
    own: float = Field(description="Part of that, or of its votes, that none of its callees explains.")
    path: list[str] = Field(description="From the alarmed service to it; empty where there is none.")
    changes: list[ChangeOut]
    text: str = Field(description="Why, in a sentence.")
    metrics: list[CauseMetricOut]

    @staticmethod
    def of(rank: int, suspect: Suspect, finding: Finding) -> "SuspectOut":
        """Return `suspect` for the wire."""
        return SuspectOut(
            rank=rank,
            service=suspect.service,
            score=suspect.score,
            explains=suspect.explains,
            own=suspect.own,
            path=list(suspect.path),
            changes=[ChangeOut.of(change) for change in finding.changes.get(suspect.service, ())],
            text=sentence(suspect, finding.ranking.alarmed_metric),
            metrics=[CauseMetricOut.of(reason, finding) for reason in suspect.reasons],
        )


class LeftOutOut(Wire):
    """A series of which nothing can be said."""

    series_id: str
    reason: str


class RootCauseOut(Wire):
    """What an incident probably began in, the likeliest first."""

    from_: str = Field(alias="from")
    to: str
    history_from: str
    step_s: float = Field(description="Distance of two places in which points of the incident were gathered.")
    alarmed_service: str | None = Field(
        description="As asked, else the one that nobody depends on and whose calls got worse most."
    )
    alarmed_metric: str | None = Field(description="Whose extra was explained; null where all metrics voted.")
    has_graph: bool
    series: int = Field(description="Series that were looked at.")
    points: int = Field(description="Points that were read.")
    services: list[SuspectOut]
    metrics: list[CauseMetricOut]
    left_out: list[LeftOutOut] = Field(description="At most 100 of the series of which nothing can be said.")
    left_out_count: int

    @staticmethod
    def of(finding: Finding, limit: int) -> "RootCauseOut":
        """Return `finding` for the wire."""
        asked, ranking = finding.question, finding.ranking
        return RootCauseOut.model_validate(
            {
                "from": isoformat(asked.start_us),
                "to": isoformat(asked.end_us),
                "history_from": isoformat(asked.start_us - asked.history_us),
                "step_s": finding.step_us / MICROS,
                "alarmed_service": ranking.alarmed_service,
                "alarmed_metric": ranking.alarmed_metric,
                "has_graph": finding.has_graph,
                "series": len(finding.series_ids),
                "points": finding.points,
                "services": [
                    SuspectOut.of(rank, suspect, finding)
                    for rank, suspect in enumerate(ranking.suspects[:limit], 1)
                ],
                "metrics": [CauseMetricOut.of(reason, finding) for reason in ranking.metrics[:limit]],
                "left_out": [
                    LeftOutOut(series_id=series_id, reason=reason)
                    for series_id, reason in list(finding.left_out.items())[:MOST_LEFT_OUT]
                ],
                "left_out_count": len(finding.left_out),
            }
        )
