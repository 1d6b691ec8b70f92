"""HTTP doors of serving. Those that are hot are documented here and answered in front, see `serving.doors`."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from atalaia.kit.auth.permissions import needs
from atalaia.kit.web.hot import through
from atalaia.serving import schemas
from atalaia.serving.doors import PredictionDoors, documented
from atalaia.serving.service import Serving

_ONLY: dict[str, Any] = {
    "parameters": [
        {
            "name": "only",
            "in": "query",
            "schema": {"type": "string", "enum": ["anomalies"]},
            "description": "Let the answer to columns hold the anomalous points alone.",
        }
    ]
}


def serving_router(
    serving: Serving, doors: PredictionDoors, tell: Callable[[str, str], object] = lambda action, subject: None
) -> APIRouter:
    """Return the doors of prediction; `tell` hears of every model that is loaded anew by hand."""
    router = APIRouter(prefix="/api/v1", tags=["prediction"])

    @router.post(
        "/predict/batch",
        response_model=schemas.Predictions | schemas.ScoreColumns | schemas.AnomalousRows,
        openapi_extra=documented("BatchIn", "BatchColumns", "BatchNumbers") | _ONLY,
    )
    @needs("predict")
    async def predict_batch(request: Request) -> Response:
        """Score points of many series; rows are answered one by one, columns by columns."""
        return await through(doors.predict_batch, request)

    @router.post(
        "/predict/{series_id:id}", response_model=schemas.Prediction, openapi_extra=documented("PredictIn")
    )
    @needs("predict")
    async def predict(series_id: str, request: Request) -> Response:
        """Score one point: is it an anomaly, how strange is it, why, and who says so."""
        return await through(doors.predict, request, name=series_id)

    @router.post("/admin/reload/{series_id:id}")
    @needs("models.reload")
    def reload(series_id: str) -> schemas.ReloadedOut:
        """Load the model of a series anew; the old one answers until the new one is there."""
        done = serving.reload(series_id)
        tell("model_reloaded", done.loaded.ref.model_id)
        ref, source = done.loaded.ref, done.loaded.source.value
        return schemas.ReloadedOut(
            model_id=ref.model_id, version=ref.version, loaded_from=source, load_seconds=done.seconds
        )

    return router
