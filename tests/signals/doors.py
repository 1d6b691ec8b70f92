"""The doors of signals as the server puts them up."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

from atalaia.connectors.prometheus import RemoteWriteDoor, WriteLimits, write_router
from atalaia.kit.logs import EventLog
from atalaia.kit.web.hot import HotFront
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.signals.api import anomalies_router, catalogue_router, points_router
from atalaia.signals.doors import PointDoors
from atalaia.signals.threshold_api import thresholds_router
from tests.signals.builders import Place


def write_door(place: Place, **limits: Any) -> RemoteWriteDoor:
    """Return the door of remote write."""
    settings = place.signals.settings
    ahead, most = settings.max_ahead_s, settings.max_new_series
    limited = WriteLimits(max_points=settings.max_batch_points, **limits)
    at = (place.signals, place.telemetry, limited, place.signals.privacy)
    return RemoteWriteDoor(*at, max_ahead_s=ahead, max_new_series=most)


def app_of(
    place: Place,
    *,
    max_body_bytes: int = 2**25,
    is_hot: bool = True,
    routers: Sequence[APIRouter] = (),
    **limits: Any,
) -> HotFront:
    """Return all doors and those of more `routers`, the hot ones in front unless told otherwise."""
    app = FastAPI()
    install_problems(app)
    doors, written = PointDoors(place.signals), write_door(place, **limits)
    app.include_router(points_router(place.signals, doors))
    app.include_router(write_router(written))
    for router in (catalogue_router, anomalies_router, thresholds_router):
        app.include_router(router(place.signals))
    for router in routers:
        app.include_router(router)
    front = Front(app, telemetry=place.telemetry, max_body_bytes=max_body_bytes)
    routes = [*doors.routes(), *written.routes()] if is_hot else []
    sizes: dict[str, Any] = {"max_body_bytes": max_body_bytes, "max_inflight_bytes": 8 * max_body_bytes}
    return HotFront(front, routes, telemetry=place.telemetry, events=EventLog(), gate=None, **sizes)
