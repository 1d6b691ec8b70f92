import pytest

from tests.signals.test_api import Client, ok, path, refused, send


@pytest.fixture
def client(place):
    return Client(place)


def alarm(place, client, name="a", value=13.0):
    send(client, (name, 0, value))
    place.drain()
    (one,) = [one for one in ok(client.get("/api/v1/anomalies"))["items"] if one["series_id"] == name]
    return f"/api/v1/anomalies/{one['anomaly_id']}/feedback"


@pytest.mark.parametrize("name", ["plain", "hall 2/pump 7", "a%2Fb", "日本/ポンプ"])
def test_what_moved_a_threshold_is_shown_and_taken_back(place, client, name):
    url = path("series", name, "threshold")
    change = ok(client.post(alarm(place, client, name), body={"kind": "noise"}), 201)["threshold_change"]
    told = ok(client.get(url))
    assert (told["in_force"], told["calibrated"]) == (pytest.approx(1.326), 1.0)
    assert told["false_alarms_per_week"] is None
    assert [(one["change_id"], one["kind"], one["undone_at"]) for one in told["changes"]] == [
        (change, "noise", None)
    ]
    undone = ok(client.request("DELETE", f"{url}/changes/{change}"))
    assert undone["in_force"] == 1.0
    assert undone["changes"][0]["undone_at"] is not None
    assert refused(client.request("DELETE", f"{url}/changes/{change}"), 409, "already_undone") == []
    assert refused(client.request("DELETE", f"{url}/changes/99"), 404, "unknown_change") == []


def test_a_threshold_is_set_by_hand(place, client):
    alarm(place, client)
    url = path("series", "a", "threshold")
    assert ok(client.put(url, body={"factor": 2.0}))["factor"] == 2.0
    assert ok(client.put(url, body={"factor": 0.5}))["factor"] == pytest.approx(0.5)
    assert [one["kind"] for one in ok(client.get(url))["changes"]] == ["set", "set"]


@pytest.mark.parametrize(
    "body", [{"factor": 0}, {"factor": 99}, {"factor": "x"}, {"factor": None}, {}, {"factor": 1e400}]
)
def test_a_factor_that_is_none_is_refused(place, client, body):
    alarm(place, client)
    assert client.put(path("series", "a", "threshold"), body=body).status in (400, 422)
    assert ok(client.get(path("series", "a", "threshold")))["changes"] == []


def test_unknown_series_and_fleets_are_missing(place, client):
    alarm(place, client)
    assert refused(client.get(path("series", "z", "threshold")), 404, "unknown_series") == []
    assert refused(client.put(path("series", "z", "threshold"), body={"factor": 2}), 404, "unknown_series") == []
    assert refused(client.get(path("fleets", "z", "budget")), 404, "unknown_fleet") == []
    assert refused(client.put(path("fleets", "z", "budget"), body={"sensitivity": 1}), 404, "unknown_fleet") == []
    assert refused(client.request("DELETE", path("fleets", "z", "budget")), 404, "unknown_fleet") == []


def test_a_budget_is_set_shown_and_dropped(place, client):
    alarm(place, client)
    ok(client.put(path("fleets", "hall 2/all"), body={"series_ids": ["a"]}))
    url = path("fleets", "hall 2/all", "budget")
    assert refused(client.get(url), 404, "no_budget") == []
    told = ok(client.put(url, body={"false_alarms_per_day": 20}))
    assert (told["false_alarms_per_day"], told["series_count"], told["alarms_per_day"]) == (20, 1, None)
    told = ok(client.put(url, body={"sensitivity": 0.8}))
    assert told["false_alarms_per_day"] == pytest.approx(1 / 7)
    assert told == ok(client.get(url))
    assert ok(client.get(path("series", "a", "threshold")))["false_alarms_per_week"] == pytest.approx(1.0)
    assert client.request("DELETE", url).status == 204
    assert refused(client.request("DELETE", url), 404, "no_budget") == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"false_alarms_per_day": 20, "sensitivity": 0.8},
        {"false_alarms_per_day": 0},
        {"false_alarms_per_day": -1},
        {"false_alarms_per_day": 1e9},
        {"sensitivity": 1.1},
        {"sensitivity": -0.1},
        {"sensitivity": "high"},
        {"per_day": 3},
    ],
)
def test_a_budget_that_is_none_is_refused(place, client, body):
    alarm(place, client)
    ok(client.put(path("fleets", "f"), body={"series_ids": ["a"]}))
    assert refused(client.put(path("fleets", "f", "budget"), body=body), 422, "invalid_request") != [None]
    assert refused(client.get(path("fleets", "f", "budget")), 404, "no_budget") == []
