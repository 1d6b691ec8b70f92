"""The disk is full: what was acknowledged stays, what was not is refused, and space is all it takes to go on."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, STEP_S, assert_problem, wave
from tests.journeys.servers import NO_RETRY, Server, until

pytestmark = pytest.mark.slow
BATCH = 1_000
KEY = ModelKey(Scope.SERIES, "pump")


def batch(number: int) -> dict[str, Any]:
    """Return a batch whose values do not compress."""
    at = np.arange(number * BATCH, (number + 1) * BATCH)
    values = np.random.default_rng(number).normal(0, 1, BATCH)
    return {
        "series_ids": ["noise"] * BATCH,
        "timestamps": (START_S + at * STEP_S).tolist(),
        "values": values.tolist(),
    }


def fill(http: httpx.Client, first: int) -> tuple[int, httpx.Response]:
    """Send batches until one is refused; return its number and the refusal."""
    for number in range(first, 10_000):
        answer = http.post("/api/v1/points", json=batch(number), headers={"Idempotency-Key": f"b{number}"})
        if answer.status_code != 200:
            return number, answer
        assert answer.json()["accepted"] == BATCH
    pytest.fail("the disk never filled")


def is_kept(http: httpx.Client, number: int) -> bool:
    headers = {"Idempotency-Key": f"b{number}"}
    return http.post("/api/v1/points", json=batch(number), headers=headers).status_code == 200


def assert_kept(http: httpx.Client, batches: int) -> None:
    params = {"from": START_S, "to": START_S + 10_000 * BATCH * STEP_S, "limit": 100_000}
    kept: list[float] = []
    while True:
        page = http.get("/api/v1/series/noise/points", params=params).raise_for_status().json()
        kept += [point["value"] for point in page["points"]]
        if page.get("next") is None:
            break
        params["cursor"] = page["next"]
    assert kept == [value for number in range(batches) for value in batch(number)["values"]]


def test_a_full_disk_refuses_what_it_cannot_keep_and_recovers(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (4 * 2**20))
    settings: dict[str, Any] = {
        "signals__compact_after_points": 50_000,
        "schedule_every_s": 0.2,
        "lifecycle__cooldown_s": 0,
    }
    with Server(small_disk / "data", **settings) as server, server.http() as http:
        # its log is beside the data folder, on the same small disk: losing lines must not hurt either
        with server.client(retry=NO_RETRY) as client:
            learn(client)
            number, refusal = fill(http, 0)
            assert_problem(refusal, 503, "disk_full")
            assert int(refusal.headers["retry-after"]) >= 1
            assert number > 10
            assert_goes_on_without_writing(http, client, number)

        ballast.unlink()
        until(lambda: is_kept(http, number), "space to be used")
        for more in range(number + 1, number + 6):
            http.post("/api/v1/points", json=batch(more)).raise_for_status()
        until(lambda: http.get("/health").json()["scoring_lag_rows"] == 0, "the points to be scored")
        assert http.get("/api/v1/series/noise").json()["received"] == (number + 6) * BATCH
        assert_kept(http, number + 6)
        server.kill()
        server.start()
        assert_kept(http, number + 6)
        print(f"disk full after {number} batches of {BATCH} points; all {number + 6} there after space was made")


def learn(client: Client) -> None:
    client.points.add(wave(500, "pump"))
    job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
    assert job.model_version == "v1"
    client.models.promote(KEY, "v1")


def assert_goes_on_without_writing(http: httpx.Client, client: Client, batches: int) -> None:
    """Check that a service on a full disk still answers what needs no writing."""
    answer = client.predict("pump", 99.0, START_S + 600 * STEP_S)
    assert answer.anomaly
    assert answer.model_info is not None
    assert answer.model_info.loaded_from == "mlflow"
    assert http.get("/health").status_code == 200
    assert http.get("/metrics").status_code == 200
    assert http.get("/api/v1/anomalies").status_code == 200
    assert_kept(http, batches)
    refused = http.post("/api/v1/points", json=batch(batches), headers={"Idempotency-Key": f"b{batches}"})
    assert_problem(refused, 503, "disk_full")
