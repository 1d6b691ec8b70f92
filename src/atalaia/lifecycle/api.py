"""HTTP doors of lifecycle."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from atalaia.core.clock import isoformat
from atalaia.core.errors import Fault, Invalid
from atalaia.core.models import ModelKey, Scope, parse_version, version_name
from atalaia.kit.auth.permissions import needs
from atalaia.kit.auth.routes import require
from atalaia.kit.idempotency import once
from atalaia.kit.jobs import JobStatus
from atalaia.kit.web.wire import Cursor, IdempotencyKey, Limit, Wire, optional_time, parse_time, time_query
from atalaia.lifecycle import schemas
from atalaia.lifecycle.asset_training import ALGORITHM
from atalaia.lifecycle.plotting import render
from atalaia.lifecycle.service import Lifecycle
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.lifecycle.training import Config, Inline
from atalaia.lifecycle.waves import Queued, Wave


class Asked(Protocol):
    """What every training is asked for with."""

    @property
    def config(self) -> schemas.ConfigIn:
        """How to train."""
        ...

    @property
    def priority(self) -> int:
        """The higher goes first."""
        ...

    def model_dump_json(self) -> str:
        """Return it as it was sent."""
        ...


FleetOf = Callable[[str], str | None]
_PNG: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/PlotOut"}},
        },
        "description": "The picture, or its data.",
    }
}


def training_router(lifecycle: Lifecycle) -> APIRouter:
    """Return the doors of training."""
    router = APIRouter(prefix="/api/v1/training", tags=["training"])
    _add_waves(router, lifecycle)

    @router.post("/fleets/{fleet_id:id}", status_code=202)
    @needs("models.train")
    def train_fleet(
        fleet_id: str, body: schemas.TrainFleet | None = None, key: IdempotencyKey = None
    ) -> schemas.JobAccepted:
        """Train a fleet on stored history: one model and one version for all its series."""
        return train(lifecycle, ModelKey(Scope.FLEET, fleet_id), body or schemas.TrainFleet(), key)

    @router.post("/{series_id:id}", status_code=202)
    @needs("models.train")
    def train_series(
        series_id: str, body: schemas.TrainSeries | None = None, key: IdempotencyKey = None
    ) -> schemas.JobAccepted:
        """Train one series on stored history, or on the data in the body."""
        return train(lifecycle, ModelKey(Scope.SERIES, series_id), body or schemas.TrainSeries(), key)

    return router


def _add_waves(router: APIRouter, lifecycle: Lifecycle) -> None:
    @router.post("/waves", status_code=202)
    @needs("models.train")
    def train_wave(
        request: Request, body: schemas.TrainWave | None = None, key: IdempotencyKey = None
    ) -> schemas.WaveAccepted:
        """Train many fleets, and put them into Production together, for which one must be allowed to promote."""
        wanted = body or schemas.TrainWave()
        if wanted.promote:
            require(request, "models.promote")
        fleets, config = (
            lifecycle.waves.fleets(wanted.fleets),
            _config(wanted.config, lifecycle.settings, lifecycle.settings.algorithm),
        )

        def start(session: Session) -> Queued:
            return lifecycle.waves.start(session, fleets, config, priority=wanted.priority, promote=wanted.promote)

        return _queue_wave(lifecycle, "POST training wave", wanted, key, start)

    @router.get("/waves/{wave_id}")
    @needs("jobs.read")
    def get_wave(wave_id: str) -> schemas.WaveOut:
        """Show how far a wave is."""
        with lifecycle.database.read() as session:
            return schemas.WaveOut(**_wave(lifecycle.waves.get(session, wave_id)))

    @router.post("/waves/{wave_id}/retry", status_code=202)
    @needs("models.train")
    def retry_wave(
        wave_id: str, body: schemas.WaveRetry | None = None, key: IdempotencyKey = None
    ) -> schemas.WaveAccepted:
        """Queue the trainings of a wave anew that failed or were cancelled; the others stay as they are."""
        wanted = body or schemas.WaveRetry()

        def retry(session: Session) -> Queued:
            return lifecycle.waves.retry(session, wave_id, priority=wanted.priority)

        return _queue_wave(lifecycle, f"POST retry {wave_id}", wanted, key, retry)

    @router.post("/waves/{wave_id}/promote")
    @needs("models.promote")
    def promote_wave(
        wave_id: str, body: schemas.WavePromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.WaveOut:
        """Put all versions of a wave into Production at once, or none; those that are there already stay."""
        wanted = body or schemas.WavePromoteIn()
        with lifecycle.database.write() as session:

            def act() -> dict[str, Any]:
                lifecycle.waves.promote(session, wave_id, skip_failed=wanted.skip_failed)
                session.flush()
                return _wave(lifecycle.waves.get(session, wave_id))

            sent = wanted.model_dump_json().encode()
            return schemas.WaveOut(**once(session, key, f"POST promote {wave_id}", sent, act))

    _ = train_wave, get_wave, retry_wave, promote_wave


def models_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the doors that show models; `fleet_of` names the fleet of a series."""
    router = APIRouter(prefix="/api/v1/models", tags=["models"])

    @router.get("")
    @needs("models.read")
    def list_models(cursor: Cursor = None, limit: Limit = 100) -> schemas.ModelPage:
        """List models in order of id."""
        with lifecycle.database.read() as session:
            items, following = lifecycle.list_models(session, cursor=cursor, limit=limit)
        return schemas.ModelPage(items=[schemas.ModelOut.of(*item) for item in items], next=following)

    @router.get("/fleets/{fleet_id:id}")
    @needs("models.read")
    def get_fleet_model(fleet_id: str) -> schemas.ModelOut:
        """Show the model of a fleet."""
        with lifecycle.database.read() as session:
            return schemas.ModelOut.of(*lifecycle.model(session, ModelKey(Scope.FLEET, fleet_id)))

    @router.get("/{series_id:id}")
    @needs("models.read")
    def get_model(series_id: str) -> schemas.ModelOut:
        """Show the model of a series: its own, or its fleet's."""
        with lifecycle.database.read() as session:
            return schemas.ModelOut.of(*lifecycle.model_of_series(session, series_id, fleet_of(series_id)))

    @router.get("/{series_id:id}/metrics")
    @needs("models.read")
    def get_metrics(
        series_id: str, window: Annotated[str, Query(max_length=16, description="e.g. 90m, 24h, 7d")] = "24h"
    ) -> schemas.ModelMetrics:
        """Show how the model of a series does: what it scored, how strange that was, whether the data drifted."""
        key = lifecycle.serving_key(series_id, fleet_of(series_id))
        return schemas.ModelMetrics.model_validate(lifecycle.metrics(key, series_id, window))

    @router.get("/{series_id:id}/readiness")
    @needs("models.read")
    def get_readiness(series_id: str) -> schemas.ReadinessOut:
        """Show what the version in Production has learnt of a series, and what is missing."""
        key = lifecycle.serving_key(series_id, fleet_of(series_id))
        version, told = lifecycle.readiness(key, series_id)
        return schemas.ReadinessOut(
            series_id=series_id,
            model_id=version.key,
            version=version_name(version.number),
            algorithm=version.algorithm,
            state=told.state.value,
            confidence=told.confidence.value,
            points=told.points,
            days=round(told.days, 2),
            peers=told.peers,
            missing=list(told.missing),
        )

    return router


def deployments_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the doors of promotion and of what is deployed."""
    router = APIRouter(prefix="/api/v1/models", tags=["models"])

    @router.post("/fleets/{fleet_id:id}/versions/{version}/promote")
    @needs("models.promote")
    def promote_fleet(
        fleet_id: str, version: str, body: schemas.PromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.PromotedOut:
        """Put a version of a fleet's model into Production."""
        return promote(lifecycle, ModelKey(Scope.FLEET, fleet_id), version, body, key)

    @router.post("/{series_id:id}/versions/{version}/promote")
    @needs("models.promote")
    def promote_series(
        series_id: str, version: str, body: schemas.PromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.PromotedOut:
        """Put a version of a series' own model into Production."""
        return promote(lifecycle, ModelKey(Scope.SERIES, series_id), version, body, key)

    @router.put("/fleets/{fleet_id:id}/challenger")
    @needs("models.promote")
    def challenge_fleet(fleet_id: str, body: schemas.ChallengeIn) -> schemas.ChallengeOut:
        """Score a version of a fleet's model beside the one in Production; nothing of it is answered."""
        return _challenge(lifecycle, ModelKey(Scope.FLEET, fleet_id), body)

    @router.put("/{series_id:id}/challenger")
    @needs("models.promote")
    def challenge_series(series_id: str, body: schemas.ChallengeIn) -> schemas.ChallengeOut:
        """Score a version of a series' own model beside the one in Production; nothing of it is answered."""
        return _challenge(lifecycle, ModelKey(Scope.SERIES, series_id), body)

    @router.get("/fleets/{fleet_id:id}/deployment-config")
    @needs("models.read")
    def get_fleet_deployment(fleet_id: str) -> schemas.DeploymentOut:
        """Show how the model of a fleet is deployed."""
        return deployment_of(lifecycle, ModelKey(Scope.FLEET, fleet_id))

    @router.get("/{series_id:id}/deployment-config")
    @needs("models.read")
    def get_deployment(series_id: str) -> schemas.DeploymentOut:
        """Show what serves a series: its own model, or its fleet's."""
        return deployment_of(lifecycle, lifecycle.serving_key(series_id, fleet_of(series_id)))

    return router


def plot_router(lifecycle: Lifecycle, fleet_of: FleetOf) -> APIRouter:
    """Return the door of plots."""
    router = APIRouter(prefix="/api/v1", tags=["models"])

    @router.get("/plot", responses=_PNG, response_class=Response)
    @needs("points.read")
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


def train(lifecycle: Lifecycle, key: ModelKey, sent: Asked, once_key: str | None) -> schemas.JobAccepted:
    """Queue a training."""
    by_default = ALGORITHM if key.scope is Scope.ASSET else lifecycle.settings.algorithm
    config = _config(sent.config, lifecycle.settings, by_default)
    inline = _inline(sent) if isinstance(sent, schemas.TrainSeries) else None
    with lifecycle.database.write() as session:

        def act() -> dict[str, Any]:
            job = lifecycle.training.request(session, key, config, inline, sent.priority)
            url = f"/api/v1/training/jobs/{job.job_id}"
            return {"job_id": job.job_id, "status": job.status.value, "status_url": url}

        body = sent.model_dump_json().encode() if once_key else b""
        return schemas.JobAccepted(**once(session, once_key, f"POST training {key}", body, act))


def _queue_wave(
    lifecycle: Lifecycle, route: str, sent: Wire, once_key: str | None, queue: Callable[[Session], Queued]
) -> schemas.WaveAccepted:
    with lifecycle.database.write() as session:

        def act() -> dict[str, Any]:
            queued = queue(session)
            url = f"/api/v1/training/waves/{queued.wave_id}"
            left_out = list(queued.left_out)
            return {"wave_id": queued.wave_id, "fleets": queued.fleets, "left_out": left_out, "status_url": url}

        return schemas.WaveAccepted(**once(session, once_key, route, sent.model_dump_json().encode(), act))


def promote(
    lifecycle: Lifecycle, key: ModelKey, version: str, how: schemas.PromoteIn | None, once_key: str | None
) -> schemas.PromotedOut:
    """Put a version into Production."""
    wanted, number = how or schemas.PromoteIn(), parse_version(version)
    with lifecycle.database.write() as session:

        def act() -> dict[str, Any]:
            done = lifecycle.promotion.promote(session, key, number, archive_previous=wanted.archive_previous)
            previous = None if done.previous is None else version_name(done.previous)
            told = {"model_id": str(key), "version": version_name(number), "stage": "Production"}
            return {**told, "previous_version": previous, "promoted_at": isoformat(done.promoted_at)}

        route = f"POST promote {key} {number}"
        return schemas.PromotedOut(**once(session, once_key, route, wanted.model_dump_json().encode(), act))


def _challenge(lifecycle: Lifecycle, key: ModelKey, wanted: schemas.ChallengeIn) -> schemas.ChallengeOut:
    number = None if wanted.version is None else parse_version(wanted.version)
    with lifecycle.database.write() as session:
        done = lifecycle.promotion.challenge(session, key, number)
    challenger = None if done.challenger is None else version_name(done.challenger)
    return schemas.ChallengeOut(model_id=str(key), version=version_name(done.production), challenger=challenger)


def _wave(wave: Wave) -> dict[str, Any]:
    fleets = [
        {
            "fleet_id": fleet.fleet_id,
            "job_id": fleet.job_id,
            "status": fleet.status.value,
            "progress": round(fleet.progress, 4),
            "version": fleet.version,
            "series": fleet.series,
            "points": fleet.points,
            "error": fleet.error,
        }
        for fleet in wave.fleets
    ]
    return {
        "wave_id": wave.wave_id,
        "promote": wave.promote,
        "progress": round(wave.progress, 4),
        "waiting": wave.count(JobStatus.QUEUED, JobStatus.PROCESSING),
        "completed": wave.count(JobStatus.COMPLETED),
        "empty": sum(fleet.is_empty for fleet in wave.fleets),
        "failed": wave.count(JobStatus.FAILED, JobStatus.CANCELLED),
        "series": sum(fleet.series for fleet in wave.fleets),
        "points": sum(fleet.points for fleet in wave.fleets),
        "created_at": isoformat(wave.created_at),
        "finished_at": optional_time(wave.finished_at),
        "promoted_at": optional_time(wave.promoted_at),
        "fleets": fleets,
    }


def deployment_of(lifecycle: Lifecycle, key: ModelKey) -> schemas.DeploymentOut:
    """Show how a model is deployed."""
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


def _config(sent: schemas.ConfigIn, settings: LifecycleSettings, by_default: str) -> Config:
    return Config(
        algorithm=sent.algorithm or by_default,
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
