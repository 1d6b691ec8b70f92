"""What cannot be accepted is refused with its place, and leaves no trace; what only looks odd is not."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from atalaia.connectors.atalaia import Client, Columns
from atalaia.core.models import ModelKey, Scope
from tests.journeys.conftest import Start
from tests.journeys.measurements import START_S, assert_problem, inline, wave
from tests.journeys.servers import metric, until

pytestmark = pytest.mark.slow
DAY_S = 86_400
JSON = {"Content-Type": "application/json"}


def row(series_id: Any = "a", timestamp: Any = START_S, value: Any = 1.0) -> dict[str, Any]:
    return {"series_id": series_id, "timestamp": timestamp, "value": value}


def body(*rows: Any) -> bytes:
    return json.dumps({"points": rows}).encode()


def columns(series_ids: list[str], timestamps: list[float], values: list[float]) -> bytes:
    return json.dumps({"series_ids": series_ids, "timestamps": timestamps, "values": values}).encode()


@contextmanager
def leaving_no_trace(http: httpx.Client) -> Generator[None]:
    """Check that the block changed nothing: no new series, point, job, model, version."""
    before = traces(http)
    yield
    assert traces(http) == before


def traces(http: httpx.Client) -> tuple[Any, ...]:
    series = [item["series_id"] for item in http.get("/api/v1/series", params={"limit": 1000}).json()["items"]]
    jobs = [item["job_id"] for item in http.get("/api/v1/training/jobs").json()["items"]]
    models = [(m["model_id"], m["production_version"], len(m["versions"])) for m in
              http.get("/api/v1/models").json()["items"]]  # fmt: skip
    return series, jobs, models, metric(http.get("/metrics").text, "points_received_total")


BAD_POINTS: dict[str, tuple[bytes, str, str]] = {
    "an empty body": (b"", "invalid_json", ""),
    "half a body": (b'{"points":[', "invalid_json", ""),
    "bytes that are not text": (b'{"points":[{"series_id":"\xff"}]}', "invalid_json", ""),
    "nested without end": (b'{"points":' + b"[" * 5000, "invalid_request", "/points"),
    "a list": (b"[]", "invalid_request", ""),
    "a number for the points": (b'{"points":7}', "invalid_request", "/points"),
    "an object without anything": (b"{}", "invalid_request", "/series_ids"),
    "no point": (body(), "invalid_points", "/points"),
    "a number for an id": (body(row(series_id=7)), "invalid_request", "/points"),
    "a text for a value": (body(row(value="high")), "invalid_request", "/points"),
    "a null for a value": (body(row(value=None)), "invalid_request", "/points"),
    "a list for a time": (body(row(timestamp=[])), "invalid_request", "/points"),
    "a missing field": (b'{"points":[{"series_id":"a","value":1}]}', "invalid_request", "/points"),
    "both forms": (b'{"points":[],"values":[1.0]}', "invalid_request", "/values"),
    "columns of unequal length": (columns(["a", "b"], [START_S], [1.0]), "invalid_points", "/values"),
    "NaN": (body(row(value=float("nan"))), "invalid_json", ""),
    "Infinity": (body(row(value=float("inf"))), "invalid_json", ""),
    "minus Infinity": (body(row(value=float("-inf"))), "invalid_json", ""),
    "a number beyond all floats": (b'{"points":[{"series_id":"a","timestamp":1,"value":1e999}]}', "invalid", ""),
    "a number that is no measurement": (body(row(), row(value=-1e101)), "invalid_points", "/points/1/value"),
    "milliseconds": (body(row(), row(timestamp=START_S * 1000)), "invalid_time", "/points/1/timestamp"),
    "milliseconds in a column": (columns(["a"], [START_S * 1e3], [1.0]), "invalid_time", "/timestamps/0"),
    "a time before 1970": (body(row(timestamp=-1)), "invalid_time", "/points/0/timestamp"),
    "a text that is no time": (body(row(timestamp="yesterday")), "invalid_time", "/points/0/timestamp"),
    "a time without a zone": (body(row(timestamp="2024-01-01T00:00:00")), "invalid_time", "/points/0/timestamp"),
    "an empty id": (body(row(series_id="")), "invalid_id", "/points/0/series_id"),
    "an id of 10,000 characters": (body(row(), row(series_id="x" * 10_000)), "invalid_id", "/points/1/series_id"),
    "an id with a line break": (body(row(series_id="a\nb")), "invalid_id", "/points/0/series_id"),
    "an id with a NUL": (body(row(series_id="a\0")), "invalid_id", "/points/0/series_id"),
    "an id with a space in front": (body(row(series_id=" a")), "invalid_id", "/points/0/series_id"),
    "a reserved id": (columns(["batch"], [START_S], [1.0]), "invalid_id", "/series_ids/0"),
}


@pytest.mark.parametrize("what", BAD_POINTS)
def test_bad_points_are_refused_and_leave_no_trace(http: httpx.Client, what: str) -> None:
    sent, code, pointer = BAD_POINTS[what]
    with leaving_no_trace(http):
        answer = http.post("/api/v1/points", content=sent)
        told = answer.json()["code"]
        problem = assert_problem(answer, 422, told if told.startswith(code) else code)
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert what not in ("milliseconds", "milliseconds in a column") or "milliseconds" in problem["detail"]


def test_points_far_in_the_future_are_refused(http: httpx.Client) -> None:
    with leaving_no_trace(http):
        answer = http.post("/api/v1/points", json={"points": [row(), row(timestamp=time.time() + 2 * DAY_S)]})
        problem = assert_problem(answer, 422, "invalid_time")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/points/1/timestamp"]
    assert "future" in problem["detail"]


def test_one_bad_point_among_many_keeps_all_of_them_out(http: httpx.Client) -> None:
    rows = [row("among many", START_S + i, 2e100 if i == 617 else 1.0) for i in range(1_000)]
    with leaving_no_trace(http):
        problem = assert_problem(http.post("/api/v1/points", json={"points": rows}), 422, "invalid_points")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/points/617/value"]
    assert_problem(http.get("/api/v1/series/among%20many"), 404, "unknown_series")


def test_more_points_than_one_request_may_bring_are_refused(http: httpx.Client) -> None:
    n = 500_001
    with leaving_no_trace(http):
        answer = http.post("/api/v1/points", content=columns(["a"] * n, [START_S] * n, [1.0] * n))
        assert "500000" in assert_problem(answer, 422, "invalid_points")["detail"]


@pytest.mark.parametrize(
    "series_id",
    [
        "hall 2/pump", "a//b/", "água nº 3 — ñ", "温度/センサー 1", "مضخة ٣", "🚰",
        "100%", "%2F", "a?b#c&d=e", "x" * 256, "é" * 256,
    ],
)  # fmt: skip
def test_ids_of_every_kind_go_in_and_are_found_again(http: httpx.Client, series_id: str) -> None:
    path = quote(series_id, safe="")
    http.post(
        "/api/v1/points", json={"points": [row(series_id, START_S + i, i) for i in range(3)]}
    ).raise_for_status()
    assert http.get(f"/api/v1/series/{path}").json()["series_id"] == series_id
    kept = http.get(f"/api/v1/series/{path}/points").json()
    assert [point["value"] for point in kept["points"]] == [0.0, 1.0, 2.0]
    told = http.post(f"/api/v1/predict/{path}", json={"timestamp": START_S + 5, "value": 1.0}).json()
    assert (told["series_id"], told["model_info"]["loaded_from"]) == (series_id, "fallback")
    listed = http.get("/api/v1/series", params={"prefix": series_id}).json()["items"]
    assert series_id in [item["series_id"] for item in listed]
    assert http.get("/api/v1/anomalies", params={"series_id": series_id}).json()["items"] == []
    assert_problem(http.get(f"/api/v1/models/{path}"), 404, "unknown_model")


def test_the_same_point_twice_and_points_out_of_order_are_kept_once(http: httpx.Client) -> None:
    rows = [row("twice", START_S + i, float(v)) for i, v in ((2, 20), (0, 0), (2, 21), (1, 10))]
    http.post("/api/v1/points", json={"points": rows}).raise_for_status()
    http.post("/api/v1/points", json={"points": [row("twice", START_S, 5.0)]}).raise_for_status()
    kept = http.get("/api/v1/series/twice/points").json()["points"]
    assert [point["value"] for point in kept] == [5.0, 10.0, 21.0]


def without(points: Columns, index: int, **changed: float) -> dict[str, Any]:
    data = inline(points)
    for name, value in changed.items():
        data[name][index] = value
    return data


GOOD = wave(10_000, "bad training")
BAD_TRAINING: dict[str, tuple[dict[str, Any], str, str]] = {
    "9,999 points": (inline(wave(9_999, "x")), "invalid_training_data", "/values"),
    "100,001 points": (inline(wave(100_001, "x")), "invalid_training_data", "/values"),
    "a constant series": ({**inline(GOOD), "values": [7.5] * 10_000}, "invalid_training_data", "/values"),
    "a time that goes back": (
        without(GOOD, 6_123, timestamps=START_S + 1.0), "invalid_training_data", "/timestamps/6123",
    ),
    "a time that is repeated": (
        without(GOOD, 6_123, timestamps=START_S + 6_122 * 60.0), "invalid_training_data", "/timestamps/6123",
    ),
    "times in milliseconds": (
        {**inline(GOOD), "timestamps": [t * 1e3 for t in inline(GOOD)["timestamps"]]},
        "invalid_time",
        "/timestamps/0",
    ),
    "a time after 2100": (without(GOOD, 9_999, timestamps=5e9), "invalid_time", "/timestamps/9999"),
    "NaN": (without(GOOD, 77, values=float("nan")), "invalid_training_data", "/values/77"),
    "Infinity": (without(GOOD, 78, values=float("inf")), "invalid_training_data", "/values/78"),
    "fewer times than values": (
        {**inline(GOOD), "timestamps": inline(GOOD)["timestamps"][1:]}, "invalid_training_data", "/timestamps",
    ),
    "times alone": ({"timestamps": inline(GOOD)["timestamps"]}, "invalid_training_data", "/values"),
    "a text among the values": ({**inline(GOOD), "values": ["x"] * 10_000}, "invalid_request", "/values/0"),
    "an unknown algorithm": ({"config": {"algorithm": "oracle"}}, "unknown_algorithm", "/config/algorithm"),
    "an unknown hyperparameter": (
        {"config": {"hyperparameters": {"wisdom": 3}}}, "invalid_hyperparameters", "/config/hyperparameters/wisdom",
    ),
    "a window of no hours": ({"config": {"window_hours": 0}}, "invalid_request", "/config/window_hours"),
    "an unknown field": ({"when": "now"}, "invalid_request", "/when"),
    "a priority that there is not": ({"priority": 10}, "invalid_request", "/priority"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_TRAINING)
def test_bad_training_requests_are_refused_with_the_place(http: httpx.Client, what: str) -> None:
    sent, code, pointer = BAD_TRAINING[what]
    http.post("/api/v1/points", json={"points": [row("bad training")]}).raise_for_status()
    with leaving_no_trace(http):
        answer = http.post("/api/v1/training/bad%20training", content=json.dumps(sent), headers=JSON)
        problem = assert_problem(answer, 422, code)
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_as_few_and_as_many_points_as_allowed_train(http: httpx.Client, count: int) -> None:
    started = http.post(f"/api/v1/training/edge%20{count}", json=inline(wave(count, "x")))
    assert started.status_code == 202, started.text
    url = started.json()["status_url"]
    job = until(lambda: job if (job := http.get(url).json())["status"] == "completed" else None, "training")
    assert job["model_version"] == "v1"


def test_stored_history_that_cannot_train_fails_its_job_with_the_reason(http: httpx.Client) -> None:
    http.post("/api/v1/points", json={"points": [row("flat", START_S + i, 3.0) for i in range(200)]})
    started = http.post("/api/v1/training/flat", json={})
    assert started.status_code == 202
    url = started.json()["status_url"]
    job = until(lambda: job if (job := http.get(url).json())["status"] == "failed" else None, "the job to fail")
    assert job["error"]["code"] == "invalid_training_data"
    assert "standard deviation" in job["error"]["detail"]
    assert_problem(http.get("/api/v1/models/flat"), 404, "unknown_model")
    again = http.post("/api/v1/training/flat", json={})
    assert again.status_code == 202, "a training that failed does not count"


def test_a_second_training_within_five_minutes_waits(http: httpx.Client) -> None:
    first = http.post("/api/v1/training/eager", json=inline(wave(10_000, "eager")))
    assert first.status_code == 202
    until(lambda: http.get(first.json()["status_url"]).json()["status"] == "completed", "the first training")
    with leaving_no_trace(http):
        answer = http.post("/api/v1/training/eager", json=inline(wave(10_000, "eager")))
        assert first.json()["job_id"] in assert_problem(answer, 429, "trained_recently")["detail"]
        assert 280 < int(answer.headers["retry-after"]) <= 300


UNKNOWN: tuple[tuple[str, str, int, str], ...] = (
    ("GET", "/series/nobody", 404, "unknown_series"),
    ("GET", "/series/nobody/points", 404, "unknown_series"),
    ("PATCH", "/series/nobody", 404, "unknown_series"),
    ("GET", "/anomalies?series_id=nobody", 404, "unknown_series"),
    ("GET", "/anomalies/anm_nothing", 404, "unknown_anomaly"),
    ("POST", "/training/nobody", 404, "unknown_series"),
    ("POST", "/training/fleets/nobody", 404, "unknown_fleet"),
    ("GET", "/fleets/nobody", 404, "unknown_fleet"),
    ("GET", "/training/jobs/job_nothing", 404, "unknown_job"),
    ("GET", "/jobs/job_nothing", 404, "unknown_job"),
    ("DELETE", "/jobs/job_nothing", 404, "unknown_job"),
    ("DELETE", "/training/jobs/job_nothing", 404, "unknown_job"),
    ("GET", "/models/nobody", 404, "unknown_model"),
    ("GET", "/models/nobody/deployment-config", 404, "unknown_model"),
    ("GET", "/models/nobody/metrics", 404, "unknown_model"),
    ("GET", "/models/fleets/nobody", 404, "unknown_model"),
    ("POST", "/models/nobody/versions/v1/promote", 404, "unknown_model"),
    ("POST", "/models/nobody/versions/latest/promote", 422, "invalid_version"),
    ("POST", "/admin/reload/nobody", 404, "no_deployment"),
    ("GET", "/plot?series_id=nobody", 404, "unknown_series"),
    ("GET", "/nothing/here", 404, "not_found"),
    ("PUT", "/points", 405, "method_not_allowed"),
    ("GET", "/jobs?cursor=made-up", 422, "bad_cursor"),
    ("GET", "/series?limit=0", 422, "invalid_request"),
    ("GET", "/series/" + "x" * 10_000, 404, "unknown_series"),
    ("POST", "/training/" + "x" * 10_000, 404, "unknown_series"),
)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"), UNKNOWN, ids=[f"{m} {p[:40]}" for m, p, _, _ in UNKNOWN]
)
def test_what_is_not_there_is_said_to_be_missing(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    sent = {"labels": {"a": "b"}} if method == "PATCH" else {} if method == "POST" else None
    with leaving_no_trace(http):
        assert_problem(http.request(method, f"/api/v1{path}", json=sent), status, code)


def test_only_a_version_in_staging_is_promoted(http: httpx.Client) -> None:
    with Client(str(http.base_url)) as client:
        key = ModelKey(Scope.SERIES, "staged")
        job = client.jobs.wait(client.training.start(key, data=wave(10_000, "staged")).job_id, timeout_s=60)
        assert job.model_version == "v1"
        with leaving_no_trace(http):
            assert_problem(http.post("/api/v1/models/staged/versions/v2/promote"), 404, "unknown_version")
            wrong = http.post("/api/v1/models/staged/versions/v1/promote", json={"strategy": "hope"})
            assert_problem(wrong, 422, "invalid_request")
        client.models.promote(key, "v1")
        with leaving_no_trace(http):
            assert_problem(http.post("/api/v1/models/staged/versions/v1/promote"), 409, "not_in_staging")
        assert client.models.deployment(key).version == "v1"


def test_bad_predictions_are_refused_and_in_a_batch_each_point_answers_for_itself(http: httpx.Client) -> None:
    http.post("/api/v1/points", json={"points": [row("known", START_S + i, i % 3) for i in range(20)]})
    for sent in (b"", b"{}", b'{"value":1}', b'{"timestamp":1,"value":NaN}', b'{"timestamp":1,"value":"x"}'):
        assert http.post("/api/v1/predict/known", content=sent).status_code == 422
    assert_problem(
        http.post("/api/v1/predict/known", json={"timestamp": START_S * 1000, "value": 1}), 422, "invalid_time"
    )
    assert_problem(http.post("/api/v1/predict/nobody", json={"timestamp": 1, "value": 1}), 404, "unknown_series")
    rows = [row("known"), row("nobody"), row("x" * 10_000), row("known", START_S * 1000), row("known")]
    told = http.post("/api/v1/predict/batch", json={"points": rows}).raise_for_status().json()["predictions"]
    codes = [one.get("error", {}).get("code") for one in told]
    assert codes == [None, "unknown_series", "invalid_id", "invalid_time", None]
    assert [one["series_id"] for one in told] == [one["series_id"] for one in rows]


def test_an_idempotency_key_with_another_body_is_refused(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "one"}
    first = http.post("/api/v1/points", json={"points": [row("keyed")]}, headers=headers)
    assert http.post("/api/v1/points", content=first.request.content, headers=headers).json() == first.json()
    with leaving_no_trace(http):
        other = http.post("/api/v1/points", json={"points": [row("keyed", value=2.0)]}, headers=headers)
        assert_problem(other, 422, "idempotency_mismatch")
    assert [p["value"] for p in http.get("/api/v1/series/keyed/points").json()["points"]] == [1.0]


def test_cancelled_jobs_leave_no_model(embed: Start) -> None:
    service = embed()
    with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
        urls = [
            http.post(f"/api/v1/training/cancel{i}", json=inline(wave(20_000, "x"))).json()["status_url"]
            for i in range(2)
        ]
        until(lambda: http.get(urls[0]).json()["status"] == "processing", "the first to run")
        with leaving_no_trace(http):
            waiting = http.delete(urls[1])
            assert (waiting.status_code, waiting.json()["status"]) == (200, "cancelled")
            assert http.delete(urls[0]).status_code == 200
            until(lambda: http.get(urls[0]).json()["status"] == "cancelled", "the running one to stop")
        for url in urls:
            job = http.get(url).json()
            assert (job["model_version"], job["finished_at"] is not None) == (None, True)
            assert_problem(http.delete(url), 409, "job_finished")
        assert http.get("/api/v1/models").json()["items"] == []
        assert http.post("/api/v1/training/cancel1", json=inline(wave(10_000, "x"))).status_code == 202
