"""HTTP doors of serving."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from atalaia.core.errors import AtalaiaError, Fault, Invalid
from atalaia.core.scores import Score
from atalaia.core.series import check_id
from atalaia.kit.web.wire import RawBody, decode, parse_time
from atalaia.serving import schemas
from atalaia.serving.service import PointToScore, Serving

_point = msgspec.json.Decoder(schemas.PointBody)
_batch = msgspec.json.Decoder(schemas.BatchBody)


def _body(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def serving_router(serving: Serving) -> APIRouter:
    """Return the doors of prediction."""
    router = APIRouter(prefix="/api/v1", tags=["prediction"])

    @router.post("/predict/batch", response_model=schemas.Predictions, openapi_extra=_body("BatchIn"))
    async def predict_batch(body: RawBody) -> Response:
        """Score points of many series; each point answers for itself."""
        answers = await run_in_threadpool(_predict_batch, serving, body)
        return _json({"predictions": answers})

    @router.post("/predict/{series_id:id}", response_model=schemas.Prediction, openapi_extra=_body("PredictIn"))
    async def predict(series_id: str, body: RawBody) -> Response:
        """Score one point: is it an anomaly, how strange is it, why, and who says so."""
        sent = decode(body, _point)
        point = PointToScore(check_id(series_id), parse_time(sent.timestamp, "/timestamp"), sent.value)
        if serving.models.is_resident(series_id):
            answers = serving.predict([point])
        else:  # a model or the catalogue must be read first: not on the event loop
            answers = await run_in_threadpool(serving.predict, [point])
        return _json(schemas.prediction(_only(answers)))

    @router.post("/admin/reload/{series_id:id}")
    def reload(series_id: str) -> schemas.ReloadedOut:
        """Load the model of a series anew; the old one answers until the new one is there."""
        done = serving.reload(series_id)
        ref, source = done.loaded.ref, done.loaded.source.value
        return schemas.ReloadedOut(
            model_id=ref.model_id, version=ref.version, loaded_from=source, load_seconds=done.seconds
        )

    return router


def _predict_batch(serving: Serving, body: bytes) -> list[dict[str, Any]]:
    sent = decode(body, _batch).points
    if len(sent) > serving.settings.max_batch_points:
        detail = f"{len(sent)} points are too many for one request, at most {serving.settings.max_batch_points}"
        raise Invalid("invalid_points", detail, faults=[Fault("/points", detail)])
    checked = [_checked(row, i) for i, row in enumerate(sent)]
    good = [point for point in checked if isinstance(point, PointToScore)]
    answers = iter(serving.predict(good) if good else [])
    return [
        schemas.answer_of(row.series_id, point if isinstance(point, AtalaiaError) else next(answers))
        for row, point in zip(sent, checked, strict=True)
    ]


def _checked(row: schemas.RowBody, position: int) -> PointToScore | AtalaiaError:
    try:
        series_id = check_id(row.series_id, f"/points/{position}/series_id")
        return PointToScore(series_id, parse_time(row.timestamp, f"/points/{position}/timestamp"), row.value)
    except AtalaiaError as error:
        return error


def _only(answers: Sequence[Score | AtalaiaError]) -> Score:
    answer = answers[0]
    if isinstance(answer, AtalaiaError):
        raise answer
    return answer


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
