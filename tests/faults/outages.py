"""A site of three roles on PostgreSQL, and points that are sent to it all the time, for tests of its outages."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, assert_problem, wave
from tests.journeys.servers import Server, until

KEY = ModelKey(Scope.SERIES, "pump")
SETTINGS: dict[str, Any] = {
    "busy_timeout_s": 2,
    "database__connect_timeout_s": 2,
    "database__statement_timeout_s": 3,
    "schedule_every_s": 0.5,
    "lifecycle__cooldown_s": 0,
    "signals__store_memory_s": 0.3,
}


ROLES = ("api", "worker", "predictor")


@contextmanager
def running_roles(url: str, folder: Path, **more: Any) -> Generator[dict[str, Server]]:
    """Run an API with a worker's helper, and a predictor with a model, on a database."""
    with ExitStack() as stack:
        settings = {**SETTINGS, **more}
        found = {role: Server(folder / "data", role=role, database_url=url, **settings) for role in ROLES}
        for one in found.values():
            stack.push(one)
            one.start()
        client = stack.enter_context(found["api"].client())
        client.points.add(wave(500, KEY.name))
        job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
        client.models.promote(KEY, job.model_version or "")
        with found["predictor"].client() as predictor:
            until(lambda: source_of(predictor) in ("mlflow", "local_cache"), "the predictor to have the model")
        yield found


def source_of(predictor: Client) -> str | None:
    answer = predictor.predict(KEY.name, 99.0, START_S)
    return answer.model_info.loaded_from if answer.model_info else None


def send(http: httpx.Client, number: int) -> httpx.Response:
    body = {"points": [{"series_id": "sent", "timestamp": START_S + number, "value": float(number)}]}
    return http.post("/api/v1/points", json=body, headers={"Idempotency-Key": f"n{number}"})


class Sender:
    """Sends points one after the other, each until it is acknowledged, and notes what it was told."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.acknowledged: list[int] = []
        self.refused: list[httpx.Response] = []
        self.last_s = time.monotonic()

    def __enter__(self) -> "Sender":
        self._thread.start()
        until(lambda: len(self.acknowledged) > 5, "the sender to begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        number = 0
        with self._server.http() as http:
            while not self._stop.is_set():
                answer = send(http, number)
                if answer.status_code == 200:
                    self.acknowledged.append(number)
                    self.last_s = time.monotonic()
                    number += 1
                    time.sleep(0.02)
                else:
                    self.refused.append(answer)
                    time.sleep(0.1)

    def recovered_s(self, since: float) -> float:
        """Return how long it took from a moment until something was acknowledged again."""
        count = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > count + 3, "points to be taken again", timeout_s=60)
        return self.last_s - since


def assert_goes_on(roles: dict[str, Server], during: Callable[[], Any] = int) -> None:
    """Check that loaded models answer, quickly, and that the predictor is ready."""
    during()
    with roles["predictor"].http() as http:
        for _ in range(10):
            began = time.monotonic()
            answer = http.post("/api/v1/predict/pump", json={"timestamp": START_S, "value": 99.0})
            assert answer.json().get("anomaly") is True, answer.text
            assert answer.json()["model_info"]["version"] == "v1"
            assert time.monotonic() - began < 1
        assert http.get("/api/v1/readiness").status_code == 200
        assert http.get("/api/v1/liveness").status_code == 200


def assert_scraped(roles: dict[str, Server]) -> None:
    """Check that metrics are told sooner than the ten seconds that Prometheus waits; what nobody knows is NaN."""
    for role in roles.values():
        with role.http() as http:
            began = time.monotonic()
            told = http.get("/metrics").raise_for_status().text
            assert time.monotonic() - began < 5
            assert "\ntraining_queue_depth NaN\n" in told
            assert "\nscoring_lag_rows NaN\n" in told


def assert_refused(sender: Sender) -> None:
    until(lambda: sender.refused, "points to be refused", timeout_s=30)
    for refused in sender.refused:
        assert_problem(refused, 503, refused.json()["code"])
        assert refused.json()["code"] in ("database_unavailable", "database_busy")
        assert int(refused.headers["retry-after"]) >= 1


def assert_nothing_lost(roles: dict[str, Server], sender: Sender) -> None:
    with roles["api"].client() as client:
        until(lambda: client.health().scoring_lag_rows == 0, "the points to be scored")
        kept = [point.value for point in client.series.points("sent", limit=100_000).points]
        assert kept == [float(number) for number in sender.acknowledged] or kept[:-1] == [
            float(number) for number in sender.acknowledged
        ]
        until(lambda: client.series.get("sent").received >= len(kept), "the worker to tell what it counted")
        assert client.series.get("sent").received == len(kept), "an Idempotency-Key is used up once"
