"""HTTP doors of explanations."""

from typing import Annotated

from fastapi import APIRouter, Query

from atalaia.kit.auth.permissions import needs
from atalaia.kit.web.wire import time_query
from atalaia.signals.explaining import Explaining
from atalaia.signals.explanation_schemas import AnomalyExplanationOut, PointExplanationOut

_At = Annotated[
    str | None, Query(max_length=64, description="Unix seconds or RFC 3339; by default the newest point.")
]


def explanations_router(explaining: Explaining) -> APIRouter:
    """Return the doors that say why."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/anomalies/{anomaly_id:id}/explanation", tags=["anomalies"])
    @needs("anomalies.read")
    def explain_anomaly(anomaly_id: str) -> AnomalyExplanationOut:
        """Say why there is an anomaly, how rare it is, what was strange with it and what looked like it before."""
        return AnomalyExplanationOut.of(explaining.anomaly(anomaly_id))

    @router.get("/series/{series_id:id}/explanation", tags=["series"])
    @needs("points.read")
    def explain_series(series_id: str, at: _At = None) -> PointExplanationOut:
        """Say why a series did or did not alarm at a moment."""
        return PointExplanationOut.of(explaining.point(series_id, time_query(at, "at")))

    return router
