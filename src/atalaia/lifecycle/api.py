"""HTTP doors of lifecycle."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from atalaia.core.clock import isoformat
from atalaia.core.errors import Fault, Invalid
from atalaia.core.models import ModelKey, Scope, parse_version, version_name
from atalaia.kit.idempotency import once
from atalaia.kit.web.wire import Cursor, IdempotencyKey, Limit, parse_time, time_query
from atalaia.lifecycle import schemas
from atalaia.lifecycle.plotting import render
from atalaia.lifecycle.service import Lifecycle
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.lifecycle.training import Config, Inline

FleetOf = Callable[[str], str | None]
_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "The picture, or its data."}
}


def training_router(lifecycle: Lifecycle) -> APIRouter:
    """Return the doors of training."""
    router = APIRouter(prefix="/api/v1/training", tags=["training"])

    def start(
        key: ModelKey, sent: schemas.TrainSeries | schemas.TrainFleet, once_key: str | None
    ) -> schemas.JobAccepted:
        config = _config(sent.config, lifecycle.settings)
        inline = _inline(sent) if isinstance(sent, schemas.TrainSeries) else None
        with lifecycle.database.write() as session:

            def act() -> dict[str, Any]:
                job = lifecycle.training.request(session, key, config, inline, sent.priority)
                url = f"/api/v1/training/jobs/{job.job_id}"
                return {"job_id": job.job_id, "status": job.status.value, "status_url": url}

            body = sent.model_dump_json().encode() if once_key else b""
            return schemas.JobAccepted(**once(session, once_key, f"POST training {key}", body, act))

    @router.post("/fleets/{fleet_id:id}", status_code=202)
    def train_fleet(
        fleet_id: str, body: schemas.TrainFleet | None = None, key: IdempotencyKey = None
    ) -> schemas.JobAccepted:
        """Train a fleet on stored history: one model and one version for all its series."""
        return start(ModelKey(Scope.FLEET, fleet_id), body or schemas.TrainFleet(), key)

    @router.post("/{series_id:id}", status_code=202)
    def train_series(
        series_id: str, body: schemas.TrainSeries | None = None, key: IdempotencyKey = None
    ) -> schemas.JobAccepted:
        """Train one series on stored history, or on the data in the body."""
        return start(ModelKey(Scope.SERIES, series_id), body or schemas.TrainSeries(), key)

    return router


def models_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the doors that show models; `fleet_of` names the fleet of a series."""
    router = APIRouter(prefix="/api/v1/models", tags=["models"])

    @router.get("")
    def list_models(cursor: Cursor = None, limit: Limit = 100) -> schemas.ModelPage:
        """List models in order of id."""
        with lifecycle.database.read() as session:
            items, following = lifecycle.list_models(session, cursor=cursor, limit=limit)
        return schemas.ModelPage(items=[schemas.ModelOut.of(*item) for item in items], next=following)

    @router.get("/fleets/{fleet_id:id}")
    def get_fleet_model(fleet_id: str) -> schemas.ModelOut:
        """Show the model of a fleet."""
        with lifecycle.database.read() as session:
            return schemas.ModelOut.of(*lifecycle.model(session, ModelKey(Scope.FLEET, fleet_id)))

    @router.get("/{series_id:id}")
    def get_model(series_id: str) -> schemas.ModelOut:
        """Show the model of a series: its own, or its fleet's."""
        with lifecycle.database.read() as session:
            return schemas.ModelOut.of(*lifecycle.model_of_series(session, series_id, fleet_of(series_id)))

    @router.get("/{series_id:id}/metrics")
    def get_metrics(
        series_id: str, window: Annotated[str, Query(max_length=16, description="e.g. 90m, 24h, 7d")] = "24h"
    ) -> schemas.ModelMetrics:
        """Show how the model of a series does: what it scored, how strange that was, whether the data drifted."""
        key = lifecycle.serving_key(series_id, fleet_of(series_id))
        return schemas.ModelMetrics.model_validate(lifecycle.metrics(key, series_id, window))

    return router


def deployments_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the doors of promotion and of what is deployed."""
    router = APIRouter(prefix="/api/v1/models", tags=["models"])

    @router.post("/fleets/{fleet_id:id}/versions/{version}/promote")
    def promote_fleet(
        fleet_id: str, version: str, body: schemas.PromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.PromotedOut:
        """Put a version of a fleet's model into Production."""
        return _promote(lifecycle, ModelKey(Scope.FLEET, fleet_id), version, body, key)

    @router.post("/{series_id:id}/versions/{version}/promote")
    def promote_series(
        series_id: str, version: str, body: schemas.PromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.PromotedOut:
        """Put a version of a series' own model into Production."""
        return _promote(lifecycle, ModelKey(Scope.SERIES, series_id), version, body, key)

    @router.get("/fleets/{fleet_id:id}/deployment-config")
    def get_fleet_deployment(fleet_id: str) -> schemas.DeploymentOut:
        """Show how the model of a fleet is deployed."""
        return _deployment(lifecycle, ModelKey(Scope.FLEET, fleet_id))

    @router.get("/{series_id:id}/deployment-config")
    def get_deployment(series_id: str) -> schemas.DeploymentOut:
        """Show what serves a series: its own model, or its fleet's."""
        return _deployment(lifecycle, lifecycle.serving_key(series_id, fleet_of(series_id)))

    return router


def plot_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the door of plots."""
    router = APIRouter(prefix="/api/v1", tags=["models"])

    @router.get("/plot", responses=_PNG, response_class=Response)
    def plot(
        series_id: Annotated[str, Query(max_length=256)],
        start: Annotated[str | None, Query(alias="from", max_length=64)] = None,
        to: Annotated[str | None, Query(max_length=64)] = None,
        buckets: Annotated[int, Query(ge=1, le=4_000)] = 600,
        format: Literal["png", "json"] = "png",
    ) -> Response:
        """Draw a series with the band of its model, as a PNG or as the numbers of the same."""
        span = lifecycle.span(series_id, time_query(start, "from"), time_query(to, "to"))
        key = lifecycle.deployed_key(series_id, fleet_of(series_id))
        found = lifecycle.plot(key, series_id, *span, buckets)
        if format == "png":
            title = f"{series_id} ({key})" if key else f"{series_id} (no model in Production)"
            return Response(render(title, found), media_type="image/png")
        told = [{"at": isoformat(b["at_us"]), **{k: v for k, v in b.items() if k != "at_us"}} for b in found]
        answer = schemas.PlotOut(series_id=series_id, model_id=str(key) if key else None, buckets=told)
        return JSONResponse(answer.model_dump(mode="json"))

    return router


def _promote(
    lifecycle: Lifecycle, key: ModelKey, version: str, how: schemas.PromoteIn | None, once_key: str | None
) -> schemas.PromotedOut:
    wanted, number = how or schemas.PromoteIn(), parse_version(version)
    with lifecycle.database.write() as session:

        def act() -> dict[str, Any]:
            done = lifecycle.promotion.promote(session, key, number, archive_previous=wanted.archive_previous)
            previous = None if done.previous is None else version_name(done.previous)
            told = {"model_id": str(key), "version": version_name(number), "stage": "Production"}
            return {**told, "previous_version": previous, "promoted_at": isoformat(done.promoted_at)}

        route = f"POST promote {key} {number}"
        return schemas.PromotedOut(**once(session, once_key, route, wanted.model_dump_json().encode(), act))


def _deployment(lifecycle: Lifecycle, key: ModelKey) -> schemas.DeploymentOut:
    with lifecycle.database.read() as session:
        version = lifecycle.deployment(session, key)
        row, _ = lifecycle.model(session, key)
    name = version_name(version.number)
    return schemas.DeploymentOut(
        model_id=str(key),
        version=name,
        stage=version.stage,
        strategy="direct",
        traffic=[schemas.TrafficOut(version=name, weight=1.0)],
        artifact=schemas.ArtefactOut(sha256=version.sha256, bytes=version.size_bytes),
        revision=row.revision,
    )


def _config(sent: schemas.ConfigIn, settings: LifecycleSettings) -> Config:
    return Config(
        algorithm=sent.algorithm or settings.algorithm,
        hyperparameters=sent.hyperparameters,
        window_hours=sent.window_hours or settings.window_hours,
    )


def _inline(sent: schemas.TrainSeries) -> Inline | None:
    if sent.timestamps is None and sent.values is None:
        return None
    if sent.timestamps is None or sent.values is None:
        missing = "/timestamps" if sent.timestamps is None else "/values"
        fault = Fault(missing, "inline data need both `timestamps` and `values`")
        raise Invalid("invalid_training_data", fault.message, faults=[fault])
    stamps = [parse_time(stamp, f"/timestamps/{i}") for i, stamp in enumerate(sent.timestamps)]
    return Inline(np.array(stamps, np.int64), np.array(sent.values, np.float64))
