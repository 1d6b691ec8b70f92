"""PostgreSQL stops, starts again, is full or is paused: predictions go on, nothing acknowledged is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, assert_problem, wave
from tests.journeys.servers import Server, until
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.SERIES, "pump")
SETTINGS: dict[str, Any] = {
    "busy_timeout_s": 2,
    "database__connect_timeout_s": 2,
    "database__statement_timeout_s": 3,
    "schedule_every_s": 0.5,
    "lifecycle__cooldown_s": 0,
    "signals__store_memory_s": 0.3,
}


@pytest.fixture(scope="module")
def server(parts_folder: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL of our own, with few connections, that may be stopped."""
    with Postgres(parts_folder / "postgres-to-stop", connections=40) as part:
        yield part


@pytest.fixture
def roles(server: Postgres, tmp_path: Path) -> Iterator[dict[str, Server]]:
    """Run an API with a worker's helper, and a predictor with a model, on the database."""
    url = server.new_database()
    with ExitStack() as stack:
        found = {role: Server(tmp_path / "data", role=role, database_url=url, **SETTINGS) for role in ROLES}
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


ROLES = ("api", "worker", "predictor")


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


def processes(server: Postgres) -> list[psutil.Process]:
    """Return the server's processes, the one that makes the others first."""
    first = psutil.Process(server.pid)
    return [first, *first.children(recursive=True)]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_database_that_ends_and_comes_back(server: Postgres, roles: dict[str, Server], how: str) -> None:
    with Sender(roles["api"]) as sender:
        getattr(server, how)()
        assert_refused(sender)
        assert_goes_on(roles)
        with roles["api"].http() as http:
            assert http.get("/health").json()["problem"] == "database_unavailable"
            assert http.get("/api/v1/readiness").status_code == 503
            assert http.get("/metrics").status_code == 200
        server.start()
        back = sender.recovered_s(time.monotonic())
        print(f"after a {how}: points were taken again {back:.2f} s after the database answered")
        assert back < 10
    assert_nothing_lost(roles, sender)


def test_a_restart_is_hardly_noticed(server: Postgres, roles: dict[str, Server]) -> None:
    with Sender(roles["api"]) as sender:
        for _ in range(3):
            server.restart()
            back = sender.recovered_s(time.monotonic())
            print(f"after a restart: {back:.2f} s, {len(sender.refused)} refused so far")
            assert back < 10
    assert_nothing_lost(roles, sender)


def test_a_database_without_free_connections(server: Postgres, roles: dict[str, Server]) -> None:
    with Sender(roles["api"]) as sender, ExitStack() as stack:
        take_all_connections(server, stack)
        assert_refused(sender)
        assert_goes_on(roles)
        stack.close()
        back = sender.recovered_s(time.monotonic())
        print(f"after connections were free: {back:.2f} s")
        assert back < 10
    assert_nothing_lost(roles, sender)


def take_all_connections(server: Postgres, stack: ExitStack) -> None:
    """Take every connection that there is, those of the service too, and keep them until `stack` is closed."""
    dsn = server.url().replace("+psycopg", "")
    first = stack.enter_context(closing(psycopg.connect(dsn, autocommit=True)))
    theirs = "FROM pg_stat_activity WHERE datname <> current_database() AND datname IS NOT NULL"
    deadline = time.monotonic() + 20
    quiet = 0
    while quiet < 10 and time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(closing(psycopg.connect(dsn)))
        ended = first.execute(f"SELECT pg_terminate_backend(pid) {theirs}".encode()).fetchall()
        quiet = 0 if ended else quiet + 1
    assert quiet == 10, "the service still has connections"


def test_a_database_that_says_nothing(server: Postgres, roles: dict[str, Server]) -> None:
    with Sender(roles["api"]) as sender:
        paused = processes(server)
        for process in paused:
            process.suspend()
        began = time.monotonic()
        try:
            until(lambda: sender.refused, "points to be refused", timeout_s=30)
            print(f"points were refused {time.monotonic() - began:.2f} s after the database said no more")
            assert_goes_on(roles)
            assert_refused(sender)
        finally:
            for process in paused:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        back = sender.recovered_s(time.monotonic())
        print(f"after the pause: {back:.2f} s")
        assert back < 15
    assert_nothing_lost(roles, sender)


def test_a_predictor_starts_without_the_database_from_what_it_remembers(
    server: Postgres, roles: dict[str, Server]
) -> None:
    predictor = roles["predictor"]
    predictor.stop()
    server.stop()
    try:
        predictor.start()
        print(f"a predictor was ready {predictor.ready_s[-1]:.1f} s after its start without the database")
        assert_goes_on(roles)
    finally:
        server.start()
    with roles["api"].client() as client, predictor.client() as asks:
        until(lambda: client.health().status == "ok", "the database to be back")
        job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
        client.models.promote(KEY, job.model_version or "")
        until(lambda: told(asks) == "v2", "the predictor to learn of the promotion", timeout_s=20)


def told(predictor: Client) -> str | None:
    info = predictor.predict(KEY.name, 99.0, START_S).model_info
    return info.version if info else None


def test_a_predictor_that_remembers_nothing_says_why_it_does_not_start(server: Postgres, tmp_path: Path) -> None:
    url = server.new_database()
    server.stop()
    try:
        lone = Server(tmp_path / "data", role="predictor", database_url=url, **SETTINGS)
        with pytest.raises(AssertionError, match="ended with 5"):
            lone.start()
        lone.stop()
        assert "Connection refused" in lone.log.read_text()
        assert "Traceback" not in lone.log.read_text()
    finally:
        server.start()
