"""The doors of training, models, promotion and plots: what they answer, and what they refuse with its place."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from starlette.types import ASGIApp

from atalaia.core.models import ModelKey, Scope
from atalaia.kit.idempotency import IdempotencyRow
from tests.lifecycle.builders import FLEET, SERIES, START_US, Workshop, open_workshop, wave
from tests.lifecycle.doors import doors_of, get, post, refused

MICROS = 1_000_000
START_S = START_US // MICROS
PUMP = quote("pump/7", safe="")


def inline(count: int = 10_000) -> dict[str, Any]:
    return {"timestamps": [START_S + 60 * i for i in range(count)], "values": wave(count).tolist()}


# training


def test_a_training_is_accepted_and_becomes_a_job(app: ASGIApp, workshop: Workshop) -> None:
    answer = post(app, f"/training/{PUMP}", {"config": {"algorithm": "robust_zscore"}, "priority": 9})
    assert answer.status == 202
    told = answer.json()
    assert (told["status"], told["status_url"]) == ("queued", f"/api/v1/training/jobs/{told['job_id']}")
    workshop.work()
    job = workshop.job(told["job_id"])
    assert (job.subject, job.result["model_version"]) == ("series:pump/7", "v1")
    assert get(app, f"/models/{PUMP}").json()["versions"][0]["algorithm"] == "robust_zscore"


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
def test_a_training_needs_no_body(app: ASGIApp, workshop: Workshop, body: bytes) -> None:
    told = post(app, f"/training/{PUMP}", body).json()
    workshop.work()
    assert workshop.job(told["job_id"]).result["model_version"] == "v1"
    (version,) = get(app, f"/models/{PUMP}").json()["versions"]
    assert version["algorithm"] == workshop.lifecycle.settings.algorithm


def test_a_fleet_is_trained(app: ASGIApp, workshop: Workshop) -> None:
    assert post(app, "/training/fleets/pumps").status == 202
    workshop.work()
    told = get(app, "/models/fleets/pumps").json()
    assert (told["model_id"], told["series_id"], told["fleet_id"]) == ("fleet:pumps", None, "pumps")
    assert refused(post(app, "/training/fleets/fans"), 404, "unknown_fleet") == []


def test_a_series_is_trained_on_the_data_that_come_with_it(app: ASGIApp, workshop: Workshop) -> None:
    told = post(app, "/training/brought", inline()).json()
    workshop.work()
    assert workshop.job(told["job_id"]).result["model_version"] == "v1"
    (version,) = get(app, "/models/brought").json()["versions"]
    assert version["metrics"]["points"] == 10_000


def test_auto_says_why_it_chose(app: ASGIApp, workshop: Workshop) -> None:
    told = post(app, f"/training/{PUMP}", {"config": {"algorithm": "auto"}}).json()
    workshop.work()
    why = workshop.job(told["job_id"]).result["selection"]
    (version,) = get(app, f"/models/{PUMP}").json()["versions"]
    assert version["selection"] == why
    assert version["algorithm"] == why["algorithm"] in ("statistical", "robust_zscore")  # it is white noise
    refusal = post(app, "/training/late", {"config": {"algorithm": "auto", "hyperparameters": {"windows": 250}}})
    assert refused(refusal, 422, "invalid_hyperparameters") == ["/config/hyperparameters"]


def test_a_service_may_choose_by_default(tmp_path: Path) -> None:
    with open_workshop(tmp_path, algorithm="auto") as shop:
        shop.history.fill("pump/7", wave())
        post(doors_of(shop), f"/training/{PUMP}")
        shop.work()
        assert get(doors_of(shop), f"/models/{PUMP}").json()["versions"][0]["selection"]["reason"]


def test_a_series_says_how_ready_it_is(app: ASGIApp, workshop: Workshop) -> None:
    assert refused(get(app, f"/models/{PUMP}/readiness"), 404, "unknown_model") == []
    workshop.train(SERIES, algorithm="streaming")
    assert refused(get(app, f"/models/{PUMP}/readiness"), 404, "no_deployment") == []
    workshop.promote(1)
    assert get(app, f"/models/{PUMP}/readiness").json() == {
        "series_id": "pump/7", "model_id": "series:pump/7", "version": "v1", "algorithm": "streaming",
        "state": "learnt", "confidence": "high", "points": 2_000, "days": 1.39, "peers": 0,
        "missing": ["a daily season needs 3 days, 1.4 are known"],
    }  # fmt: skip
    late = get(app, "/models/late/readiness")  # of a fleet without a model
    assert refused(late, 404, "unknown_model") == []


def test_times_of_inline_data_may_be_texts(app: ASGIApp) -> None:
    sent = inline()
    sent["timestamps"][0] = "2023-11-14T22:13:20Z"
    assert post(app, "/training/brought", sent).status == 202


@pytest.mark.parametrize(
    ("sent", "code", "places"),
    [
        (b"{", "invalid_json", [""]),
        (b"[]", "invalid_request", [""]),
        ({"nothing": 1}, "invalid_request", ["/nothing"]),
        ({"priority": 10}, "invalid_request", ["/priority"]),
        ({"priority": -1}, "invalid_request", ["/priority"]),
        ({"config": {"window_hours": 0}}, "invalid_request", ["/config/window_hours"]),
        ({"config": {"window_hours": 1e9}}, "invalid_request", ["/config/window_hours"]),
        (b'{"config":{"window_hours":NaN}}', "invalid_request", ["/config/window_hours"]),
        ({"config": {"algorithm": "magic"}}, "unknown_algorithm", ["/config/algorithm"]),
        (
            {"config": {"hyperparameters": {"threshold_sigma": -1}}},
            "invalid_hyperparameters",
            ["/config/hyperparameters/threshold_sigma"],
        ),
        (
            {"config": {"hyperparameters": {"spin": 1}}},
            "invalid_hyperparameters",
            ["/config/hyperparameters/spin"],
        ),
        (
            b'{"config":{"hyperparameters":{"threshold_sigma":1e999}}}',
            "invalid_hyperparameters",
            ["/config/hyperparameters/threshold_sigma"],
        ),
        ({"timestamps": [1]}, "invalid_training_data", ["/values"]),
        ({"values": [1]}, "invalid_training_data", ["/timestamps"]),
        ({"timestamps": [], "values": []}, "invalid_training_data", ["/values"]),
        ({"timestamps": [START_S * 1000], "values": [1]}, "invalid_time", ["/timestamps/0"]),
        (b'{"timestamps":[NaN],"values":[1]}', "invalid_time", ["/timestamps/0"]),
        ({"timestamps": [1], "values": ["high"]}, "invalid_request", ["/values/0"]),
    ],
)
def test_a_training_that_cannot_be_is_refused_with_its_place(
    app: ASGIApp, workshop: Workshop, sent: Any, code: str, places: list[str]
) -> None:
    assert refused(post(app, f"/training/{PUMP}", sent), 422, code) == places
    assert workshop.queue.depth(["train"]) == 0


@pytest.mark.parametrize(
    ("at", "value", "place"),
    [
        ("values", "NaN", "/values/17"),
        ("values", "Infinity", "/values/17"),
        ("values", "1e101", "/values/17"),
        ("timestamps", "1", "/timestamps/17"),
    ],
)
def test_one_bad_point_refuses_inline_data(app: ASGIApp, at: str, value: str, place: str) -> None:
    sent = inline()
    sent[at][17] = float(value)
    assert refused(post(app, "/training/brought", sent), 422, "invalid_training_data") == [place]


@pytest.mark.parametrize("name", ["x" * 257, "x" * 10_000, "%20a", "a%0A", "..%2F..", "batch"])
def test_inline_data_train_only_what_could_be_a_series(app: ASGIApp, workshop: Workshop, name: str) -> None:
    answer = post(app, f"/training/{name}", inline())
    if name == "..%2F..":  # odd, but a name like any other
        assert answer.status == 202
        return
    assert refused(answer, 422, "invalid_id") == ["/series_id"]
    assert workshop.queue.depth(["train"]) == 0


@pytest.mark.parametrize("name", ["nobody", "x" * 10_000, "batch"])
def test_a_series_without_history_cannot_be_trained_on_it(app: ASGIApp, name: str) -> None:
    assert refused(post(app, f"/training/{name}"), 404, "unknown_series") == []


def test_a_training_asked_for_twice_under_one_key_is_one(app: ASGIApp, workshop: Workshop) -> None:
    first = post(app, f"/training/{PUMP}", {"priority": 1}, Idempotency_Key="k")
    assert post(app, f"/training/{PUMP}", {"priority": 1}, Idempotency_Key="k").json() == first.json()
    assert workshop.queue.depth(["train"]) == 1
    other = post(app, f"/training/{PUMP}", {"priority": 2}, Idempotency_Key="k")
    assert refused(other, 422, "idempotency_mismatch") == ["/headers/idempotency-key"]
    with workshop.database.read() as session:
        assert session.query(IdempotencyRow).count() == 1


def test_a_key_that_is_too_long_is_refused(app: ASGIApp) -> None:
    refused(post(app, f"/training/{PUMP}", Idempotency_Key="k" * 257), 422, "invalid_request")


# models


def test_a_model_shows_its_versions_newest_first(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.train(hyperparameters={"threshold_sigma": 4.0})
    workshop.promote(1)
    told = get(app, f"/models/{PUMP}").json()
    assert (told["model_id"], told["series_id"], told["fleet_id"]) == ("series:pump/7", "pump/7", None)
    assert (told["production_version"], told["latest_version"]) == ("v1", "v2")
    newest, oldest = told["versions"]
    assert (newest["version"], newest["stage"], newest["hyperparameters"]) == (
        "v2",
        "Staging",
        {"threshold_sigma": 4.0},
    )
    assert (oldest["stage"], oldest["archived_at"]) == ("Production", None)
    assert oldest["promoted_at"].endswith("Z")
    assert len(oldest["sha256"]) == 64


def test_the_model_of_a_series_is_its_own_before_its_fleets(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train(FLEET)
    assert get(app, f"/models/{PUMP}").json()["model_id"] == "fleet:pumps"
    workshop.train()
    assert get(app, f"/models/{PUMP}").json()["model_id"] == "series:pump/7"


def test_models_are_listed_page_by_page(app: ASGIApp, workshop: Workshop) -> None:
    for name in ("a", "b", "c"):
        workshop.history.fill(name, wave())
        workshop.train(ModelKey(Scope.SERIES, name))
    first = get(app, "/models", limit=2).json()
    second = get(app, "/models", limit=2, cursor=first["next"]).json()
    assert [item["series_id"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next"] is None
    assert refused(get(app, "/models", cursor="made-up"), 422, "bad_cursor") == ["/cursor"]
    assert refused(get(app, "/models", limit=0), 422, "invalid_request") == ["/limit"]


@pytest.mark.parametrize(
    "path",
    [
        "/models/nobody",
        "/models/fleets/nobody",
        "/models/nobody/deployment-config",
        "/models/fleets/nobody/deployment-config",
        "/models/nobody/metrics",
    ],
)
def test_a_model_that_nobody_trained_is_missing(app: ASGIApp, path: str) -> None:
    refused(get(app, path), 404, "unknown_model")


# promotion


def test_a_promotion_says_what_it_did(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.train()
    first = post(app, f"/models/{PUMP}/versions/v1/promote").json()
    assert (first["version"], first["stage"], first["previous_version"]) == ("v1", "Production", None)
    second = post(app, f"/models/{PUMP}/versions/2/promote", {"strategy": "direct", "archive_previous": False})
    assert second.json()["previous_version"] == "v1"
    assert second.json()["promoted_at"].endswith("Z")
    assert workshop.stages() == {"v2": "Production", "v1": "Staging"}


def test_a_version_of_a_fleet_is_promoted(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train(FLEET)
    assert post(app, "/models/fleets/pumps/versions/v1/promote").json()["model_id"] == "fleet:pumps"
    told = get(app, "/models/fleets/pumps/deployment-config").json()
    assert (told["version"], told["stage"], told["traffic"]) == (
        "v1",
        "Production",
        [{"version": "v1", "weight": 1.0}],
    )


def test_a_promotion_asked_for_twice_under_one_key_is_done_once(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    path = f"/models/{PUMP}/versions/v1/promote"
    first = post(app, path, Idempotency_Key="k")
    assert post(app, path, Idempotency_Key="k").json() == first.json()
    refused(post(app, path), 409, "not_in_staging")


@pytest.mark.parametrize(
    ("version", "body", "status", "code"),
    [
        ("v2", b"", 404, "unknown_version"),
        ("v0", b"", 404, "unknown_version"),
        ("latest", b"", 422, "invalid_version"),
        ("v1e1", b"", 422, "invalid_version"),
        ("-1", b"", 422, "invalid_version"),
        ("9" * 30, b"", 422, "invalid_version"),
        ("v1", {"strategy": "hope"}, 422, "invalid_request"),
        ("v1", {"archive_previous": "perhaps"}, 422, "invalid_request"),
        ("v1", {"more": 1}, 422, "invalid_request"),
    ],
)
def test_a_promotion_that_cannot_be_is_refused(
    app: ASGIApp, workshop: Workshop, version: str, body: Any, status: int, code: str
) -> None:
    workshop.train()
    refused(post(app, f"/models/{PUMP}/versions/{version}/promote", body), status, code)
    assert workshop.stages() == {"v1": "Staging"}


def test_what_serves_a_series_is_shown_byte_for_byte(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    refused(get(app, f"/models/{PUMP}/deployment-config"), 404, "no_deployment")
    workshop.promote(1)
    told = get(app, f"/models/{PUMP}/deployment-config").json()
    (version,) = get(app, f"/models/{PUMP}").json()["versions"]
    assert told["artifact"] == {"sha256": version["sha256"], "bytes": version["bytes"]}
    assert (told["model_id"], told["strategy"], told["revision"]) == ("series:pump/7", "direct", 1)


def test_a_series_without_a_model_of_its_own_is_served_by_its_fleet(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train(FLEET)
    workshop.promote(1, FLEET)
    assert get(app, f"/models/{PUMP}/deployment-config").json()["model_id"] == "fleet:pumps"
    assert get(app, f"/models/{PUMP}/metrics").json()["model_id"] == "fleet:pumps"


# metrics and plots


def test_metrics_are_told_of_the_window_that_was_asked_for(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.promote(1)
    told = get(app, f"/models/{PUMP}/metrics", window="60m").json()
    assert (told["window"], told["score"]["points"], told["version"]) == ("60m", 60, "v1")
    assert set(told["drift"]) >= {"method", "statistic", "p_value", "threshold", "drifted"}
    assert told["from"] < told["to"]
    assert b'model_drift_detected_total{series_id="pump/7"} 0.0' in workshop.telemetry.render()


@pytest.mark.parametrize("window", ["", "24", "0h", "h", "-1h", "1w", "1.5h", "24h ", "9999999d", "x" * 17])
def test_a_window_that_is_none_is_refused(app: ASGIApp, workshop: Workshop, window: str) -> None:
    workshop.train()
    workshop.promote(1)
    assert refused(get(app, f"/models/{PUMP}/metrics", window=window), 422, "invalid_request") == ["/window"]


def test_a_series_that_joined_after_the_training_is_not_judged_by_the_model_of_another(
    app: ASGIApp, workshop: Workshop
) -> None:
    workshop.train(FLEET)
    workshop.promote(1, FLEET)
    told = get(app, "/models/late/metrics").json()
    assert told["score"] == {"points": 0, "p50": None, "p95": None, "p99": None, "over_threshold": None}
    buckets = get(app, "/plot", series_id="late", format="json", buckets=10).json()["buckets"]
    assert buckets
    assert {(b["lower"], b["upper"], b["anomalies"], b["above"]) for b in buckets} == {(None, None, 0, False)}


def test_a_plot_is_a_picture_or_the_numbers_of_the_same(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.promote(1)
    picture = get(app, "/plot", series_id="pump/7")
    assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
    assert picture.body.startswith(b"\x89PNG")
    told = get(app, "/plot", series_id="pump/7", format="json", buckets=20).json()
    assert (told["series_id"], told["model_id"]) == ("pump/7", "series:pump/7")
    assert 0 < len(told["buckets"]) <= 20
    assert sum(bucket["count"] for bucket in told["buckets"]) == 2_000
    assert told["buckets"][0]["at"].endswith("Z")
    assert all(bucket["lower"] < bucket["mean"] < bucket["upper"] for bucket in told["buckets"])


def test_a_plot_shows_the_range_that_was_asked_for(app: ASGIApp) -> None:
    span = {"from": START_S, "to": "2023-11-14T22:23:20+00:00"}
    told = get(app, "/plot", series_id="pump/7", format="json", **span).json()
    assert sum(bucket["count"] for bucket in told["buckets"]) == 10
    assert told["model_id"] is None


def test_a_plot_of_a_range_without_points_is_empty_and_has_a_picture(app: ASGIApp) -> None:
    assert get(app, "/plot", series_id="pump/7", to=1_000, format="json").json()["buckets"] == []
    assert get(app, "/plot", series_id="pump/7", to=1_000).body.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("query", "status", "code", "place"),
    [
        ({}, 422, "invalid_request", ["/series_id"]),
        ({"series_id": "nobody"}, 404, "unknown_series", []),
        ({"series_id": "pump/7", "from": "yesterday"}, 422, "invalid_time", ["/from"]),
        ({"series_id": "pump/7", "from": "nan"}, 422, "invalid_time", ["/from"]),
        ({"series_id": "pump/7", "to": "1e999"}, 422, "invalid_time", ["/to"]),
        ({"series_id": "pump/7", "from": 5, "to": 5}, 422, "invalid_time", ["/from"]),
        ({"series_id": "pump/7", "buckets": 0}, 422, "invalid_request", ["/buckets"]),
        ({"series_id": "pump/7", "buckets": 4_001}, 422, "invalid_request", ["/buckets"]),
        ({"series_id": "pump/7", "format": "gif"}, 422, "invalid_request", ["/format"]),
        ({"series_id": "x" * 257}, 422, "invalid_request", ["/series_id"]),
    ],
)
def test_a_plot_that_cannot_be_is_refused(
    app: ASGIApp, query: dict[str, str | int], status: int, code: str, place: list[str]
) -> None:
    assert refused(get(app, "/plot", **query), status, code) == place


def test_the_model_of_the_door_and_of_the_shop_is_one(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.promote(1)
    told = get(app, f"/models/{PUMP}/metrics", window="7d").json()
    asked = workshop.lifecycle.metrics(SERIES, "pump/7", "7d")
    assert told["score"]["p99"] == pytest.approx(asked["score"]["p99"])
    assert np.isfinite(told["drift"]["statistic"])
