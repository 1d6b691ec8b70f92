import pytest

from atalaia.signals.explaining import Explaining
from atalaia.signals.explanation_api import explanations_router
from tests.kit.asgi import call
from tests.signals.builders import START_S
from tests.signals.doors import app_of
from tests.signals.test_explaining import PlainJudge, label, wave

HOUR = 3_600


@pytest.fixture
def get(place):
    wave(place, "hall 2/pump 7", bumps=[400])
    label(place, "hall 2/pump 7", hall="2")
    front = app_of(place, routers=(explanations_router(Explaining(place.signals, PlainJudge())),))
    return lambda path, **query: call(front, "GET", f"/api/v1/{path}", query=query)


def refused(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.json()["code"], [error["pointer"] for error in answer.json()["errors"]]


PUMP = "series/hall%202%2Fpump%207/explanation"


def test_an_anomaly_is_explained(place, get):
    (anomaly,) = place.anomalies()
    answer = get(f"anomalies/{anomaly.anomaly_id}/explanation")
    assert answer.status == 200, answer.body
    told = answer.json()
    assert told["anomaly"]["series_id"] == "hall 2/pump 7"
    assert (
        told["rarity"]["text"] == "not seen in the 10 hours known: nothing half as strange among 594 other points"
    )
    assert told["text"].endswith(told["rarity"]["text"])
    assert told["view"] == "the value, beside the usual level of the series"
    assert told["history"] == {"from": "2023-11-14T22:13:20Z", "to": "2023-11-15T08:12:20Z", "points": 600}
    assert told["lasted_s"] == 300.0
    assert (told["together"], told["together_count"], told["similar"], told["relations"]) == ([], 0, [], [])


def test_a_moment_is_explained(get):
    answer = get(PUMP, at=START_S + HOUR)
    assert answer.status == 200, answer.body
    told = answer.json()
    assert (told["alarmed"], told["anomaly_id"], told["threshold"]) == (False, None, 1.0)
    assert told["timestamp"] == "2023-11-14T23:13:20Z"
    assert [reason["code"] for reason in told["reasons"]] == ["inside"]
    assert get(PUMP).json()["timestamp"] == "2023-11-15T08:12:20Z"
    assert get(PUMP, at="2023-11-15T00:13:20+01:00").json() == told


def test_a_moment_without_points_is_explained_too(get):
    told = get(PUMP, at=0).json()
    assert told["history"] == {"from": None, "to": None, "points": 0}
    assert (told["timestamp"], told["score"], told["distance"]) == (None, None, "no opinion")
    assert [reason["code"] for reason in told["reasons"]] == ["no_points"]


@pytest.mark.parametrize("at", ["", "noon", "nan", "-1", "1e300", "2023-11-14T22:13:20", "9" * 60])
def test_a_time_that_is_none_is_refused(get, at):
    assert refused(get(PUMP, at=at)) == (422, "invalid_time", ["/at"])


@pytest.mark.parametrize("at", ["4102444800", "2100-01-01T00:00:00Z"])
def test_a_time_far_ahead_is_answered(get, at):
    assert get(PUMP, at=at).json()["reasons"][0]["code"] == "missing_point"


@pytest.mark.parametrize("name", ["x", "a" * 5000, "%00", "%F0%9F%92%A5", "..%2F..", "' OR 1=1"])
def test_what_is_not_there_is_missing(get, name):
    assert refused(get(f"anomalies/{name}/explanation"))[:2] == (404, "unknown_anomaly")
    assert refused(get(f"series/{name}/explanation"))[:2] == (404, "unknown_series")
