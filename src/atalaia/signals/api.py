"""HTTP doors of signals."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from atalaia.algorithms.buckets import Buckets
from atalaia.core.anomalies import AnomalyState
from atalaia.core.clock import isoformat
from atalaia.core.points import Points
from atalaia.kit.auth.permissions import needs
from atalaia.kit.cursors import decode_cursor, encode_cursor
from atalaia.kit.idempotency import once
from atalaia.kit.web.hot import through
from atalaia.kit.web.wire import Cursor, From, IdempotencyKey, Limit, Time, time_query
from atalaia.signals import schemas
from atalaia.signals.doors import PointDoors
from atalaia.signals.service import Signals

_Label = Annotated[str, Field(max_length=512)]
_POINTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/PointRows"},
                        {"$ref": "#/components/schemas/PointColumns"},
                        {"$ref": "#/components/schemas/PointNumbers"},
                    ]
                }
            },
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def points_router(signals: Signals, doors: PointDoors) -> APIRouter:
    """Return the doors through which points come and go."""
    router = APIRouter(prefix="/api/v1", tags=["points"])

    @router.post("/points", response_model=schemas.Accepted, openapi_extra=_POINTS_BODY)
    @needs("points.write")
    async def add_points(request: Request, key: IdempotencyKey = None) -> Response:
        """Keep points. The answer comes once they are durable; the same point twice is kept once, the last wins."""
        return await through(doors.points, request)

    @router.get("/series/{series_id:id}/points", response_model_exclude_none=True)
    @needs("points.read")
    def read_points(
        series_id: str,
        start: From = None,
        to: Time = None,
        buckets: Annotated[int | None, Query(ge=1, le=10_000)] = None,
        limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000,
        cursor: Cursor = None,
    ) -> schemas.PointsOut:
        """Read stored points, aggregated into buckets or one by one."""
        from_us, to_us = time_query(start, "from"), time_query(to, "to")
        if buckets is not None:
            return _buckets_out(series_id, *signals.buckets(series_id, from_us, to_us, buckets))
        return _points_out(series_id, *signals.points(series_id, from_us, to_us), cursor, limit)

    return router


def catalogue_router(signals: Signals) -> APIRouter:
    """Return the doors of series and fleets."""
    router = APIRouter(prefix="/api/v1", tags=["series"])
    _add_series(router, signals)
    _add_fleets(router, signals)
    return router


def _add_series(router: APIRouter, signals: Signals) -> None:
    @router.get("/series")
    @needs("series.read")
    def list_series(
        label: Annotated[
            list[_Label],
            Query(default_factory=list, max_length=16, description="`name:value`; several: all of them."),
        ],
        fleet_id: str | None = None,
        prefix: str | None = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> schemas.SeriesPage:
        """List series in order of id."""
        with signals.database.read() as session:
            items, following = signals.list_series(
                session, fleet_id=fleet_id, prefix=prefix, labels=label, cursor=cursor, limit=limit
            )
        return schemas.SeriesPage(items=[schemas.SeriesOut.of(series) for series in items], next=following)

    @router.post("/series/resolve")
    @needs("points.write")
    def resolve_series(body: schemas.ResolveIn) -> schemas.Resolved:
        """Learn the numbers of series; new ones are added. Numbers never change: points may name series by them."""
        with signals.database.write() as session:
            numbers, created = signals.resolve(session, body.series_ids)
        return schemas.Resolved(series=numbers, created=created)

    @router.get("/series/{series_id:id}")
    @needs("series.read")
    def get_series(series_id: str) -> schemas.SeriesOut:
        """Show one series."""
        with signals.database.read() as session:
            return schemas.SeriesOut.of(signals.series(session, series_id))

    @router.patch("/series/{series_id:id}")
    @needs("series.write")
    def label_series(series_id: str, body: schemas.LabelsIn) -> schemas.SeriesOut:
        """Set or remove labels of a series."""
        with signals.database.write() as session:
            return schemas.SeriesOut.of(signals.label(session, series_id, body.labels))


def _add_fleets(router: APIRouter, signals: Signals) -> None:
    @router.get("/fleets")
    @needs("series.read")
    def list_fleets(cursor: Cursor = None, limit: Limit = 100) -> schemas.FleetPage:
        """List fleets in order of id."""
        with signals.database.read() as session:
            items, following = signals.list_fleets(session, cursor=cursor, limit=limit)
        fleets = [
            schemas.FleetOut(fleet_id=f.fleet_id, source=f.source, series_count=f.series_count) for f in items
        ]
        return schemas.FleetPage(items=fleets, next=following)

    @router.get("/fleets/{fleet_id:id}")
    @needs("series.read")
    def get_fleet(fleet_id: str) -> schemas.FleetOut:
        """Show one fleet and its series."""
        with signals.database.read() as session:
            fleet, members = signals.fleet(session, fleet_id)
        return schemas.FleetOut(
            fleet_id=fleet_id, source=fleet.source, series_count=len(members), series=members[:1_000]
        )

    @router.put("/fleets/{fleet_id:id}")
    @needs("series.write")
    def set_fleet(fleet_id: str, body: schemas.FleetIn) -> schemas.FleetOut:
        """Make exactly these series the members of a fleet."""
        with signals.database.write() as session:
            fleet = signals.catalogue.set_fleet(session, fleet_id, signals.privacy.series_ids(body.series_ids))
        return schemas.FleetOut(fleet_id=fleet_id, source="hand", series_count=fleet.series_count)


def anomalies_router(signals: Signals) -> APIRouter:
    """Return the doors of anomalies."""
    router = APIRouter(prefix="/api/v1", tags=["anomalies"])

    @router.get("/anomalies")
    @needs("anomalies.read")
    def list_anomalies(
        series_id: str | None = None,
        start: From = None,
        to: Time = None,
        state: Literal["open", "closed"] | None = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> schemas.AnomalyPage:
        """List anomalies that overlap a range, newest first."""
        with signals.database.read() as session:
            items, following = signals.anomalies.page(
                session,
                series_id=None if series_id is None else signals.privacy.series_id(series_id),
                from_us=time_query(start, "from"),
                to_us=time_query(to, "to"),
                state=None if state is None else AnomalyState(state),
                cursor=cursor,
                limit=limit,
            )
        return schemas.AnomalyPage(items=[schemas.AnomalyOut.of(anomaly) for anomaly in items], next=following)

    @router.get("/anomalies/{anomaly_id:id}")
    @needs("anomalies.read")
    def get_anomaly(anomaly_id: str) -> schemas.AnomalyOut:
        """Show one anomaly."""
        with signals.database.read() as session:
            return schemas.AnomalyOut.of(signals.anomalies.get(session, anomaly_id))

    @router.post("/anomalies/{anomaly_id:id}/feedback", status_code=201)
    @needs("anomalies.judge")
    def give_feedback(anomaly_id: str, body: schemas.FeedbackIn, key: IdempotencyKey = None) -> schemas.FeedbackOut:
        """Say what an anomaly was worth; the threshold of its series follows, see its `threshold`."""
        with signals.database.write() as session:

            def act() -> dict[str, Any]:
                said, change_id = signals.anomalies.give_feedback(session, anomaly_id, body.kind, body.note)
                return schemas.feedback_out(said, change_id).model_dump(mode="json")

            route = f"POST /anomalies/{anomaly_id}/feedback"
            return schemas.FeedbackOut(**once(session, key, route, body.model_dump_json().encode(), act))

    return router


def _buckets_out(series_id: str, start: int, end: int, found: Buckets) -> schemas.PointsOut:
    columns = (found.start, found.end, found.count, found.min, found.mean, found.max)
    buckets = [
        schemas.BucketOut.model_validate(
            {"from": isoformat(a), "to": isoformat(b), "count": n, "min": low, "mean": mean, "max": high}
        )
        for a, b, n, low, mean, high in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return schemas.PointsOut.model_validate(
        {"series_id": series_id, "from": isoformat(start), "to": isoformat(end), "buckets": buckets}
    )


def _points_out(
    series_id: str, start: int, end: int, found: Points, cursor: str | None, limit: int
) -> schemas.PointsOut:
    keys = decode_cursor(cursor, int)
    if keys:
        found = found.take(found.timestamps > keys[0])
    stamps, values = found.timestamps[:limit].tolist(), found.values[:limit].tolist()
    points = [
        schemas.PointOut(timestamp=isoformat(stamp), value=value)
        for stamp, value in zip(stamps, values, strict=True)
    ]
    following = encode_cursor(stamps[-1]) if len(found) > limit else None
    return schemas.PointsOut.model_validate(
        {
            "series_id": series_id,
            "from": isoformat(start),
            "to": isoformat(end),
            "points": points,
            "next": following,
        }
    )
