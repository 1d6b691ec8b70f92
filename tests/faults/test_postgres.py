"""PostgreSQL stops, starts again, is full or is paused: predictions go on, nothing acknowledged is lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from tests.faults.outages import (
    KEY,
    SETTINGS,
    Sender,
    assert_goes_on,
    assert_nothing_lost,
    assert_refused,
    assert_scraped,
    running_roles,
)
from tests.journeys.measurements import START_S
from tests.journeys.servers import Server, until
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(parts_folder: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL of our own, with few connections, that may be stopped."""
    with Postgres(parts_folder / "postgres-to-stop", connections=40) as part:
        yield part


@pytest.fixture
def roles(server: Postgres, tmp_path: Path) -> Iterator[dict[str, Server]]:
    """Run a site on a database of its own."""
    with running_roles(server.new_database(), tmp_path) as found:
        yield found


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
            assert_scraped(roles)
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
