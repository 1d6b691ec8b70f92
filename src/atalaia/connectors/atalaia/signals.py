"""The calls about what arrives: points, series, fleets, anomalies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from atalaia.connectors.atalaia.answers import (
    Accepted,
    Anomaly,
    Feedback,
    Fleet,
    Page,
    Resolved,
    SeenPoint,
    Series,
    SeriesBuckets,
    SeriesPoints,
)
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.explanations import AnomalyExplanation, PointExplanation
from atalaia.connectors.atalaia.paging import iterate
from atalaia.connectors.atalaia.requests import Columns, Moment, Point, points_body, query, segment

_POINTS_PAGE = 50_000
"""Points are asked for in large pages: the server reads the rest of the range anew for each."""


class PointCalls:
    """``/points``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, points: Iterable[Point] | Columns, *, idempotency_key: str | None = None) -> Accepted:
        """Send points; they are durable when this returns.

        It is repeated when the service is away for a moment, under one Idempotency-Key, so that nothing is
        counted twice.
        """
        return self._connection.create("/points", Accepted, points_body(points), idempotency_key)


class SeriesCalls:
    """``/series``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        fleet_id: str | None = None,
        prefix: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Series]:
        """Return one page of the catalogue."""
        pairs = [f"{name}:{value}" for name, value in (labels or {}).items()]
        params = query(label=pairs, fleet_id=fleet_id, prefix=prefix, limit=limit, cursor=cursor)
        return self._connection.get("/series", Page[Series], params)

    def iterate(
        self, *, labels: Mapping[str, str] | None = None, fleet_id: str | None = None, prefix: str | None = None
    ) -> Iterator[Series]:
        """Yield every series that matches."""
        return iterate(
            lambda cursor: self.list(labels=labels, fleet_id=fleet_id, prefix=prefix, limit=1000, cursor=cursor)
        )

    def get(self, series_id: str) -> Series:
        """Return one series."""
        return self._connection.get(f"/series/{segment(series_id)}", Series)

    def explain(self, series_id: str, at: Moment | None = None) -> PointExplanation:
        """Return why a series did or did not alarm at a moment, by default at its newest point."""
        path = f"/series/{segment(series_id)}/explanation"
        return self._connection.get(path, PointExplanation, query(at=at))

    def resolve(self, series_ids: Sequence[str]) -> Resolved:
        """Return the numbers of series, by which points may name them; series that are new are added.

        Repeating it adds nothing, so it is repeated when the service is away for a moment.
        """
        return self._connection.ask("/series/resolve", Resolved, {"series_ids": list(series_ids)})

    def label(self, series_id: str, labels: Mapping[str, str | None]) -> Series:
        """Set labels of a series; None takes one away."""
        return self._connection.send("PATCH", f"/series/{segment(series_id)}", Series, {"labels": dict(labels)})

    def points(
        self,
        series_id: str,
        *,
        from_: Moment | None = None,
        to: Moment | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> SeriesPoints:
        """Return one page of stored points, in order of time."""
        params = query(from_=from_, to=to, limit=limit, cursor=cursor)
        return self._connection.get(f"/series/{segment(series_id)}/points", SeriesPoints, params)

    def iterate_points(
        self, series_id: str, *, from_: Moment | None = None, to: Moment | None = None
    ) -> Iterator[SeenPoint]:
        """Yield every stored point of the interval, in order of time."""

        def fetch(cursor: str | None) -> Page[SeenPoint]:
            page = self.points(series_id, from_=from_, to=to, limit=_POINTS_PAGE, cursor=cursor)
            return Page(items=page.points, next=page.next)

        return iterate(fetch)

    def buckets(
        self, series_id: str, buckets: int, *, from_: Moment | None = None, to: Moment | None = None
    ) -> SeriesBuckets:
        """Return the series in `buckets` stretches of equal length, aggregated by the server."""
        params = query(from_=from_, to=to, buckets=buckets)
        return self._connection.get(f"/series/{segment(series_id)}/points", SeriesBuckets, params)


class FleetCalls:
    """``/fleets``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Fleet]:
        """Return one page of the fleets."""
        return self._connection.get("/fleets", Page[Fleet], query(limit=limit, cursor=cursor))

    def iterate(self) -> Iterator[Fleet]:
        """Yield every fleet."""
        return iterate(lambda cursor: self.list(limit=1000, cursor=cursor))

    def get(self, fleet_id: str) -> Fleet:
        """Return one fleet with its first series."""
        return self._connection.get(f"/fleets/{segment(fleet_id)}", Fleet)

    def set(self, fleet_id: str, series_ids: Sequence[str]) -> Fleet:
        """Make a fleet by hand of exactly these series."""
        body = {"series_ids": [*series_ids]}
        return self._connection.send("PUT", f"/fleets/{segment(fleet_id)}", Fleet, body)


class AnomalyCalls:
    """``/anomalies``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        *,
        series_id: str | None = None,
        from_: Moment | None = None,
        to: Moment | None = None,
        state: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Anomaly]:
        """Return one page of the anomalies that touch the interval."""
        params = query(series_id=series_id, from_=from_, to=to, state=state, limit=limit, cursor=cursor)
        return self._connection.get("/anomalies", Page[Anomaly], params)

    def iterate(
        self,
        *,
        series_id: str | None = None,
        from_: Moment | None = None,
        to: Moment | None = None,
        state: str | None = None,
    ) -> Iterator[Anomaly]:
        """Yield every anomaly that matches."""
        fetch = partial(self.list, series_id=series_id, from_=from_, to=to, state=state, limit=1000)
        return iterate(lambda cursor: fetch(cursor=cursor))

    def get(self, anomaly_id: str) -> Anomaly:
        """Return one anomaly."""
        return self._connection.get(f"/anomalies/{segment(anomaly_id)}", Anomaly)

    def explain(self, anomaly_id: str) -> AnomalyExplanation:
        """Return why there is an anomaly, how rare it is, and what looked like it before."""
        return self._connection.get(f"/anomalies/{segment(anomaly_id)}/explanation", AnomalyExplanation)

    def give_feedback(
        self, anomaly_id: str, kind: str, note: str = "", *, idempotency_key: str | None = None
    ) -> Feedback:
        """Say what an anomaly was worth: ``useful``, ``noise`` or ``expected``."""
        body = {"kind": kind, "note": note}
        path = f"/anomalies/{segment(anomaly_id)}/feedback"
        return self._connection.create(path, Feedback, body, idempotency_key)
