"""The door of assets: moments go in, scores and the sensors that deviate come out; rubbish is refused by name."""

import json
import subprocess
import sys

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from atalaia.algorithms.asset_laws import plant
from atalaia.kit.privacy import Privacy, PrivacySettings
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.serving.asset_api import asset_scores_router
from tests.kit.asgi import Answer, call
from tests.serving.builders import Place
from tests.serving.test_assets import KEY, SENSORS, asset_model

AFTER = plant(1, 120, 3)
AFTER[40:80, 1] += 9.0


def doors(place: Place, most: int = 200, privacy: Privacy | None = None) -> ASGIApp:
    app = FastAPI()
    install_problems(app)
    app.include_router(asset_scores_router(place.models.assets, most, privacy))
    return Front(app, telemetry=place.telemetry, max_body_bytes=2**24)


@pytest.fixture
def app(place: Place) -> ASGIApp:
    place.deploy(KEY, asset_model())
    return doors(place)


def post(app: ASGIApp, body: object, asset: str = "press%203") -> Answer:
    return call(app, "POST", f"/api/v1/assets/{asset}/score", body)


def moments(values: np.ndarray, names: tuple[str, ...] = SENSORS) -> dict[str, object]:
    rows = [{name: float(v) for name, v in zip(names, row, strict=True) if not np.isnan(v)} for row in values]
    return {"moments": [{"timestamp": 1_700_100_000 + 60 * i, "values": row} for i, row in enumerate(rows)]}


def test_moments_are_scored_as_the_model_scores_them_and_the_sensor_that_is_off_is_named(app: ASGIApp) -> None:
    told = post(app, moments(AFTER)).json()
    wanted = asset_model().score(AFTER).score
    found = np.array([one["score"] for one in told["moments"]], np.float64)
    np.testing.assert_array_equal(found, wanted)
    strange = [one for one in told["moments"] if one["is_anomaly"]]
    assert len(strange) > 30
    assert {one["sensors"][0]["series_id"] for one in strange if one["sensors"]} == {"heat"}
    first = strange[0]["sensors"][0]
    assert first["score"] > 1
    assert not first["lower"] <= first["seen"] <= first["upper"]
    assert told["model_info"] == {
        "model_id": "asset:press 3",
        "version": "v1",
        "stage": "Production",
        "type": "relations",
        "loaded_from": "mlflow",
    }


def test_nothing_is_learnt_from_what_is_asked(app: ASGIApp) -> None:
    assert post(app, moments(AFTER)).json() == post(app, moments(AFTER)).json()


def test_one_moment_must_be_far_off(app: ASGIApp) -> None:
    def ask(by: float) -> dict[str, object]:
        values = dict(zip(SENSORS, (AFTER[0] + [0.0, by, 0.0]).tolist(), strict=True))
        answer: dict[str, object] = post(app, {"timestamp": "2026-11-20T10:00:00Z", "values": values}).json()
        return answer

    assert (ask(0.0)["is_anomaly"], ask(1000.0)["is_anomaly"]) == (False, True)
    (told,) = ask(1000.0)["moments"]  # pyright: ignore[reportGeneralTypeIssues]
    assert told["sensors"][0]["series_id"] == "heat"
    assert told["timestamp"] == "2026-11-20T10:00:00Z"


def test_missing_sensors_are_told_and_no_evidence(app: ASGIApp) -> None:
    values = AFTER.copy()
    values[:, 1] = np.nan
    told = post(app, moments(values)).json()
    assert all(one["missing"] == ["heat"] for one in told["moments"])
    assert not any(one["is_anomaly"] for one in told["moments"])
    nothing = post(app, {"timestamp": 1, "values": {"flow": None}}).json()
    assert (nothing["score"], nothing["is_anomaly"]) == (None, False)
    assert post(app, {"moments": []}).json()["score"] is None


BAD = {
    "an unknown sensor": ({"timestamp": 1, "values": {"a/b~": 1.0}}, "unknown_sensor", "/values/a~1b~0"),
    "an unknown sensor later on": (
        {"moments": [{"timestamp": 1, "values": {}}, {"timestamp": 2, "values": {"x": 1.0}}]},
        "unknown_sensor",
        "/moments/1/values/x",
    ),
    "no moment": ({}, "invalid_request", ""),
    "both forms": ({"timestamp": 1, "values": {}, "moments": []}, "invalid_request", ""),
    "half a moment": ({"timestamp": 1}, "invalid_request", ""),
    "a text": ({"timestamp": 1, "values": {"flow": "wet"}}, "invalid_request", "/values/flow"),
    "a huge number": ({"timestamp": 1, "values": {"flow": 1e300}}, "invalid_request", "/values/flow"),
    "no time": ({"timestamp": "soon", "values": {}}, "invalid_time", "/timestamp"),
    "milliseconds": ({"timestamp": 1.7e12, "values": {}}, "invalid_time", "/timestamp"),
    "out of order": (
        {"moments": [{"timestamp": 2, "values": {}}, {"timestamp": 2, "values": {}}]},
        "invalid_time",
        "/moments/1/timestamp",
    ),
    "too many": ({"moments": [{"timestamp": i, "values": {}} for i in range(201)]}, "too_many_points", "/moments"),
    "a list": ([1], "invalid_request", ""),
    "another field": ({"timestamp": 1, "values": {}, "learn": True}, "invalid_request", "/learn"),
}


@pytest.mark.parametrize(("body", "code", "pointer"), BAD.values(), ids=BAD)
def test_rubbish_is_refused_with_where_it_is(app: ASGIApp, body: object, code: str, pointer: str) -> None:
    answer = post(app, body)
    assert answer.json()["code"] == code
    assert 400 <= answer.status < 500
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(app: ASGIApp, number: str) -> None:
    body = json.dumps({"timestamp": 1, "values": {"flow": "?"}}).replace('"?"', number).encode()
    assert 400 <= post(app, body).status < 500


def test_an_asset_without_a_model_is_missing(app: ASGIApp) -> None:
    answer = post(app, {"timestamp": 1, "values": {}}, "mill")
    assert (answer.status, answer.json()["code"]) == (404, "no_deployment")


def test_sensors_that_are_hidden_are_named_by_those_who_know_them(place: Place, tmp_path) -> None:
    rules = [{"where": "series_id", "match": "heat", "action": "hash"}]
    privacy = Privacy(PrivacySettings.model_validate({"rules": rules}), tmp_path)
    names = tuple(privacy.series_ids(SENSORS))
    place.deploy(KEY, asset_model(sensors=names))
    told = post(doors(place, privacy=privacy), moments(AFTER)).json()
    strange = next(one for one in told["moments"] if one["is_anomaly"])
    assert strange["sensors"][0]["series_id"] == privacy.series_id("heat")


def test_nothing_of_scikit_learn_is_loaded_to_score() -> None:
    code = (
        "import sys; from atalaia.serving.asset_api import asset_scores_router;"
        "from atalaia.algorithms.forests import IsolationForest;"
        "sys.exit(any(name.startswith('sklearn') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
