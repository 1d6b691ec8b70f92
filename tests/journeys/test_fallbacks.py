"""Where a model comes from: MLflow, the local copy, at last the running statistics; and what stays in memory."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client, Columns, Point, Prediction, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, assert_problem, wave
from tests.journeys.servers import metric, until

pytestmark = pytest.mark.slow
AT = START_S + 30 * 86_400
VALUES = (20.0, 50.0, 61.5, 99.0)


def service(folder: Path, **settings: Any) -> Embedded:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return Embedded(load_settings({"data_dir": folder, "port": 0, "lifecycle.cooldown_s": 0, **named}))


def bring_into_production(client: Client, *series: str, points: int = 1_000) -> None:
    for name in series:
        client.points.add(wave(points, name))
    config = TrainingConfig(24 * 365, "statistical")
    jobs = [(name, client.training.start(ModelKey(Scope.SERIES, name), config).job_id) for name in series]
    for name, job in jobs:
        version = client.jobs.wait(job, timeout_s=60).model_version
        assert version
        client.models.promote(ModelKey(Scope.SERIES, name), version)
    with httpx.Client(base_url=client.base_url, trust_env=False) as http:
        until(lambda: http.get("/health").json()["scoring_lag_rows"] == 0, "points to be scored")


def answers(client: Client, series_id: str = "pump") -> list[Prediction]:
    return [client.predict(series_id, value, AT) for value in VALUES]


def sources(client: Client, series_id: str = "pump") -> set[str]:
    return {told.model_info.loaded_from for told in answers(client, series_id) if told.model_info is not None}


def what_they_say(told: list[Prediction]) -> list[Any]:
    """Return answers without the place that their model was loaded from."""
    return [
        (one.anomaly, one.anomaly_score, one.confidence, one.explanation, one.model_info and one.model_info.version)
        for one in told
    ]


def loads(client: Client, source: str) -> float:
    text = httpx.get(f"{client.base_url}/metrics", trust_env=False).text
    return metric(text, "model_load_duration_seconds_count", source=source)


def damage(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            data = bytearray(file.read_bytes())
            data[len(data) // 3 :: 7] = b"\x55" * len(data[len(data) // 3 :: 7])
            file.write_bytes(data)


def delete(path: Path) -> None:
    """Take a folder away at once; the service may be writing into it, so it cannot be emptied in place."""
    gone = path.with_name(f"{path.name}-{uuid4().hex}")
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def put_file_in_place_of(path: Path) -> None:
    """Replace a folder by a file, however often the service makes the folder anew meanwhile."""

    def is_replaced() -> bool:
        if path.is_dir():
            delete(path)
        try:
            path.write_text("this is no folder")
        except IsADirectoryError:
            return False
        return True

    until(is_replaced, "the folder to be replaced")


@pytest.mark.parametrize("harm", [delete, damage])
def test_a_loaded_model_answers_the_same_whatever_happens_to_mlflow(tmp_path: Path, harm: Any) -> None:
    data = tmp_path / "data"
    with ExitStack() as stack:
        first = stack.enter_context(service(data))
        client = stack.enter_context(Client(first.url))
        bring_into_production(client, "pump")
        before = answers(client)
        assert [told.anomaly for told in before] == [True, False, False, True]
        assert sources(client) == {"mlflow"}
        assert loads(client, "mlflow") == 1

        harm(data / "mlflow")
        assert what_they_say(answers(client)) == what_they_say(before)
        assert sources(client) == {"mlflow"}
        reloaded = client.models.reload("pump")
        assert (reloaded.loaded_from, reloaded.version) == ("local_cache", "v1")
        assert what_they_say(answers(client)) == what_they_say(before)
        assert (loads(client, "mlflow"), loads(client, "local_cache")) == (1, 1)
    with service(data) as second, Client(second.url) as client:
        assert sources(client) == {"local_cache"}
        assert what_they_say(answers(client)) == what_they_say(before)
        assert (loads(client, "mlflow"), loads(client, "local_cache"), loads(client, "fallback")) == (0, 1, 0)


def test_without_registry_and_local_copy_the_running_statistics_answer(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data) as first, Client(first.url) as client:
        bring_into_production(client, "pump")
        copies = list((data / "blobs" / "models").iterdir())
        assert len(copies) == 1
        kept = copies[0].read_bytes()
    shutil.rmtree(data / "mlflow")

    damage(copies[0])
    with service(data, serving__retry_s=0.2) as second, Client(second.url) as client:
        assert_fallback_answers(client)
        assert loads(client, "local_cache") == 0
        with httpx.Client(base_url=second.url, trust_env=False) as http:
            assert_problem(http.post("/api/v1/admin/reload/pump"), 503, "model_not_loaded")
        copies[0].write_bytes(kept)  # an operator puts it back, and it answers without a restart
        until(lambda: sources(client) == {"local_cache"}, "the local copy to answer")
    copies[0].unlink()
    with service(data) as third, Client(third.url) as client:
        assert_fallback_answers(client)
        with httpx.Client(base_url=third.url, trust_env=False) as http:
            far = http.post("/api/v1/predict/nobody", json={"timestamp": AT, "value": 1.0})
            assert_problem(far, 404, "unknown_series")


def assert_fallback_answers(client: Client) -> None:
    told = answers(client)
    assert [one.anomaly for one in told] == [True, False, False, True]
    assert {one.confidence for one in told} == {"low"}
    for one in told:
        assert one.model_info is not None
        assert (one.model_info.loaded_from, one.model_info.stage) == ("fallback", "None")
        assert one.explanation is not None
        assert "no model" in one.explanation.text
    assert loads(client, "fallback") == len(VALUES)
    assert loads(client, "mlflow") == 0


def test_a_damaged_artefact_in_mlflow_is_refused_by_its_checksum(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data) as running, Client(running.url) as client:
        bring_into_production(client, "pump")
        before = answers(client)
        artefacts = list((data / "mlflow").rglob("model.npz"))
        assert len(artefacts) == 1
        damage(artefacts[0])
        assert client.models.reload("pump").loaded_from == "local_cache"
        assert what_they_say(answers(client)) == what_they_say(before)


def test_training_goes_on_once_the_registry_is_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data, job_backoff_s=0.05) as running, Client(running.url) as client:
        bring_into_production(client, "pump")
        assert sources(client) == {"mlflow"}
        put_file_in_place_of(data / "mlflow")
        job = client.training.start(ModelKey(Scope.SERIES, "pump")).job_id
        failed = client.jobs.wait(job, timeout_s=60)
        assert failed.status == "failed"
        assert failed.attempts == 5
        assert failed.error is not None
        assert failed.error["code"] == "registry_unavailable"
        assert client.models.get(ModelKey(Scope.SERIES, "pump")).latest_version == "v1"
        assert sources(client) == {"mlflow"}
        (data / "mlflow").unlink()
        assert client.jobs.wait(client.training.start(ModelKey(Scope.SERIES, "pump")).job_id).model_version == "v2"


def test_loaded_models_are_bounded_in_bytes_and_the_most_asked_are_loaded_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    names = [f"pump {i}" for i in range(6)]
    profile = {"serving__cache_bytes": 2**20, "serving__warm_models": 2}
    with service(data, **profile) as first, Client(first.url) as client:
        bring_into_production(client, *names)
        for often, name in enumerate(names):
            client.predict_batch([Point(name, AT, 50.0)] * (2_000 * (often + 1)))
        cache = first.atalaia.serving.models.cache
        one = cache.nbytes // len(cache)
        assert 0 < cache.nbytes <= 2**20
    with service(data, **profile) as second, Client(second.url) as client:
        models = second.atalaia.serving.models
        assert [name for name in names if models.is_resident(name)] == names[-2:]
        assert sources(client, names[0]) == {"mlflow"}  # the others are loaded when they are asked for
        models.cache._max_bytes = 3 * one + one // 2
        for name in names:
            client.predict(name, 50.0, AT)
            assert models.cache.nbytes <= 3 * one + one // 2
        assert [name for name in names if models.is_resident(name)] == names[-3:]
        text = httpx.get(f"{second.url}/metrics", trust_env=False).text
        assert metric(text, "model_cache_bytes") == models.cache.nbytes
        assert 0 < metric(text, "model_cache_hit_rate") < 1


def test_a_fleet_larger_than_the_cache_stays_beside_models_of_single_series(tmp_path: Path) -> None:
    fleet = [f"node {i:04}" for i in range(1_200)]
    with service(tmp_path / "data", serving__cache_bytes=2**20) as running, Client(running.url) as client:
        waves = [wave(150, name, seed=i) for i, name in enumerate(fleet)]
        for start in range(0, len(waves), 200):
            part = waves[start : start + 200]
            client.points.add(
                Columns(
                    [name for points in part for name in points.series_ids],
                    np.concatenate([points.timestamps for points in part]),
                    np.concatenate([points.values for points in part]),
                )
            )
        client.fleets.set("nodes", fleet)
        key = ModelKey(Scope.FLEET, "nodes")
        config = TrainingConfig(24, "seasonal_profile")
        job = client.jobs.wait(client.training.start(key, config).job_id, timeout_s=60)
        assert job.model_version == "v1"
        client.models.promote(key, "v1")
        cache = running.atalaia.serving.models.cache
        assert cache.nbytes > 2**20
        client.points.add(wave(1_000, "lone"))
        bring_into_production(client, "lone")
        for _ in range(3):
            assert sources(client, "lone") == {"mlflow"}
            assert sources(client, fleet[700]) == {"mlflow"}
            assert len(cache) == 2
