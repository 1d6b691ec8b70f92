"""How the crash tests kill a service, count, and check that nothing of it was lost or doubled."""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np

from atalaia.connectors.atalaia import Client, Columns, SeenPoint
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from tests.connectors.prometheus.messages import body_of
from tests.journeys.measurements import START_S, STEP_S
from tests.journeys.servers import NO_RETRY, Server, until

KILLS = 8
_PROTOS = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request")
SETTINGS: dict[str, Any] = {
    "job_lease_s": 1,
    "job_backoff_s": 0.1,
    "schedule_every_s": 0.1,
    "lifecycle__cooldown_s": 0,
    "signals__compact_after_points": 20_000,
    "signals__block_fan_in": 2,
    "serving__log_predictions": "false",
}


@contextmanager
def killed_after(server: Server, delay_s: float) -> Generator[None]:
    """Kill the service `delay_s` after the block began, whatever the block does then; it ends with the kill."""
    timer = threading.Timer(delay_s, server.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def attempt(act: Callable[[], Any]) -> Any:
    """Return what `act` answers, None when the service was gone before it did."""
    try:
        return act()
    except Unavailable as error:
        if error.code != "unreachable":
            raise
        return None


def is_quiet(client: Client) -> bool:
    """Say whether every accepted point is scored and no job waits or runs."""
    busy = [job for status in ("queued", "processing") for job in client.jobs.list(status=status).items]
    return client.health().scoring_lag_rows == 0 and not busy


@dataclass
class Diary:
    """What one writer was told, point by point.

    Attributes
    ----------
    values
        For each series, the value at each of its acknowledged times (point numbers).
    acknowledged
        Points acknowledged, repeats of a time included.
    """

    names: tuple[str, ...]
    batch: int
    overwrite: int = 0
    values: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    sent: int = 0
    acknowledged: int = 0
    retried: int = 0
    _pending: dict[str, list[tuple[int, float]]] = field(default_factory=dict[str, list[tuple[int, float]]])

    def write(self, client: Client) -> bool:
        """Send the next batch, or again the one that was not acknowledged; return whether it was now."""
        if self._pending:
            self.retried += 1
        else:
            self._pending = {name: self._next(position) for position, name in enumerate(self.names)}
        pairs = [(name, at, value) for name, points in self._pending.items() for at, value in points]
        stamps = (START_S + np.array([at for _, at, _ in pairs], np.int64) * STEP_S) * MICROS
        columns = Columns([name for name, _, _ in pairs], stamps, np.array([value for _, _, value in pairs]))
        answer = attempt(
            lambda: client.points.add(columns, idempotency_key=f"batch {self.sent} of {self.names[0]}")
        )
        if answer is None:
            return False
        assert answer.accepted == len(pairs)
        for name, at, value in pairs:
            self.values.setdefault(name, {})[at] = value
        self.acknowledged += len(pairs)
        self.sent += 1
        self._pending = {}
        return True

    def check(self, client: Client) -> None:
        """Check that every acknowledged point is there once, with the value that came last, and nothing else."""
        for name in self.names:
            expected = self.values[name]
            kept = everything(client, name)
            at = [(round(point.timestamp.timestamp()) - START_S) // STEP_S for point in kept]
            assert at == sorted(expected), f"{name}: {len(at)} points kept, {len(expected)} acknowledged"
            assert [point.value for point in kept] == [expected[i] for i in at]

    def check_counts(self, client: Client) -> None:
        """Check, once all is scored, that the catalogue has counted every acknowledged point once."""
        until(lambda: is_quiet(client), "all to be scored and done")
        each = self.acknowledged // len(self.names)
        for name in self.names:
            series = client.series.get(name)
            assert series.statistics is not None
            assert (series.received, series.statistics.count) == (each, len(self.values[name]))

    def _next(self, position: int) -> list[tuple[int, float]]:
        first = self.sent * self.batch - min(self.overwrite, self.sent * self.batch)
        at = range(first, (self.sent + 1) * self.batch)
        return [(i, float(i % 1440) + position / 4 + self.sent / 1000) for i in at]


@dataclass
class WrittenDiary:
    """What a sender of remote write was told; what was not acknowledged is sent again, as Prometheus does."""

    metric: str
    series: int = 40
    batch: int = 5
    sent: int = 0

    def write(self, http: httpx.Client) -> bool:
        """Send the next batch, of all series, until it is acknowledged; return whether it was."""
        at = range(self.sent * self.batch, (self.sent + 1) * self.batch)
        rows = [(self._labels(i), [(self._value(i, k), self._millis(k)) for k in at]) for i in range(self.series)]
        body = bytes(cramjam.snappy.compress_raw(body_of(1 + self.sent % 2, rows)))
        media = f"application/x-protobuf;proto={_PROTOS[self.sent % 2]}"
        try:
            answer = http.post("/api/v1/write", content=body, headers={"content-type": media})
        except httpx.TransportError:
            return False
        if answer.status_code in (429, 503):
            return True  # told to come again
        assert answer.status_code == 204, answer.text
        self.sent += 1
        return True

    def check(self, client: Client) -> None:
        """Check that every acknowledged point is there once and was learnt once, and that nothing else is there."""
        count = self.sent * self.batch
        for i in range(self.series):
            name = f'{self.metric}{{i="{i}"}}'
            kept = everything(client, name)
            assert [round(point.timestamp.timestamp() * 1000) for point in kept] == [
                self._millis(k) for k in range(count)
            ]
            assert [point.value for point in kept] == [self._value(i, k) for k in range(count)]
            series = client.series.get(name)
            assert series.statistics is not None
            assert (series.statistics.count, series.labels["i"]) == (count, str(i))
            assert series.received >= count  # what was not acknowledged may have been kept all the same

    def _labels(self, i: int) -> list[tuple[str, str]]:
        return [("__name__", self.metric), ("i", str(i))]

    def _millis(self, k: int) -> int:
        return (START_S + k * STEP_S) * 1000

    def _value(self, i: int, k: int) -> float:
        return float(k % 1440) + i / 64


def everything(client: Client, series_id: str) -> list[SeenPoint]:
    """Return all points of a series."""
    kept: list[SeenPoint] = []
    cursor = None
    while True:
        page = client.series.points(series_id, from_=START_S, limit=100_000, cursor=cursor)
        kept += page.points
        cursor = page.next
        if cursor is None:
            return kept


def restart_until_ready(server: Server, rng: np.random.Generator, *, may_die: float = 0.15) -> int:
    """Start the service; now and then kill it while it starts. Return how often that was."""
    died = 0
    while rng.random() < may_die:
        server.start(wait=False)
        time.sleep(rng.uniform(0.1, 1.0))
        server.kill()
        died += 1
    server.start()
    return died


def one_try(server: Server) -> Client:
    """Return a client that says at once when the service is gone."""
    return server.client(retry=NO_RETRY, timeout_s=60)


def champions(data_dir: Path) -> dict[str, str]:
    """Return, by registered name, our version name of what MLflow calls the champion."""
    query = """select a.name, t.value from registered_model_aliases a join model_version_tags t
               on t.name = a.name and t.version = a.version and t.key = 'version' where a.alias = 'champion'"""
    connection = sqlite3.connect(data_dir / "mlflow" / "mlflow.db")
    try:
        return dict(connection.execute(query).fetchall())
    finally:
        connection.close()
