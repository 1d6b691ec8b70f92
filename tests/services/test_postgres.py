"""The central journey on PostgreSQL: in one process, and as one process a role, straight and through PgBouncer."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, STEP_S, wave
from tests.journeys.servers import Server, until
from tests.parts.postgres import PgBouncer, Postgres

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.SERIES, "hall 2/pump")
SERIES = KEY.name
ROLES = ("api", "worker", "predictor", "scheduler")
SETTINGS: dict[str, Any] = {
    "lifecycle__cooldown_s": 0,
    "schedule_every_s": 0.2,
    "signals__compact_after_points": 1_000,
    "signals__store_memory_s": 0.5,
}


def version_told(predictor: Client) -> str | None:
    told = predictor.predict(SERIES, 99.0, START_S + 5_000 * STEP_S).model_info
    return told.version if told is not None else None


def go_the_whole_way(api: Client, predictor: Client) -> None:
    """Ingest, score, train, promote, predict, find the anomaly, and have the history compacted."""
    api.points.add(wave(2_000, SERIES))
    until(lambda: api.series.get(SERIES).received == 2_000, "the points to be scored", timeout_s=20)
    for version in ("v1", "v2"):
        job = api.jobs.wait(api.training.start(KEY, TrainingConfig(48)).job_id, timeout_s=60)
        assert (job.status, job.model_version) == ("completed", version)
        api.models.promote(KEY, version)
        until(lambda: version_told(predictor) == version, f"the predictor to know {version}", timeout_s=10)  # noqa: B023
    assert [found.stage for found in api.models.get(KEY).versions] == ["Production", "Archived"]
    answer = predictor.predict(SERIES, 99.0, START_S + 5_000 * STEP_S)
    assert answer.anomaly
    time.sleep(1.5)  # the worker looks for promotions by others every second
    strange = wave(30, SERIES, start=2_000)
    strange.values[10:20] += 100.0
    api.points.add(strange)
    found = until(lambda: api.anomalies.list(series_id=SERIES).items, "the anomaly", timeout_s=20)
    assert (found[0].model.version, found[0].points >= 1) == ("v2", True)
    api.anomalies.give_feedback(found[0].anomaly_id, "useful", "")
    job = api.jobs.wait(api.training.start(KEY, TrainingConfig(48, "auto")).job_id, timeout_s=60)
    assert (job.result or {})["selection"]["said"] == 1
    until(
        lambda: [job for job in api.jobs.list(status="completed").items if job.kind == "compact_history"],
        "the history to be compacted",
        timeout_s=20,
    )
    kept = api.series.points(SERIES, from_=START_S, limit=10_000).points
    assert len(kept) == 2_030


def test_one_process_on_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database().replace("postgresql+psycopg://", "postgresql://")
    with Server(tmp_path / "data", database_url=url, **SETTINGS) as server, server.client() as client:
        go_the_whole_way(client, client)
        server.stop()
        server.start()
        assert client.series.get(SERIES).received == 2_030
        assert version_told(client) == "v2"
    assert "Traceback" not in server.log.read_text()
    assert not (tmp_path / "data" / "atalaia.db").exists()


@pytest.mark.parametrize("through_a_pool", [False, True])
def test_four_processes_on_postgresql_work_as_one(
    tmp_path: Path, postgres: Postgres, pgbouncer: PgBouncer, through_a_pool: bool
) -> None:
    url = postgres.new_database()
    url = pgbouncer.url(url) if through_a_pool else url
    with ExitStack() as stack:
        servers = {role: Server(tmp_path / "data", role=role, database_url=url, **SETTINGS) for role in ROLES}
        for server in servers.values():
            server.start(wait=False)  # all at once on an empty database: one makes the schema
            stack.push(server)
        for server in servers.values():
            server.wait_ready()
        api = stack.enter_context(servers["api"].client())
        predictor = stack.enter_context(servers["predictor"].client())
        go_the_whole_way(api, predictor)
    for server in servers.values():
        assert "Traceback" not in server.log.read_text()


def test_of_two_schedulers_one_leads_and_the_other_follows_when_it_is_gone(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new_database()
    settings: dict[str, Any] = {**SETTINGS, "database_url": url}
    first = Server(tmp_path / "one", role="scheduler", **settings)
    second = Server(tmp_path / "two", role="scheduler", **settings)

    def leader() -> str:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            found = connection.execute("SELECT owner FROM leases WHERE name = 'scheduler' AND until > 0").fetchone()
        return found[0].split(":")[1] if found else ""

    with second:
        with first:
            led = until(leader, "one of them to lead")
            by_pid = {str(server.pid): server for server in (first, second)}
            assert led in by_pid
            time.sleep(1)
            assert leader() == led
            logs = [server.log.read_text().count('"leading"') for server in (first, second)]
            assert sorted(logs) == [0, 1]
            other = next(server for pid, server in by_pid.items() if pid != led)
            other_pid = str(other.pid)
            by_pid[led].kill()
            began = time.monotonic()
            until(lambda: leader() == other_pid, "the other one to lead")
            print(f"the other scheduler led after {time.monotonic() - began:.1f} s")
            by_pid[led].start()
            time.sleep(1)
            assert leader() == other_pid
