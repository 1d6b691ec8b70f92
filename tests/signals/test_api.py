from functools import partialmethod
from urllib.parse import quote

import pytest

from atalaia.kit.cursors import encode_cursor
from tests.kit.asgi import call
from tests.signals.builders import START_S
from tests.signals.doors import app_of

NAMES = ["plain", "hall 2/pump 7", "日本/ポンプ", "a%2Fb", "50%", "?x=1&y#z", "a+b", "...", "a//b", "'\"\\"]


class Client:
    """Calls the doors of signals as they stand behind the front."""

    def __init__(self, place):
        self.front = app_of(place, max_body_bytes=1_000_000)

    def request(self, method, url, body=b"", query=None, headers=None):
        return call(self.front, method, url, body, query=query, headers=headers)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")


@pytest.fixture
def client(place):
    return Client(place)


def rows(*points):
    return {"points": [{"series_id": s, "timestamp": START_S + t, "value": v} for s, t, v in points]}


def send(client, *points):
    answer = client.post("/api/v1/points", body=rows(*points))
    assert answer.status == 200, answer.body
    return answer.json()


def path(*segments):
    return "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def ok(answer, status=200):
    assert answer.status == status, answer.body
    return answer.json()


def refused(answer, status, code):
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    return [error["pointer"] for error in answer.json()["errors"]]


# points


def test_points_are_accepted_and_read_back(place, client):
    assert send(client, ("a", 0, 1.5), ("a", 60.25, 2), ("b", 0, 3)) == {"accepted": 3, "series": 2, "created": 2}
    place.drain()
    said = ok(client.get("/api/v1/series/a/points"))
    assert said["points"] == [
        {"timestamp": "2023-11-14T22:13:20Z", "value": 1.5},
        {"timestamp": "2023-11-14T22:14:20.250000Z", "value": 2.0},
    ]
    assert (said["series_id"], said["to"]) == ("a", "2023-11-14T22:14:20.250001Z")
    assert set(said) == {"series_id", "from", "to", "points"}


def test_columns_are_accepted_too(client):
    body = {"series_ids": ["a", "b"], "timestamps": [START_S, "2023-11-14T22:13:20+00:00"], "values": [1, 2]}
    assert ok(client.post("/api/v1/points", body=body)) == {"accepted": 2, "series": 2, "created": 2}


def test_refused_points_say_where_and_are_counted(place, client):
    pointers = refused(
        client.post("/api/v1/points", body=rows(("a", 0, 1), ("a", 1, 1e101))), 422, "invalid_points"
    )
    assert pointers == ["/points/1/value"]
    assert refused(client.post("/api/v1/points", body=rows(("a", 0, 1), ("", 1, 1))), 422, "invalid_id") == [
        "/points/1/series_id"
    ]
    body = {"series_ids": ["a", "jobs"], "timestamps": [1, 1], "values": [1, 1]}
    assert refused(client.post("/api/v1/points", body=body), 422, "invalid_id") == ["/series_ids/1"]
    assert b'points_refused_total{code="invalid_id"} 2.0' in place.telemetry.render()
    assert ok(client.get("/api/v1/series")) == {"items": [], "next": None}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"points":'])
def test_a_body_that_is_not_json_is_a_problem(client, body):
    refused(client.post("/api/v1/points", body=body), 422, "invalid_json")


def test_a_body_that_is_too_large_is_refused(client):
    refused(client.post("/api/v1/points", body=b" " * 1_000_001), 413, "body_too_large")


def test_points_sent_twice_under_one_key_are_kept_once(place, client):
    keyed = {"Idempotency-Key": "k1"}
    first = ok(client.post("/api/v1/points", body=rows(("a", 0, 1)), headers=keyed))
    assert ok(client.post("/api/v1/points", body=rows(("a", 0, 1)), headers=keyed)) == first
    assert place.signals.lag() == 1
    refused(
        client.post("/api/v1/points", body=rows(("a", 0, 2)), headers=keyed),
        422,
        "idempotency_mismatch",
    )
    assert place.signals.lag() == 1


def test_points_are_read_a_page_at_a_time(place, client):
    send(client, *(("a", second, second) for second in range(7)))
    place.drain()
    values, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        said = ok(client.get("/api/v1/series/a/points", query=query))
        values += [point["value"] for point in said["points"]]
        cursor, pages = said.get("next"), pages + 1
    assert (values, pages) == ([0, 1, 2, 3, 4, 5, 6], 3)


def test_points_are_read_as_buckets(client):
    send(client, *(("a", second, second) for second in range(4)))
    query = {"from": START_S, "to": "2023-11-14T22:13:24Z", "buckets": 2}
    said = ok(client.get("/api/v1/series/a/points", query=query))
    assert [(b["count"], b["min"], b["mean"], b["max"]) for b in said["buckets"]] == [
        (2, 0, 0.5, 1),
        (2, 2, 2.5, 3),
    ]
    assert [(b["from"], b["to"]) for b in said["buckets"]] == [
        ("2023-11-14T22:13:20Z", "2023-11-14T22:13:22Z"),
        ("2023-11-14T22:13:22Z", "2023-11-14T22:13:24Z"),
    ]
    assert "points" not in said


@pytest.mark.parametrize(
    ("query", "code", "pointer"),
    [
        ({"from": "yesterday"}, "invalid_time", "/from"),
        ({"to": "nan"}, "invalid_time", "/to"),
        ({"to": "1733587200000"}, "invalid_time", "/to"),
        ({"from": "10", "to": "5"}, "invalid_time", "/from"),
        ({"buckets": "0"}, "invalid_request", "/buckets"),
        ({"limit": "x"}, "invalid_request", "/limit"),
        ({"cursor": "x"}, "bad_cursor", "/cursor"),
        ({"cursor": encode_cursor("a")}, "bad_cursor", "/cursor"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(client, query, code, pointer):
    send(client, ("a", 0, 1))
    assert refused(client.get("/api/v1/series/a/points", query=query), 422, code) == [pointer]


@pytest.mark.parametrize("route", ["series", "fleets", "anomalies", "series/a/points"])
@pytest.mark.parametrize(
    "keys", [("\ud800",), (10**30,), (-(10**30), "a"), (10**30, "a"), (1, "\ud800"), (True, "a")]
)
def test_a_forged_cursor_breaks_nothing(client, route, keys):
    send(client, ("a", 0, 1))
    answer = client.get(f"/api/v1/{route}", query={"cursor": encode_cursor(*keys)})
    assert answer.status in (200, 422), answer.body


# series and fleets


@pytest.mark.parametrize("name", NAMES)
def test_any_id_works_in_every_path(place, client, name):
    send(client, (name, 0, 99.0))
    place.drain()
    assert ok(client.get(path("series", name)))["series_id"] == name
    assert ok(client.get(path("series", name, "points")))["series_id"] == name
    assert ok(client.patch(path("series", name), body={"labels": {"k": "v"}}))["labels"] == {"k": "v"}
    assert ok(client.put(path("fleets", name), body={"series_ids": [name]}))["fleet_id"] == name
    assert ok(client.get(path("fleets", name)))["series"] == [name]
    found = ok(client.get("/api/v1/anomalies", query={"series_id": name}))["items"]
    assert [one["series_id"] for one in found] == [name]


def test_a_series_is_shown_with_its_statistics(place, client):
    send(client, ("a", 0, 1), ("a", 60, 3), ("a", 60, 4))
    place.drain()
    assert ok(client.get("/api/v1/series/a")) == {
        "series_id": "a",
        "fleet_id": None,
        "labels": {},
        "first_at": "2023-11-14T22:13:20Z",
        "last_at": "2023-11-14T22:14:20Z",
        "received": 3,
        "step_s": pytest.approx(60),
        "statistics": {"count": 2, "mean": 2.5, "std": pytest.approx(2.1213203), "last_value": 4.0},
    }


def test_a_series_that_was_not_scored_yet_is_shown(client):
    send(client, ("a", 0, 1))
    said = ok(client.get("/api/v1/series/a"))
    assert (said["first_at"], said["step_s"], said["statistics"]["last_value"]) == (None, None, None)


def test_what_is_unknown_is_missing(client):
    for method, url, code in (
        ("GET", path("series", "nobody"), "unknown_series"),
        ("GET", path("series", "x" * 400), "unknown_series"),
        ("GET", path("series", "a\x00b"), "unknown_series"),
        ("GET", path("series", "no body", "points"), "unknown_series"),
        ("GET", path("fleets", "nothing"), "unknown_fleet"),
        ("GET", path("anomalies", "anm/0"), "unknown_anomaly"),
        ("GET", "/api/v1/anomalies?series_id=nobody", "unknown_series"),
    ):
        refused(client.request(method, url), 404, code)
    refused(client.patch(path("series", "nobody"), body={"labels": {}}), 404, "unknown_series")
    refused(client.put(path("fleets", "f"), body={"series_ids": ["nobody"]}), 404, "unknown_series")
    feedback = {"kind": "noise"}
    refused(client.post(path("anomalies", "x" * 2000, "feedback"), body=feedback), 404, "unknown_anomaly")


def test_lists_of_series_and_fleets_have_cursors_and_filters(client):
    send(client, *((name, 0, 1) for name in ("a 1", "a 2", "b 1")))
    ok(client.put(path("fleets", "f 1"), body={"series_ids": ["a 1", "b 1"]}))
    ok(client.put(path("fleets", "f 2"), body={"series_ids": []}))
    ok(client.patch(path("series", "a 2"), body={"labels": {"asset": "x"}}))
    for url, query, key, expected in (
        ("series", {}, "series_id", ["a 1", "a 2", "b 1"]),
        ("series", {"prefix": "a "}, "series_id", ["a 1", "a 2"]),
        ("series", {"fleet_id": "f 1"}, "series_id", ["a 1", "b 1"]),
        ("series", {"label": "asset:x"}, "series_id", ["a 2"]),
        ("fleets", {}, "fleet_id", ["f 1", "f 2"]),
    ):
        found, cursor = [], None
        for _ in expected:
            more = {"cursor": cursor} if cursor else {}
            page = ok(client.get(f"/api/v1/{url}", query={"limit": 1, **query, **more}))
            found += [item[key] for item in page["items"]]
            cursor = page["next"]
        assert (found, cursor) == (expected, None)
    url = "/api/v1/series?label=asset:x&label=asset:"
    assert [item["series_id"] for item in ok(client.get(f"{url}x"))["items"]] == ["a 2"]
    assert ok(client.get(f"{url}y"))["items"] == []
    assert refused(client.get("/api/v1/series?label=x"), 422, "invalid_request") == ["/label"]
    assert refused(client.get("/api/v1/series?limit=1001"), 422, "invalid_request") == ["/limit"]


def test_fleets_are_shown_without_members_in_a_list(client):
    send(client, ("a", 0, 1))
    one = ok(client.put(path("fleets", "f"), body={"series_ids": ["a"]}))
    assert one == {"fleet_id": "f", "source": "hand", "series_count": 1, "series": []}
    assert ok(client.get("/api/v1/fleets")) == {"items": [one], "next": None}
    assert ok(client.get("/api/v1/fleets/f")) == {**one, "series": ["a"]}


@pytest.mark.parametrize(
    ("method", "url", "body", "code", "pointer"),
    [
        ("PATCH", "series/a", {}, "invalid_request", "/labels"),
        ("PATCH", "series/a", {"labels": {"a": 1}}, "invalid_request", "/labels/a"),
        ("PATCH", "series/a", {"labels": {}, "more": 1}, "invalid_request", "/more"),
        ("PATCH", "series/a", {"labels": {str(i): "" for i in range(65)}}, "invalid_request", "/labels"),
        ("PATCH", "series/a", {"labels": {"a": "x" * 257}}, "invalid_request", "/labels/a"),
        ("PATCH", "series/a", {"labels": {"a": "\ud800"}}, "invalid_request", "/labels/a"),
        ("PUT", "fleets/f", {"series_ids": "a"}, "invalid_request", "/series_ids"),
        ("PUT", "fleets/batch", {"series_ids": []}, "invalid_id", "/fleet_id"),
        ("PUT", "fleets/%20f", {"series_ids": []}, "invalid_id", "/fleet_id"),
    ],
)
def test_a_change_of_another_form_is_refused(client, method, url, body, code, pointer):
    send(client, ("a", 0, 1))
    assert refused(client.request(method, f"/api/v1/{url}", body=body), 422, code) == [pointer]


@pytest.mark.parametrize(
    "body",
    [{"labels": {"a": "\ud800"}}, {"labels": {"\ud800": "a"}}, {"labels": {"a": "\x00"}}, {"labels": {"": ""}}],
)
def test_strange_labels_break_nothing(client, body):
    send(client, ("a", 0, 1))
    answer = client.patch("/api/v1/series/a", body=body)
    assert answer.status in (200, 422), answer.body
    ok(client.get("/api/v1/series/a"))


# anomalies


def test_an_anomaly_is_shown_whole(place, client):
    send(client, ("a", 0, 20), ("a", 60, -30))
    place.drain()
    (one,) = ok(client.get("/api/v1/anomalies"))["items"]
    assert one == {
        "anomaly_id": one["anomaly_id"],
        "series_id": "a",
        "state": "open",
        "from": "2023-11-14T22:13:20Z",
        "to": None,
        "last_at": "2023-11-14T22:14:20Z",
        "peak_at": "2023-11-14T22:14:20Z",
        "peak_score": 3.0,
        "points": 2,
        "seen": -30.0,
        "expected": 0.0,
        "lower": -10.0,
        "upper": 10.0,
        "part": "level",
        "explanation": "-30 is far from 0",
        "model": {"model_id": "fleet:all", "version": "v1", "algorithm": "plain"},
        "feedback": [],
    }
    assert ok(client.get(f"/api/v1/anomalies/{one['anomaly_id']}")) == one


def test_a_closed_anomaly_has_an_end(open_place):
    place = open_place(close_after_points=1)
    client = Client(place)
    send(client, ("a", 0, 20), ("a", 60, 0))
    place.drain()
    assert ok(client.get("/api/v1/anomalies?state=open"))["items"] == []
    (one,) = ok(client.get("/api/v1/anomalies?state=closed"))["items"]
    assert one["to"] == one["from"] == "2023-11-14T22:13:20Z"


def test_anomalies_are_chosen_by_range_and_paged(open_place):
    place = open_place(close_after_points=1)
    client = Client(place)
    for minute in range(4):
        send(client, ("a", minute * 60, 20), ("a", minute * 60 + 30, 0))
    place.drain()
    query = {"from": START_S + 60, "to": START_S + 180, "limit": 1}
    first = ok(client.get("/api/v1/anomalies", query=query))
    second = ok(client.get("/api/v1/anomalies", query={**query, "cursor": first["next"]}))
    assert [page["items"][0]["from"][-9:] for page in (first, second)] == ["22:15:20Z"[-9:], "22:14:20Z"[-9:]]
    assert second["next"] is None
    refused(client.get("/api/v1/anomalies", query={"from": "x"}), 422, "invalid_time")
    refused(client.get("/api/v1/anomalies", query={"state": "pending"}), 422, "invalid_request")


def test_feedback_is_given_once_for_each_key(place, client):
    send(client, ("a", 0, 20))
    place.drain()
    (one,) = ok(client.get("/api/v1/anomalies"))["items"]
    url = f"/api/v1/anomalies/{one['anomaly_id']}/feedback"
    keyed = {"Idempotency-Key": "k"}
    first = ok(client.post(url, body={"kind": "useful", "note": "worn"}, headers=keyed), 201)
    assert (first["kind"], first["note"]) == ("useful", "worn")
    assert ok(client.post(url, body={"kind": "useful", "note": "worn"}, headers=keyed), 201) == first
    shown = ok(client.get(f"/api/v1/anomalies/{one['anomaly_id']}"))["feedback"]
    assert shown == [{**first, "threshold_change": None}]
    assert refused(client.post(url, body={"kind": "great"}), 422, "invalid_request") == ["/kind"]
    assert refused(client.post(url, body={"kind": "noise", "note": "x" * 4001}), 422, "invalid_request") == [
        "/note"
    ]
