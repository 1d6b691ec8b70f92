"""HTTP doors of incidents."""

from fastapi import APIRouter

from atalaia.core.clock import MICROS
from atalaia.core.errors import Fault, Invalid
from atalaia.incidents import schemas
from atalaia.incidents.rootcause import Question
from atalaia.incidents.service import Incidents
from atalaia.kit.auth.permissions import needs
from atalaia.kit.web.wire import parse_time

_HOUR_US = 3_600 * MICROS


def rootcause_router(incidents: Incidents) -> APIRouter:
    """Return the door of causes."""
    router = APIRouter(prefix="/api/v1", tags=["incidents"])

    @router.post("/rootcause")
    @needs("points.read")
    def find_cause(body: schemas.RootCauseIn) -> schemas.RootCauseOut:
        """Rank services and metrics by how likely an incident began in them; nothing is changed."""
        question = _question(body, incidents.settings.rootcause_history_hours)
        return schemas.RootCauseOut.of(incidents.find_cause(question), body.limit)

    _ = find_cause
    return router


def _question(body: schemas.RootCauseIn, history_hours: float) -> Question:
    start_us, end_us = parse_time(body.from_, "/from"), parse_time(body.to, "/to")
    if start_us >= end_us:
        fault = Fault("/from", "must lie before `to`")
        raise Invalid("invalid_time", "the incident ends before it begins", faults=[fault])
    if not body.series_ids and body.fleet_id is None and not body.labels:
        detail = "say what to look at: `series_ids`, `fleet_id` or `labels`"
        raise Invalid("invalid_request", detail, faults=[Fault("/series_ids", detail)])
    if body.alarmed_series is not None and body.alarmed_service is not None:
        detail = "name the alarmed series, or the alarmed service, not both"
        raise Invalid("invalid_request", detail, faults=[Fault("/alarmed_service", detail)])
    if body.alarmed_metric is not None and body.alarmed_service is None:
        detail = "an alarmed metric needs the alarmed service"
        raise Invalid("invalid_request", detail, faults=[Fault("/alarmed_metric", detail)])
    hours = history_hours if body.history_hours is None else body.history_hours
    return Question(
        start_us,
        end_us,
        min(int(hours * _HOUR_US), start_us),
        body.series_ids,
        body.fleet_id,
        body.labels,
        body.service_label,
        body.metric_label,
        body.alarmed_series,
        body.alarmed_service,
        body.alarmed_metric,
        [(edge.from_, edge.to) for edge in body.edges],
        body.directions,
        body.traffic_metric,
    )
