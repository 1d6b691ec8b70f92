"""The client against a transport that answers as the service does."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from atalaia.connectors.atalaia import Client, Columns, Point, Retry, TrainingConfig
from atalaia.core.errors import ERROR_OF_KIND, HTTP_STATUS, AtalaiaError, Broken, Busy, Invalid, Kind, Unavailable
from atalaia.core.models import ModelKey, Scope

Handler = Callable[[httpx.Request], httpx.Response]
PATIENT = Retry(attempts=3, first_pause_s=0.0)


class Service:
    """Answers in the given order (the last one again and again) and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def problem(kind: Kind, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    body = {"type": "about:blank", "kind": kind.value, "code": "a_code", "detail": "What to do.", **members}
    return httpx.Response(HTTP_STATUS[kind], json=body, headers=headers)


def client_of(service: Handler, **settings: Any) -> Client:
    settings.setdefault("retry", PATIENT)
    return Client("http://test", transport=httpx.MockTransport(service), **settings)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_problem_becomes_the_error_of_its_kind(kind: Kind) -> None:
    answer = problem(kind, {"Retry-After": "99"}, errors=[{"pointer": "/points/3/value", "message": "is text"}])
    with client_of(Service(answer)) as client, pytest.raises(ERROR_OF_KIND[kind]) as caught:
        client.series.get("pump 7")
    assert (caught.value.code, caught.value.detail) == ("a_code", "What to do.")
    assert [(f.pointer, f.message) for f in caught.value.faults] == [("/points/3/value", "is text")]
    assert caught.value.retry_after_s == 99


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, Kind.MISSING), (400, Kind.INVALID), (401, Kind.DENIED), (413, Kind.INVALID), (418, Kind.BROKEN)],
)
def test_a_problem_without_a_known_kind_is_told_by_its_status(status: int, kind: Kind) -> None:
    service = Service(httpx.Response(status, json={"title": "No", "kind": "novel"}))
    with pytest.raises(ERROR_OF_KIND[kind]) as caught:
        client_of(service).health()
    assert caught.value.detail == "No"


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[1]", b'{"items":5}', b"\xff\xfe", b'{"items":[{"series_id":7}]}']
)
def test_an_answer_of_something_else_is_called_bad(body: bytes) -> None:
    with pytest.raises(Broken) as caught:
        client_of(Service(httpx.Response(200, content=body))).series.list()
    assert caught.value.code == "bad_answer"


def test_an_error_page_of_a_stranger_is_called_bad() -> None:
    with pytest.raises(Broken) as caught:
        client_of(Service(httpx.Response(404, content=b"<html>nginx</html>"))).series.get("a")
    assert caught.value.code == "bad_answer"


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut")]
)
def test_no_service_says_how_to_start_one(error: Exception) -> None:
    service = Service(error)
    with pytest.raises(Unavailable) as caught:
        client_of(service).series.get("a")
    assert caught.value.code == "unreachable"
    assert "atalaia up" in caught.value.detail
    assert len(service.requests) == PATIENT.attempts


def test_points_are_sent_again_under_one_key() -> None:
    service = Service(
        httpx.ReadTimeout("late"), problem(Kind.UNAVAILABLE), ok({"accepted": 1, "series": 1, "created": 0})
    )
    accepted = client_of(service).points.add([Point("a", 1397114100.25, 1.5)])
    keys = {request.headers["Idempotency-Key"] for request in service.requests}
    assert (accepted.accepted, len(service.requests), len(keys)) == (1, 3, 1)
    client_of(service).points.add([Point("a", 1397114100, 2.0)])
    assert service.requests[-1].headers["Idempotency-Key"] not in keys


def test_a_call_that_must_not_happen_twice_is_sent_once() -> None:
    service = Service(problem(Kind.UNAVAILABLE))
    with pytest.raises(Unavailable):
        client_of(service).models.reload("a")
    assert len(service.requests) == 1


@pytest.mark.parametrize("kind", [Kind.MISSING, Kind.CONFLICT, Kind.INVALID, Kind.DENIED, Kind.BROKEN])
def test_what_cannot_get_better_is_not_repeated(kind: Kind) -> None:
    service = Service(problem(kind))
    with pytest.raises(AtalaiaError):
        client_of(service).series.get("a")
    assert len(service.requests) == 1


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.4), (3.0, 3.0), (300.0, None)])
def test_a_pause_doubles_unless_the_service_asks_for_another(asked: float | None, pause: float | None) -> None:
    assert Retry(attempts=9, first_pause_s=0.1).pause_s(3, Busy("busy", "later", retry_after_s=asked)) == pause


def test_pauses_end() -> None:
    retry = Retry(attempts=3)
    assert retry.pause_s(3, Busy("busy", "later")) is None
    assert retry.pause_s(1, Invalid("bad", "never")) is None


def test_a_long_retry_after_is_handed_to_the_caller() -> None:
    service = Service(problem(Kind.BUSY, {"Retry-After": "290"}))
    with pytest.raises(Busy) as caught:
        client_of(service).training.start(ModelKey(Scope.SERIES, "a"))
    assert (caught.value.retry_after_s, len(service.requests)) == (290, 1)


@pytest.mark.parametrize("header", ["soon", "Wed, 21 Oct 2015 07:28:00 GMT", "0"])
def test_a_retry_after_of_any_writing_is_survived(header: str) -> None:
    service = Service(problem(Kind.BUSY, {"Retry-After": header}), ok({"status": "ok"}))
    assert client_of(service).health().status == "ok"


@pytest.mark.parametrize("name", ["a/b c%/é日本", "..", ".", "a?b#c&d", "100%25"])
def test_an_id_is_one_segment_of_the_path(name: str) -> None:
    service = Service(ok({"series_id": name}))
    assert client_of(service).series.get(name).series_id == name
    path = service.requests[0].url.raw_path.decode()
    written = path.removeprefix("/api/v1/series/")
    assert not set(written) & set("/?# ")
    assert service.requests[0].url.path == f"/api/v1/series/{name}"


def test_an_id_that_is_not_text_is_refused_here() -> None:
    with pytest.raises(Invalid):
        client_of(Service(ok({}))).series.get("\udcff")
    with pytest.raises(Invalid):
        client_of(Service(ok({}))).points.add([Point("\udcff", 1, 1.0)])


def test_columns_keep_every_microsecond() -> None:
    service = Service(ok({"accepted": 2}))
    at = np.array([1397114100_123456, 4102444799_999999], np.int64)
    client_of(service).points.add(Columns(["a", "b"], at, np.array([1.5, -2.0])))
    body = json.loads(service.requests[0].content)
    assert body == {
        "series_ids": ["a", "b"],
        "timestamps": [1397114100.123456, 4102444799.999999],
        "values": [1.5, -2.0],
    }


def test_a_list_is_walked_to_its_end_with_its_filters() -> None:
    service = Service(
        ok({"items": [{"series_id": "a", "novel": 1}], "next": "c1"}),
        ok({"items": [{"series_id": "b"}], "next": None}),
    )
    found = client_of(service).series.iterate(labels={"site": "north"}, prefix="nab/")
    assert [series.series_id for series in found] == ["a", "b"]
    assert [dict(r.url.params).get("cursor") for r in service.requests] == [None, "c1"]
    assert all(r.url.params["label"] == "site:north" and r.url.params["prefix"] == "nab/" for r in service.requests)


def test_a_cursor_that_stands_still_ends_the_list() -> None:
    service = Service(ok({"items": [{"fleet_id": "a"}], "next": "c1"}))
    assert len(list(client_of(service).fleets.iterate())) == 2


def test_times_are_asked_for_in_utc() -> None:
    service = Service(ok({"items": []}))
    client_of(service).anomalies.list(from_=datetime(2014, 4, 10, 7, 15, tzinfo=UTC), to=5.5, state="open")
    assert dict(service.requests[0].url.params) == {"from": "2014-04-10T07:15:00Z", "to": "5.5", "state": "open"}
    with pytest.raises(Invalid, match="time zone"):
        client_of(service).anomalies.list(from_=datetime(2014, 4, 10))  # noqa: DTZ001


CALLS: list[tuple[Callable[[Client], Any], str, str, Any]] = [
    (lambda c: c.series.label("a", {"x": "y"}), "PATCH", "/series/a", {"series_id": "a"}),
    (lambda c: c.series.points("a", from_=1), "GET", "/series/a/points?from=1", {"points": []}),
    (lambda c: c.series.buckets("a", 10), "GET", "/series/a/points?buckets=10", {"buckets": []}),
    (lambda c: c.fleets.get("f/1"), "GET", "/fleets/f%2F1", {"fleet_id": "f/1"}),
    (lambda c: c.fleets.set("f", ["a"]), "PUT", "/fleets/f", {"fleet_id": "f"}),
    (lambda c: c.anomalies.give_feedback("ano_1", "noise"), "POST", "/anomalies/ano_1/feedback", {"kind": "noise"}),
    (lambda c: c.training.start(ModelKey(Scope.FLEET, "f")), "POST", "/training/fleets/f", {"job_id": "j"}),
    (lambda c: c.training.list(series_id="a"), "GET", "/training/jobs?series_id=a", {"items": []}),
    (lambda c: c.jobs.list(status="failed"), "GET", "/jobs?status=failed", {"items": []}),
    (lambda c: c.jobs.cancel("j"), "DELETE", "/jobs/j", {"job_id": "j", "status": "cancelled"}),
    (lambda c: c.models.list(limit=5), "GET", "/models?limit=5", {"items": []}),
    (lambda c: c.models.get(ModelKey(Scope.FLEET, "f")), "GET", "/models/fleets/f", {"model_id": "fleet:f"}),
    (
        lambda c: c.models.promote(ModelKey(Scope.SERIES, "a/b"), "v2"),
        "POST",
        "/models/a%2Fb/versions/v2/promote",
        {"model_id": "series:a/b", "version": "v2"},
    ),
    (
        lambda c: c.models.deployment(ModelKey(Scope.SERIES, "a")),
        "GET",
        "/models/a/deployment-config",
        {"model_id": "series:a", "version": "v1"},
    ),
    (lambda c: c.models.metrics(ModelKey(Scope.SERIES, "a")), "GET", "/models/a/metrics?window=24h", {}),
    (
        lambda c: c.models.challenge(ModelKey(Scope.SERIES, "a/b"), "v2"),
        "PUT",
        "/models/a%2Fb/challenger",
        {"model_id": "series:a/b", "version": "v1", "challenger": "v2"},
    ),
    (
        lambda c: c.models.challenge(ModelKey(Scope.FLEET, "f"), None),
        "PUT",
        "/models/fleets/f/challenger",
        {"model_id": "fleet:f", "version": "v1", "challenger": None},
    ),
    (
        lambda c: c.events.list(active_at=1, series_id="a"),
        "GET",
        "/known-events?active_at=1&series_id=a",
        {"items": []},
    ),
    (lambda c: list(c.events.iterate()), "GET", "/known-events?limit=1000", {"items": []}),
    (lambda c: c.events.get("e/1"), "GET", "/known-events/e%2F1", {"event_id": "e"}),
    (lambda c: c.events.add("t", "deploy", 1, everything=True), "POST", "/known-events", {"event_id": "e"}),
    (lambda c: c.events.change("e", until=1), "PATCH", "/known-events/e", {"event_id": "e"}),
    (lambda c: c.events.delete("e"), "DELETE", "/known-events/e", {}),
    (lambda c: c.series.resolve(["a"]), "POST", "/series/resolve", {"series": [1], "created": 1}),
    (lambda c: c.waves.start(), "POST", "/training/waves", {"wave_id": "w"}),
    (lambda c: c.waves.get("w/1"), "GET", "/training/waves/w%2F1", {"wave_id": "w"}),
    (lambda c: c.waves.promote("w"), "POST", "/training/waves/w/promote", {"wave_id": "w"}),
    (lambda c: c.waves.retry("w"), "POST", "/training/waves/w/retry", {"wave_id": "w"}),
    (lambda c: c.models.reload("a"), "POST", "/admin/reload/a", {"model_id": "series:a"}),
    (lambda c: c.predict("a", 1.0), "POST", "/predict/a", {"series_id": "a"}),
    (lambda c: c.predict_batch([Point("a", 1, 1.0)]), "POST", "/predict/batch", {"predictions": []}),
]


@pytest.mark.parametrize(("call", "method", "path", "answer"), CALLS)
def test_every_call_goes_to_its_path(call: Callable[[Client], Any], method: str, path: str, answer: Any) -> None:
    service = Service(ok(answer))
    call(client_of(service))
    assert (service.requests[0].method, service.requests[0].url.raw_path.decode()) == (method, "/api/v1" + path)


def test_a_training_sends_what_was_asked_for_and_nothing_else() -> None:
    service = Service(ok({"job_id": "job_1"}, 202))
    data = Columns(["a"], np.array([1_500_000], np.int64), np.array([2.0]))
    config = TrainingConfig(algorithm="statistical", hyperparameters={"threshold_sigma": 3.0})
    client_of(service).training.start(ModelKey(Scope.SERIES, "a"), config, data=data, priority=7)
    assert json.loads(service.requests[0].content) == {
        "config": {"algorithm": "statistical", "hyperparameters": {"threshold_sigma": 3.0}},
        "timestamps": [1.5],
        "values": [2.0],
        "priority": 7,
    }


def states(*names: str) -> Iterator[httpx.Response]:
    return (ok({"job_id": "j", "status": name, "progress": 0.5}) for name in names)


def test_waiting_for_a_job_ends_with_the_job() -> None:
    seen: list[str] = []
    client = client_of(Service(*states("queued", "processing", "failed")))
    job = client.jobs.wait("j", on_change=lambda job: seen.append(job.status), sleep=lambda s: None)
    assert (job.status, seen) == ("failed", ["queued", "processing", "failed"])


def test_waiting_for_a_job_ends_with_patience() -> None:
    with pytest.raises(Unavailable, match="processing"):
        client_of(Service(*states("processing"))).jobs.wait("j", timeout_s=1, sleep=lambda s: None)


@pytest.mark.parametrize("url", ["", "localhost:8460", "ftp://x", "http://", "http://x:y", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="8460"):
        Client(url)


def test_a_token_is_shown_and_bodies_are_heard() -> None:
    heard: list[bytes] = []
    service = Service(httpx.Response(200, content=b'{"status":"ok",  "novel":1}'))
    client_of(service, token="t0k", on_answer=heard.append).health()
    assert service.requests[0].headers["Authorization"] == "Bearer t0k"
    assert heard == [b'{"status":"ok",  "novel":1}']
