"""Somebody else holds the write lock of the database: writers are told so, readers notice nothing."""

import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from atalaia.connectors.atalaia import TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, assert_problem, wave
from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow


@contextmanager
def held(database: Path) -> Generator[None]:
    """Hold the write lock, as a backup or a person with a shell may."""
    with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def send(http: httpx.Client, number: int) -> httpx.Response:
    body = {"points": [{"series_id": "a", "timestamp": START_S + number, "value": float(number)}]}
    return http.post("/api/v1/points", json=body)


def test_a_locked_database_refuses_points_and_goes_on_predicting(tmp_path: Path) -> None:
    with Server(tmp_path / "data", busy_timeout_s=0.5) as server, server.http() as http, server.client() as client:
        key = ModelKey(Scope.SERIES, "pump")
        client.points.add(wave(500, "pump"))
        job = client.jobs.wait(client.training.start(key, TrainingConfig(24)).job_id, timeout_s=60)
        client.models.promote(key, job.model_version or "")
        assert client.predict("pump", 99.0, START_S).anomaly
        send(http, 0).raise_for_status()
        until(lambda: client.health().scoring_lag_rows == 0, "the points to be scored")

        with held(tmp_path / "data" / "atalaia.db"):
            began = time.monotonic()
            refused = send(http, 1)
            assert time.monotonic() - began < 5
            assert_problem(refused, 503, "database_busy")
            assert int(refused.headers["retry-after"]) >= 1
            assert_problem(http.post("/api/v1/training/pump", json={}), 503, "database_busy")
            answer = client.predict("pump", 99.0, START_S)
            assert answer.anomaly
            assert answer.model_info is not None
            assert answer.model_info.loaded_from == "mlflow"
            assert client.predict("a", 1.0, START_S).confidence == "low"
            assert client.series.get("a").received == 1
            assert client.health().status == "ok"
        send(http, 2).raise_for_status()
        kept = [point.value for point in client.series.points("a").points]
        assert kept == [0.0, 2.0], "what was refused was not kept"
        until(lambda: client.series.get("a").received == 2, "the points to be scored")
    assert server.log.read_text().count("unexpected") == 0


def test_points_wait_for_a_short_lock(tmp_path: Path) -> None:
    with Server(tmp_path / "data", busy_timeout_s=10) as server, server.http() as http:
        send(http, 0).raise_for_status()
        answers: list[int] = []
        writer = threading.Thread(target=lambda: answers.append(send(http, 1).status_code))
        with held(tmp_path / "data" / "atalaia.db"):
            writer.start()
            time.sleep(1.0)
            assert answers == []
        writer.join(20)
        assert answers == [200]
