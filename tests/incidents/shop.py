"""A shop whose database became slow, in the real history of signals, and a door in front of it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from starlette.types import ASGIApp

from atalaia.incidents.api import rootcause_router
from atalaia.incidents.ports import Changes
from atalaia.incidents.service import Incidents
from atalaia.incidents.settings import IncidentsSettings
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from tests.kit.asgi import Answer, call
from tests.signals.builders import START_S, Place, signals_in

HISTORY_MIN = 90
INCIDENT_MIN = 10
BEGIN_S = START_S + 60 * HISTORY_MIN
END_S = BEGIN_S + 60 * INCIDENT_MIN
EDGES = [("web", "orders"), ("web", "search"), ("orders", "db")]
LEVELS = {"web": 0.4, "orders": 0.2, "search": 0.1, "db": 0.05}
EXTRA = {"web": 0.4, "orders": 0.4, "search": 0.0, "db": 0.4}


def minutes(level: float, extra: float, seed: int, after: int = 2) -> list[float]:
    """Values of each minute; `extra` comes on top from the minute `after` of the incident on."""
    noise = 1 + 0.02 * np.random.default_rng(seed).standard_normal(HISTORY_MIN + INCIDENT_MIN)
    values = level * noise
    values[HISTORY_MIN + after :] += extra
    return values.tolist()


def fill(place: Place) -> None:
    """Bring the points of the shop, and label its series."""
    columns: dict[tuple[str, str], list[float]] = {}
    for seed, (name, level) in enumerate(LEVELS.items()):
        columns[name, "latency"] = minutes(level, EXTRA[name], seed)
        columns[name, "requests"] = minutes(100.0, 0.0, 10 + seed)
    for (name, metric), values in columns.items():
        series_id = place.signals.privacy.series_id(f"{name}/{metric}")  # as the door of points does
        place.send(*((series_id, 60.0 * i, value) for i, value in enumerate(values)))
        with place.database.write() as session:
            place.signals.label(session, series_id, {"service": name, "metric": metric, "env": "production"})


def incidents_of(place: Place, changes: Changes | None = None, **settings: Any) -> Incidents:
    return Incidents(place.signals, place.signals.privacy, IncidentsSettings(**settings), changes)


@contextmanager
def open_shop(folder: Path, rules: Any = ()) -> Generator[Place]:
    with signals_in(folder, rules=rules) as place:
        fill(place)
        yield place


def door(incidents: Incidents, place: Place) -> ASGIApp:
    app = FastAPI()
    install_problems(app)
    app.include_router(rootcause_router(incidents))
    return Front(app, telemetry=place.telemetry, max_body_bytes=2**24)


def question(**more: Any) -> dict[str, Any]:
    """Ask about the whole shop, with its graph and an alarm at its web; None takes a field away."""
    asked = {
        "from": BEGIN_S,
        "to": END_S,
        "history_hours": 1.5,
        "labels": ["env:production"],
        "metric_label": "metric",
        "alarmed_service": "web",
        "alarmed_metric": "latency",
        "edges": [{"from": caller, "to": callee} for caller, callee in EDGES],
        **more,
    }
    return {name: value for name, value in asked.items() if value is not None}


def ask(app: ASGIApp, body: Any) -> Answer:
    return call(app, "POST", "/api/v1/rootcause", body)
