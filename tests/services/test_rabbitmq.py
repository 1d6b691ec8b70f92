"""Roles apart, trainings woken by RabbitMQ: accepted whatever the broker does, done once it is there."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import wave
from tests.journeys.servers import Server, metric, run_cli, until
from tests.parts.rabbitmq import RabbitMq

pytestmark = pytest.mark.slow
KEYS = [ModelKey(Scope.SERIES, f"hall 2/pump {number}") for number in range(6)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMq) -> Iterator[dict[str, Server]]:
    settings: dict[str, Any] = {"lifecycle__cooldown_s": 0, "schedule_every_s": 0.5, "broker_url": rabbitmq.url}
    folder = tmp_path_factory.mktemp("site") / "data"
    with ExitStack() as stack:
        roles = {role: Server(folder, role=role, **settings) for role in ("api", "worker", "scheduler")}
        for server in roles.values():
            stack.enter_context(server)
        yield roles


@pytest.fixture(scope="module")
def api(servers: dict[str, Server]) -> Iterator[Client]:
    with servers["api"].client() as client:
        for key in KEYS:
            client.points.add(wave(400, key.name))
        until(lambda: all(client.series.get(key.name).received == 400 for key in KEYS), "the points to be scored")
        yield client


def attempts(server: Server, how: str) -> float:
    with server.http() as http:
        return metric(http.get("/metrics").text, "jobs_attempted_total", kind="train", how=how)


def test_trainings_are_done_once_each(api: Client, servers: dict[str, Server]) -> None:
    before = attempts(servers["worker"], "completed")
    jobs = [api.training.start(key, TrainingConfig(48)) for key in KEYS]
    done = [api.jobs.wait(job.job_id, timeout_s=60) for job in jobs]
    assert [job.error for job in done] == [None] * len(KEYS)
    assert [job.model_version for job in done] == ["v1"] * len(KEYS)
    assert [job.attempts for job in done] == [1] * len(KEYS)
    until(lambda: attempts(servers["worker"], "completed") - before >= len(KEYS), "the worker to count them")
    assert attempts(servers["worker"], "broken") == 0


def test_trainings_are_accepted_while_the_broker_is_away(
    api: Client, servers: dict[str, Server], rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    (tmp_path / "atalaia.toml").write_text(f'broker_url = "{rabbitmq.url}"\n')

    def doctor() -> tuple[int, str]:
        server = servers["api"]
        told = run_cli("doctor", "--data-dir", str(server.data_dir), cwd=tmp_path, url=server.url, check=False)
        return told.returncode, told.stdout

    rabbitmq.stop()
    try:
        jobs = [api.training.start(key, TrainingConfig(48)) for key in KEYS]
        status, told = doctor()
    finally:
        rabbitmq.start()
    done = [api.jobs.wait(job.job_id, timeout_s=60) for job in jobs]
    assert {job.status for job in done} == {"completed"}
    assert {job.attempts for job in done} == {1}
    assert status != 0
    assert "start RabbitMQ" in told
    status, told = doctor()
    assert status == 0, told


def test_how_many_wake_ups_wait_is_a_metric(api: Client, servers: dict[str, Server]) -> None:
    with servers["scheduler"].http() as http:
        until(lambda: metric(http.get("/metrics").text, "jobs_queue_messages") == 0, "the queue to be empty")


def test_no_role_complained(api: Client, servers: dict[str, Server]) -> None:
    for server in servers.values():
        assert "Traceback" not in server.log.read_text()
