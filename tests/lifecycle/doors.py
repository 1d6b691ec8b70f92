"""The doors of lifecycle, and how tests knock."""

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.lifecycle.api import deployments_router, models_router, plot_router, training_router
from atalaia.lifecycle.asset_api import assets_router
from tests.kit.asgi import Answer, call
from tests.lifecycle.builders import Workshop, wave

FLEETS = {"pump/7": "pumps", "late": "pumps"}


def doors_of(workshop: Workshop) -> ASGIApp:
    """The doors, on a shop where ``pump/7`` and, since its training, ``late`` belong to the fleet of pumps."""
    app = FastAPI()
    install_problems(app)
    app.include_router(assets_router(workshop.lifecycle))
    app.include_router(training_router(workshop.lifecycle))
    for router in (models_router, deployments_router, plot_router):
        app.include_router(router(workshop.lifecycle, FLEETS.get))
    workshop.history.fleets["pumps"] = ["pump/7"]
    workshop.history.fill("late", wave(seed=3) + 500.0)
    return Front(app, telemetry=workshop.telemetry, max_body_bytes=2**24)


def post(app: ASGIApp, path: str, body: Any = b"", **headers: str) -> Answer:
    return call(app, "POST", f"/api/v1{path}", body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def put(app: ASGIApp, path: str, body: Any) -> Answer:
    return call(app, "PUT", f"/api/v1{path}", body)


def get(app: ASGIApp, path: str, **query: str | int) -> Answer:
    return call(app, "GET", f"/api/v1{path}", query=query)


def refused(answer: Answer, status: int, code: str) -> list[str]:
    """Check that an answer is this problem; return the places that it names."""
    problem = answer.json()
    assert (answer.status, problem["code"]) == (status, code), problem
    return [fault["pointer"] for fault in problem["errors"]]
