"""The HTTP door: FastAPI for everything, in front of it the layers of `kit.web`."""

import tempfile
from importlib.resources import files
from typing import Any

import fastapi_offline
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from atalaia import __version__
from atalaia.app.build import Atalaia, build
from atalaia.app.erasure.api import privacy_router
from atalaia.app.settings import Settings
from atalaia.connectors.prometheus import RemoteWriteDoor, WriteLimits, write_router
from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.incidents.api import rootcause_router
from atalaia.kit.audit.api import audit_router
from atalaia.kit.auth.api import auth_router
from atalaia.kit.auth.permissions import PUBLIC, needs
from atalaia.kit.auth.routes import describe, guard, pass_gate
from atalaia.kit.jobs.api import jobs_router
from atalaia.kit.web.doors import HotRoute
from atalaia.kit.web.hot import HotFront
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import ProblemOut, install_problems
from atalaia.kit.web.wire import refuse_repeats
from atalaia.lifecycle import api as lifecycle_api
from atalaia.lifecycle.asset_api import assets_router
from atalaia.lifecycle.schemas import PlotOut
from atalaia.lifecycle.training import KIND as TRAINING
from atalaia.serving import api as serving_api
from atalaia.serving.asset_api import asset_scores_router
from atalaia.serving.doors import PredictionDoors
from atalaia.serving.inference_api import InferenceApi
from atalaia.serving.oip import InferenceDoors
from atalaia.serving.prediction_log import PredictionLog
from atalaia.serving.schemas import BatchColumns, BatchIn, BatchNumbers, PredictIn
from atalaia.signals import api as signals_api
from atalaia.signals.doors import PointDoors
from atalaia.signals.event_api import events_router
from atalaia.signals.explanation_api import explanations_router
from atalaia.signals.schemas import PointColumns, PointNumbers, PointRows
from atalaia.signals.threshold_api import thresholds_router

_NOT_SEEN_BY_FASTAPI = (
    PointRows,
    PointColumns,
    PointNumbers,
    PredictIn,
    BatchIn,
    BatchColumns,
    BatchNumbers,
    PlotOut,
    ProblemOut,
)
_STATIC = "/docs/static"
_CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CORS_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id")
_CORS_EXPOSED = ("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id")
_PROBLEM = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
}
_DESCRIPTION = "Points in, anomalies out. Every error is a problem (RFC 9457) with a stable `code`."


def make_app(atalaia: Atalaia) -> FastAPI:
    """Return the application with the doors of the roles that are open."""
    app = FastAPI(
        title="Atalaia",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(pass_gate), Depends(refuse_repeats), *_hiding(atalaia)],
    )
    install_problems(app)
    entrance = atalaia.entrance
    guard(app, entrance.gate)
    app.include_router(_system_router(atalaia))
    if "predictor" in atalaia.roles:
        tell = atalaia.audit.trail.did
        app.include_router(serving_api.serving_router(atalaia.serving, _prediction_doors(atalaia), tell))
        most = atalaia.settings.serving.max_asset_moments
        app.include_router(asset_scores_router(atalaia.serving.models.assets, most, atalaia.privacy))
        inference_api = InferenceApi(_inference_doors(atalaia), atalaia.serving, lambda: atalaia.is_ready, tell)
        app.include_router(inference_api.router())
    if "api" in atalaia.roles:
        app.include_router(auth_router(entrance.users, entrance.access, entrance.gate))
        for router in _control_plane(atalaia):
            app.include_router(router)
    _add_docs(app)
    app.openapi = lambda: _openapi(app)
    return app


def _hiding(atalaia: Atalaia) -> list[Any]:
    """Return what lets series and assets that are hidden be named in paths by those who know them."""
    privacy = atalaia.privacy

    async def hide(request: Request) -> None:
        named = request.path_params
        if "series_id" in named:
            named["series_id"] = privacy.series_id(named["series_id"])
        if "name" in named:
            named["name"] = privacy.model_name(named["name"])
        if "asset_id" in named:
            named["asset_id"] = atalaia.assets.name(named["asset_id"])

    return [Depends(hide)] if privacy.hides_ids or privacy.hides_labels else []


def with_front(app: FastAPI, atalaia: Atalaia) -> ASGIApp:
    """Return `app` behind limits, request ids and metrics, and its hot doors in front of it."""
    settings = atalaia.settings
    gate, tracing = atalaia.entrance.gate, atalaia.tracing
    front: ASGIApp = Front(
        app,
        telemetry=atalaia.telemetry,
        max_body_bytes=settings.max_body_bytes,
        identify=gate.known if gate.asks else None,
        tracing=tracing,
        logs_paths=not atalaia.privacy.hides_ids,
    )
    if settings.cors_origins:
        front = CORSMiddleware(
            front,
            allow_origins=settings.cors_origins,
            allow_methods=_CORS_METHODS,
            allow_headers=_CORS_HEADERS,
            expose_headers=_CORS_EXPOSED,
        )
    return HotFront(
        front,
        hot_routes(atalaia),
        telemetry=atalaia.telemetry,
        events=atalaia.events,
        gate=gate if atalaia.entrance.is_guarded else None,
        max_body_bytes=settings.max_body_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        tracing=tracing,
        logs_paths=not atalaia.privacy.hides_ids,
        has_foreign_pages=bool(settings.cors_origins),
    )


def hot_routes(atalaia: Atalaia) -> list[HotRoute]:
    """Return the hot doors of the roles that are open."""
    routes: list[HotRoute] = []
    if "predictor" in atalaia.roles:
        routes += _prediction_doors(atalaia).routes()
        routes += _inference_doors(atalaia).routes()
    if "api" in atalaia.roles:
        routes += PointDoors(atalaia.signals).routes()
        routes += _write_door(atalaia).routes()
    return routes


def _inference_doors(atalaia: Atalaia) -> InferenceDoors:
    return InferenceDoors(atalaia.serving, _prediction_log(atalaia), atalaia.privacy)


def _write_door(atalaia: Atalaia) -> RemoteWriteDoor:
    settings = atalaia.settings.signals
    limits = WriteLimits(max_points=settings.max_batch_points)
    return RemoteWriteDoor(
        atalaia.signals,
        atalaia.telemetry,
        limits,
        atalaia.privacy,
        max_ahead_s=settings.max_ahead_s,
        max_new_series=settings.max_new_series,
    )


def _prediction_doors(atalaia: Atalaia) -> PredictionDoors:
    return PredictionDoors(atalaia.serving, _prediction_log(atalaia), atalaia.privacy)


def _prediction_log(atalaia: Atalaia) -> PredictionLog:
    settings, journal = atalaia.settings, atalaia.audit.journal
    logs = settings.serving.log_predictions
    return PredictionLog(atalaia.events, logs=logs, journal=journal, settings=settings.audit)


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of all roles, as a service with default settings serves it."""
    with tempfile.TemporaryDirectory() as folder:
        atalaia = build(Settings(data_dir=folder))  # pyright: ignore[reportArgumentType]
        atalaia.roles = frozenset({"api", "predictor"})
        document = make_app(atalaia).openapi()
        atalaia.database.close()
    return document


def _control_plane(atalaia: Atalaia) -> list[APIRouter]:
    def fleet_of(series_id: str) -> str | None:
        with atalaia.database.read() as session:
            try:
                return atalaia.signals.catalogue.row(session, series_id).fleet_id
            except Missing:  # trained on data that came with the request
                return None

    jobs = (atalaia.database, atalaia.queue)
    return [
        write_router(_write_door(atalaia)),
        signals_api.points_router(atalaia.signals, PointDoors(atalaia.signals)),
        signals_api.catalogue_router(atalaia.signals),
        signals_api.anomalies_router(atalaia.signals),
        explanations_router(atalaia.explaining),
        thresholds_router(atalaia.signals),
        events_router(atalaia.known_events),
        jobs_router(*jobs, "/api/v1/training/jobs", (TRAINING,)),
        jobs_router(*jobs, "/api/v1/jobs"),
        audit_router(atalaia.database),
        privacy_router(atalaia.database, atalaia.erasures),
        rootcause_router(atalaia.incidents),
        assets_router(atalaia.lifecycle),
        lifecycle_api.training_router(atalaia.lifecycle),
        lifecycle_api.models_router(atalaia.lifecycle, fleet_of),
        lifecycle_api.deployments_router(atalaia.lifecycle, fleet_of),
        lifecycle_api.plot_router(atalaia.lifecycle, fleet_of),
    ]


def _system_router(atalaia: Atalaia) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/health")
    @needs("system.read")
    def health() -> dict[str, Any]:
        """Say whether the service works, and how far scoring is behind."""
        told: dict[str, Any] = {"status": "ok", "version": __version__, "roles": sorted(atalaia.roles)}
        if "worker" in atalaia.roles:  # who may follow, and so hears who is silent
            lapses = atalaia.signals.scoring.lapses
            told |= {"series_silent": lapses.silent, "senders_silent": lapses.is_held}
        try:
            return {**told, "scoring_lag_rows": atalaia.signals.lag()}
        except AtalaiaError as error:
            return {**told, "status": "degraded", "problem": error.code, "scoring_lag_rows": None}

    @router.get("/api/v1/liveness")
    @needs(PUBLIC)
    async def liveness() -> dict[str, str]:
        """Answer as long as the process does."""
        return {"status": "alive"}

    @router.get("/api/v1/readiness")
    @needs(PUBLIC)
    def readiness() -> dict[str, str]:
        """Answer once models are loaded and the database can be read; a lone predictor does not need it."""
        if not atalaia.is_ready:
            raise Unavailable("not_ready", "the service is starting or stopping", retry_after_s=1)
        if atalaia.roles != frozenset({"predictor"}):
            atalaia.signals.lag()
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response)
    @needs("metrics.read")
    def metrics() -> Response:
        """Show all metrics in the Prometheus text format."""
        return Response(atalaia.telemetry.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _add_docs(app: FastAPI) -> None:
    """Serve the API documentation from this process alone: no file comes from another host."""
    folder = str(files(fastapi_offline) / "static")
    app.mount(_STATIC, StaticFiles(directory=folder), name="docs-static")

    @app.get("/docs", include_in_schema=False)
    @needs(PUBLIC)
    def docs(request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=f"{request.scope.get('root_path', '')}/openapi.json",
            title="Atalaia: API",
            swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{_STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{_STATIC}/favicon.png",
        )

    @app.get("/", include_in_schema=False)
    @needs(PUBLIC)
    def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    _ = docs, home


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes, tags=None
        )
        extra = models_json_schema(
            [(model, "validation") for model in _NOT_SEEN_BY_FASTAPI], ref_template="#/components/schemas/{model}"
        )[1]
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(extra.get("$defs", {}))
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        describe(document, app)
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # FastAPI's own form, which is never sent
                operation["responses"].setdefault("default", _PROBLEM)
        app.openapi_schema = document
    return app.openapi_schema
