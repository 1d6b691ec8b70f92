"""Real points come in, a model is trained and promoted, the labelled anomaly comes out: by HTTP and by command."""

import csv
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.connectors.atalaia import Anomaly, Client, TrainingConfig
from atalaia.core.clock import to_us
from atalaia.core.models import ModelKey, Scope
from tests.journeys.conftest import Start
from tests.journeys.measurements import MICROS, Labelled, nab
from tests.journeys.servers import Server, run_cli, until

SERIES = "nab/ec2 cpu ac20cd"
PATH = "nab%2Fec2%20cpu%20ac20cd"
LEARNT = 1612
KEY = ModelKey(Scope.SERIES, SERIES)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real() -> Labelled:
    return nab("ec2_cpu_utilization_ac20cd")


def is_scored(http: httpx.Client) -> bool:
    return http.get("/health").json()["scoring_lag_rows"] == 0


def train_and_promote(client: Client, algorithm: str, sigma: float) -> dict[str, Any]:
    config = TrainingConfig(200, algorithm, {"threshold_sigma": sigma})
    job = client.jobs.wait(client.training.start(KEY, config).job_id, timeout_s=60)
    assert (job.status, job.progress, job.error) == ("completed", 1.0, None)
    assert job.model_version
    staged = client.models.get(KEY).versions[0]
    assert (staged.version, staged.stage, staged.job_id) == (job.model_version, "Staging", job.job_id)
    done = client.models.promote(KEY, job.model_version)
    return {"version": done.version, "stage": done.stage, "previous": done.previous_version}


def assert_labelled_is_found(real: Labelled, spans: list[tuple[int, int]]) -> None:
    for first, last in real.intervals:
        assert any(start <= last and end >= first for start, end in spans), (first, last, spans)


def span(anomaly: Anomaly) -> tuple[int, int]:
    end = anomaly.to or anomaly.last_at
    assert end is not None
    return to_us(anomaly.from_), to_us(end)


def assert_whole_prediction(http: httpx.Client, real: Labelled) -> None:
    at = int(real.timestamps[-1]) / MICROS + 300
    sent = http.post(f"/api/v1/predict/{PATH}", json={"timestamp": at, "value": 99.7})
    answer = sent.raise_for_status().json()
    assert set(answer) == {
        "series_id", "timestamp", "value", "anomaly", "anomaly_score", "confidence", "model_info", "explanation",
    }  # fmt: skip
    assert (answer["series_id"], answer["value"], answer["anomaly"]) == (SERIES, 99.7, True)
    assert answer["anomaly_score"] > 1.0
    assert answer["confidence"] in ("high", "medium", "low")
    assert answer["model_info"] == {
        "model_id": f"series:{SERIES}", "version": "v1", "stage": "Production", "type": "seasonal_profile",
        "loaded_from": "mlflow",
    }  # fmt: skip
    why = answer["explanation"]
    assert why["lower"] < why["expected"] < why["upper"] < 99.7
    assert why["part"]
    assert "99.7" in why["text"]
    usual = http.post(f"/api/v1/predict/{PATH}", json={"timestamp": at, "value": why["expected"]}).json()
    assert (usual["anomaly"], usual["anomaly_score"]) == (False, pytest.approx(0.0, abs=0.01))


def assert_plot(http: httpx.Client, real: Labelled) -> None:
    params = {"series_id": SERIES, "from": real.timestamps[0] / MICROS, "to": real.timestamps[-1] / MICROS}
    png = http.get("/api/v1/plot", params=params).raise_for_status()
    assert png.headers["content-type"] == "image/png"
    assert png.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">4sII", png.content[12:24]) == (b"IHDR", 1200, 500)
    assert png.content[-8:-4] == b"IEND"
    told = http.get("/api/v1/plot", params={**params, "format": "json", "buckets": 100}).json()
    assert told["model_id"] == f"series:{SERIES}"
    buckets = told["buckets"]
    assert sum(bucket["count"] for bucket in buckets) == len(real.values) - 1
    assert all(b["min"] <= b["mean"] <= b["max"] and b["lower"] < b["upper"] for b in buckets)
    assert any(bucket["anomalies"] for bucket in buckets)


def test_a_real_series_goes_the_whole_way_over_http(embed: Start, real: Labelled) -> None:
    service = embed(lifecycle__cooldown_s=0)
    with Client(service.url) as client, httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
        sent = client.points.add(real.part(0, LEARNT, SERIES))
        assert (sent.accepted, sent.series, sent.created) == (LEARNT, 1, 1)
        first = train_and_promote(client, "seasonal_profile", 5.0)
        assert first == {"version": "v1", "stage": "Production", "previous": None}
        for start in range(LEARNT, len(real.values), 400):
            client.points.add(real.part(start, start + 400, SERIES))
        until(lambda: is_scored(http), "all points to be scored")

        found = list(client.anomalies.iterate(series_id=SERIES))
        assert_labelled_is_found(real, [span(anomaly) for anomaly in found])
        assert 1 <= len(found) <= 5
        top = max(found, key=lambda anomaly: anomaly.peak_score or 0)
        assert (top.model.model_id, top.model.version) == (f"series:{SERIES}", "v1")
        assert top.explanation
        assert_whole_prediction(http, real)
        assert_plot(http, real)
        assert_feedback(client, top.anomaly_id)
        assert_metrics_and_deployment(client, http, len(real.values) - LEARNT)
        assert_second_version_archives_the_first(client, http)


def assert_feedback(client: Client, anomaly_id: str) -> None:
    said = client.anomalies.give_feedback(anomaly_id, "useful", "a real one: o disco encheu")
    assert said.kind == "useful"
    kept = client.anomalies.get(anomaly_id).feedback
    assert [(one.kind, one.note) for one in kept] == [("useful", "a real one: o disco encheu")]


def assert_metrics_and_deployment(client: Client, http: httpx.Client, scored: int) -> None:
    told = http.get(f"/api/v1/models/{PATH}/metrics", params={"window": "24h"}).raise_for_status().json()
    assert told["window"] == "24h"
    assert told["predictions"] == scored + 2
    assert 0 < told["anomalies"] < scored / 4
    assert 0 <= told["score"]["p50"] <= told["score"]["p95"] <= told["score"]["p99"]
    assert told["drift"]["method"] == "ks_2samp"
    deployed = client.models.deployment(KEY)
    model = client.models.get(KEY)
    assert (deployed.version, deployed.stage, deployed.strategy) == ("v1", "Production", "direct")
    assert deployed.traffic == [{"version": "v1", "weight": 1.0}]
    assert deployed.artifact["sha256"] == model.versions[0].sha256
    assert model.production_version == "v1"


def assert_second_version_archives_the_first(client: Client, http: httpx.Client) -> None:
    second = train_and_promote(client, "robust_zscore", 4.0)
    assert second == {"version": "v2", "stage": "Production", "previous": "v1"}
    stages = {version.version: version.stage for version in client.models.get(KEY).versions}
    assert stages == {"v1": "Archived", "v2": "Production"}
    assert client.models.deployment(KEY).version == "v2"
    answer = client.predict(SERIES, 99.7, datetime(2014, 4, 20, tzinfo=UTC))
    assert answer.model_info is not None
    assert (answer.model_info.version, answer.model_info.type) == ("v2", "robust_zscore")
    reloaded = client.models.reload(SERIES)
    assert (reloaded.version, reloaded.loaded_from) == ("v2", "mlflow")
    repeated = http.post(f"/api/v1/models/{PATH}/versions/v2/promote", json={})
    assert (repeated.status_code, repeated.json()["code"]) == (409, "not_in_staging")


def write_csv(path: Path, real: Labelled, start: int, end: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["series_id", "timestamp", "value"])
        for stamp, value in zip(real.timestamps[start:end].tolist(), real.values[start:end].tolist(), strict=True):
            rows.writerow([SERIES, datetime.fromtimestamp(stamp / MICROS, UTC).isoformat(), repr(value)])


def test_a_real_series_goes_the_whole_way_by_command(tmp_path: Path, real: Labelled) -> None:
    write_csv(tmp_path / "first.csv", real, 0, LEARNT)
    write_csv(tmp_path / "rest.csv", real, LEARNT, len(real.values))
    with Server(tmp_path / "data") as server:

        def run(*args: str) -> Any:
            return json.loads(run_cli(*args, "--output", "json", cwd=tmp_path, url=server.url).stdout)

        assert run("points", "import", "first.csv")["items"][0]["points"] == LEARNT
        promoted = run(
            "train", SERIES, "--algorithm", "seasonal_profile", "--window-hours", "200",
            "--set", "threshold_sigma=5", "--wait", "--promote",
        )  # fmt: skip
        assert (promoted["version"], promoted["stage"], promoted["previous_version"]) == ("v1", "Production", None)
        assert run("points", "import", "rest.csv")["items"][0]["points"] == len(real.values) - LEARNT
        with server.http() as http:
            until(lambda: is_scored(http), "all points to be scored")
        answer = run("predict", SERIES, "99.7", "--at", "2014-04-19T00:00:00Z")
        assert answer["anomaly"] is True
        assert answer["model_info"]["version"] == "v1"
        items = run("anomalies", "list", "--series", SERIES)["items"]
        spans = [(micros(item["from"]), micros(item["to"] or item["last_at"])) for item in items]
        assert_labelled_is_found(real, spans)
    assert server.log.read_text().count("Traceback") == 0


def micros(text: str) -> int:
    return to_us(datetime.fromisoformat(text))
