"""The four roles as four processes on one data folder."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, STEP_S, assert_problem, wave
from tests.journeys.servers import Server, run_cli, until

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.SERIES, "hall 2/pump")
SERIES = KEY.name
ROLES = ("api", "worker", "predictor", "scheduler")


def version_told(predictor: Client) -> str | None:
    told = predictor.predict(SERIES, 99.0, START_S + 5_000 * STEP_S).model_info
    return told.version if told is not None and told.loaded_from == "mlflow" else None


def test_four_processes_on_one_folder_work_as_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lifecycle__cooldown_s": 0, "schedule_every_s": 0.2}
    settings |= {"signals__compact_after_points": 1_000, "signals__store_memory_s": 0.5}
    with ExitStack() as stack:
        servers = {role: Server(tmp_path / "data", role=role, **settings) for role in ROLES}
        servers["api"].start(wait=False)
        servers["worker"].start(wait=False)
        servers["predictor"].start(wait=False)
        servers["scheduler"].start(wait=False)
        for server in servers.values():
            stack.push(server)
            server.wait_ready()
        api = stack.enter_context(servers["api"].client())
        predictor = stack.enter_context(servers["predictor"].client())
        assert_each_answers_for_its_role(servers)

        api.points.add(wave(2_000, SERIES))
        until(lambda: api.series.get(SERIES).received == 2_000, "the worker to score the points", timeout_s=15)
        assert predictor.predict(SERIES, 99.0, START_S).confidence == "low"
        for version in ("v1", "v2"):
            job = api.jobs.wait(api.training.start(KEY, TrainingConfig(48)).job_id, timeout_s=60)
            assert job.model_version == version
            api.models.promote(KEY, version)
            until(lambda: version_told(predictor) == version, f"the predictor to know {version}", timeout_s=5)  # noqa: B023

        time.sleep(1.5)  # the worker looks for promotions by others every second
        strange = wave(30, SERIES, start=2_000)
        strange.values[10:20] += 100.0
        api.points.add(strange)
        found = until(lambda: api.anomalies.list(series_id=SERIES).items, "the anomaly", timeout_s=15)
        assert (found[0].model.version, found[0].points >= 1) == ("v2", True)
        compacted = until(
            lambda: [job for job in api.jobs.list(status="completed").items if job.kind == "compact_history"],
            "the scheduler to have the history compacted",
            timeout_s=15,
        )
        assert compacted
        kept = api.series.points(SERIES, from_=START_S, limit=10_000).points
        assert len(kept) == 2_030
    for server in servers.values():
        assert "Traceback" not in server.log.read_text()


def assert_each_answers_for_its_role(servers: dict[str, Server]) -> None:
    for role, server in servers.items():
        with server.http() as http:
            assert http.get("/health").json()["roles"] == [role]
            assert http.get("/metrics").status_code == 200
            there = http.get("/api/v1/series").status_code == 200
            assert there == (role == "api")
            if role != "predictor":
                assert_problem(http.post("/api/v1/predict/a", json={"timestamp": 1, "value": 1}), 404, "not_found")


def test_an_unknown_role_is_refused(tmp_path: Path) -> None:
    done = run_cli("run", "emperor", "--data-dir", "data", "--port", "0", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "emperor" in done.stderr
    assert "predictor" in done.stderr


def test_two_predictors_share_a_port_and_each_can_go_alone(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as up, up.client() as client:
        client.points.add(wave(500, SERIES))
        job = client.jobs.wait(client.training.start(KEY, TrainingConfig(48)).job_id, timeout_s=60)
        client.models.promote(KEY, job.model_version or "")
    first, second = (Server(tmp_path / "data", role="predictor", share_port=True) for _ in range(2))
    second.port, second.url = first.port, first.url
    with second:
        with first:
            seen: set[str] = set()
            until(lambda: seen.add(asked(first.url)) or len(seen) == 2, "an answer of each process", timeout_s=20)
        assert len({asked(second.url) for _ in range(10)}) == 1


def asked(url: str) -> str:
    """Return by which process a new connection is answered: ids of requests of one process begin alike."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        answer = http.post("/api/v1/predict/hall%202%2Fpump", json={"timestamp": START_S, "value": 1.0})
    assert answer.json()["model_info"]["loaded_from"] == "mlflow"
    return answer.headers["x-request-id"][len("req_") + 10 : -4]
