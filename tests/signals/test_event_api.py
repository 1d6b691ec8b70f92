import pytest

from atalaia.core.clock import MICROS, now_us
from atalaia.signals.event_api import events_router
from atalaia.signals.event_schemas import KnownEventIn
from atalaia.signals.events import KnownEvents
from tests.kit.asgi import call
from tests.signals.builders import START_S
from tests.signals.doors import app_of

PATH = "/api/v1/known-events"
HOUR = 3_600
USUAL = {"kind": "maintenance", "title": "new bearing", "scope": {"everything": True}, "from": START_S}


@pytest.fixture
def ask(place):
    place.send(("hall 2/pump 7", 0, 1.0), ("b", 0, 1.0))
    front = app_of(place, routers=(events_router(KnownEvents(place.signals)),))

    def send(method, path="", body=b"", key=None, **query):
        headers = {"idempotency-key": key} if key else {}
        return call(front, method, PATH + path, body, query=query, headers=headers)

    return send


def ok(answer, status=200):
    assert answer.status == status, answer.body
    return answer.json()


def refused(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.body
    return answer.status, answer.json()["code"], [error["pointer"] for error in answer.json()["errors"]]


def test_an_event_is_made_read_ended_and_deleted(ask):
    sent = {**USUAL, "scope": {"series_ids": ["hall 2/pump 7"]}, "to": START_S + HOUR}
    made = ok(ask("POST", body=sent), 201)
    assert made["event_id"].startswith("evt_")
    assert made["scope"] == {
        "everything": False,
        "fleet_id": None,
        "series_ids": ["hall 2/pump 7"],
        "labels": [],
    }
    assert (made["from"], made["to"], made["until"]) == ("2023-11-14T22:13:20Z", "2023-11-14T23:13:20Z", None)
    assert (made["is_active"], made["recurrence"], made["holidays"]) == (False, None, None)
    at = f"/{made['event_id']}"
    assert ok(ask("GET", at)) == made
    assert ok(ask("GET", series_id="hall 2/pump 7")) == {"items": [made], "next": None}
    assert ok(ask("GET", series_id="b"))["items"] == []
    assert ok(ask("GET", active_at=START_S + 60))["items"] == [made]
    assert ok(ask("GET", active_at=START_S + HOUR))["items"] == []
    ended = ok(ask("PATCH", at, {"until": START_S + 60, "title": "it was quick"}))
    assert (ended["until"], ended["title"]) == ("2023-11-14T22:14:20Z", "it was quick")
    assert ok(ask("GET", active_at=START_S + 61))["items"] == []
    assert ask("DELETE", at).status == 204
    for method in ("GET", "DELETE"):
        assert refused(ask(method, at)) == (404, "unknown_event", [])


def test_what_comes_again_is_told_as_it_was_said(ask):
    rule = {"rrule": "FREQ=WEEKLY;BYDAY=SU", "zone": "America/Sao_Paulo"}
    again = ok(ask("POST", body={**USUAL, "to": START_S + HOUR, "recurrence": rule}), 201)
    assert (again["recurrence"], again["holidays"]) == (rule, None)
    place = {"country": "BR", "subdivision": "SP", "zone": "America/Sao_Paulo"}
    holidays = ok(ask("POST", body={**USUAL, "kind": "holiday", "holidays": place}), 201)
    assert (holidays["holidays"], holidays["to"]) == (place, None)


def test_an_event_that_is_on_now_says_so(ask):
    now = now_us() / MICROS
    made = ok(ask("POST", body={**USUAL, "kind": "deploy", "from": now - 60}), 201)
    assert made["is_active"]


def test_the_same_request_twice_makes_one_event(ask):
    sent = {**USUAL, "to": START_S + 1}
    first = ok(ask("POST", body=sent, key="k"), 201)
    assert ok(ask("POST", body=sent, key="k"), 201) == first
    assert len(ok(ask("GET"))["items"]) == 1
    assert refused(ask("POST", body={**sent, "title": "another"}, key="k"))[:2] == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"kind": "party"}, "invalid_request", "/kind"),
        ({"title": ""}, "invalid_request", "/title"),
        ({"title": "x" * 201}, "invalid_request", "/title"),
        ({"title": "a\0b"}, "invalid_request", "/title"),
        ({"from": "yesterday"}, "invalid_time", "/from"),
        ({"from": "2026-01-01T00:00:00"}, "invalid_time", "/from"),
        ({"from": 1e300}, "invalid_time", "/from"),
        ({"from": None}, "invalid_request", "/from"),
        ({"to": START_S}, "invalid_event", "/to"),
        ({"to": -1}, "invalid_time", "/to"),
        ({"scope": {}}, "invalid_event", "/scope"),
        ({"scope": {"everything": True, "fleet_id": "f"}}, "invalid_event", "/scope"),
        ({"scope": {"series_ids": ["a"] * 5_001}}, "invalid_request", "/scope/series_ids"),
        ({"scope": {"series_ids": ["\x00"]}}, "unknown_series", "/scope/series_ids/0"),
        ({"scope": {"labels": ["a:b"] * 17}}, "invalid_request", "/scope/labels"),
        ({"scope": {"everything": True, "other": 1}}, "invalid_request", "/scope/other"),
        ({"recurrence": {"rrule": "FREQ=SECONDLY", "zone": "UTC"}}, "invalid_event", "/recurrence/rrule"),
        ({"recurrence": {"rrule": "F" * 501, "zone": "UTC"}}, "invalid_request", "/recurrence/rrule"),
        ({"recurrence": {"rrule": "FREQ=DAILY", "zone": "Nowhere"}}, "unknown_zone", "/recurrence/zone"),
        ({"recurrence": {"rrule": "FREQ=DAILY"}}, "invalid_request", "/recurrence/zone"),
        ({"holidays": {"country": "XX", "zone": "UTC"}}, "unknown_country", "/holidays/country"),
    ],
)
def test_what_cannot_be_is_a_problem_with_its_place(ask, changed, code, pointer):
    status, said, pointers = refused(ask("POST", body={**USUAL, "to": START_S + HOUR, **changed}))
    assert said == code
    assert pointers[0].startswith(pointer)
    assert status == (404 if code == "unknown_series" else 422)
    assert ok(ask("GET"))["items"] == []


def test_a_change_may_be_wrong_too(ask):
    made = ok(ask("POST", body={**USUAL, "to": START_S + HOUR}), 201)
    at = f"/{made['event_id']}"
    assert refused(ask("PATCH", at, {"until": START_S})) == (422, "invalid_event", ["/until"])
    assert refused(ask("PATCH", at, {"until": "soon"})) == (422, "invalid_time", ["/until"])
    assert refused(ask("PATCH", at, {"kind": "other"}))[1] == "invalid_request"
    assert refused(ask("PATCH", "/evt_nobody", {"title": "x"}))[1] == "unknown_event"
    assert ok(ask("GET", at)) == made


def test_the_list_goes_on_where_it_ended(ask):
    for i in range(5):
        ok(ask("POST", body={**USUAL, "to": START_S + HOUR, "title": f"{i}"}), 201)
    titles, cursor = [], None
    while True:
        page = ok(ask("GET", limit=2, **({"cursor": cursor} if cursor else {})))
        titles += [one["title"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert titles == ["4", "3", "2", "1", "0"]
    assert refused(ask("GET", cursor="x"))[1] == "bad_cursor"
    assert refused(ask("GET", active_at="x"))[1] == "invalid_time"
    assert refused(ask("GET", series_id="nobody"))[1] == "unknown_series"


def test_the_examples_of_the_schema_are_accepted(ask, place):
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "shops", ["b"])
    for example in KnownEventIn.model_json_schema()["examples"]:
        ok(ask("POST", body=example), 201)
