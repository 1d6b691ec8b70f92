"""Hot doors stand in front of the application: routing, answers, errors, and what is noted of a call."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.core.errors import Broken, Fault, Invalid, Missing, Unavailable
from atalaia.kit.web import doors
from atalaia.kit.web.doors import Answer, Call, decoded_segment, json_answer
from atalaia.kit.web.hot import in_thread, through
from tests.kit.asgi import call
from tests.kit.fakes import logged
from tests.kit.web.fronts import Front, door, echo, problem_of


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Log without the coloured tracebacks of an unconfigured log, which take seconds."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


# routing

ROUTES = (
    door("/predict/batch"),
    door("/predict/{}"),
    door("/v1/models/{}:predict"),
    door("/v2/models/{}/infer", deep=True),
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/predict/batch", ""),
        ("/predict/a", "a"),
        ("/predict/hall%202%2Fpump", "hall 2/pump"),
        ("/predict/a%2fb%2F", "a/b/"),
        ("/predict/%252F", "%2F"),
        ("/predict/100%", "100%"),
        ("/predict/%E6%B8%A9", "温"),
        ("/predict/%FF", "�"),
        ("/predict/..", ".."),
        ("/predict/batch%20", "batch "),
        ("/v1/models/series:a:predict", "series:a"),
        ("/v1/models/a%3Apredict:predict", "a:predict"),
        ("/v2/models/fleet:a%2Fb/infer", "fleet:a%2Fb"),
        ("/v2/models/fleet:a/versions/2/infer", "fleet:a/versions/2"),
        ("/v2/models/infer/infer", "infer"),
    ],
)
def test_a_door_is_told_what_stands_in_the_place_of_its_pattern(path: str, name: str) -> None:
    answer = Front(*ROUTES).post(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["name"] == name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/predict",
        "/predict/",
        "/predict/a/b",
        "/predict/a/",
        "/Predict/a",
        "//predict/a",
        "/v1/models/:predict",
        "/v1/models/a",
        "/v1/models/a/b:predict",
        "/v2/models//infer",
        "/v2/models/infer",
        "/v2/models/a/infer/",
        "/predict/batch/x",
    ],
)
def test_what_is_no_door_goes_to_the_application(path: str) -> None:
    front = Front(*ROUTES)
    assert front.post(path).body == b"the application"
    assert front.noted() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "post"])
def test_another_method_goes_to_the_application(method: str) -> None:
    assert call(Front(*ROUTES).app, method, "/predict/a").body == b"the application"


def test_a_server_that_sends_no_raw_path_is_answered_by_the_application() -> None:
    async def run(app: ASGIApp) -> None:
        scope = {"type": "http", "method": "POST", "path": "/predict/a", "headers": [], "query_string": b""}
        await app(scope, nothing, lambda message: asyncio.sleep(0, sent.append(message)))

    async def nothing() -> Message:
        return {"type": "http.request"}

    sent: list[Message] = []
    asyncio.run(run(Front(*ROUTES).app))
    assert sent[-1]["body"] == b"the application"


def test_what_is_no_request_goes_to_the_application() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def run(front: ASGIApp) -> None:
        for kind in ("lifespan", "websocket"):
            await front({"type": kind}, None, None)  # type: ignore[arg-type]

    asyncio.run(run(Front(*ROUTES, app=app).app))
    assert seen == ["lifespan", "websocket"]


def test_a_door_is_told_query_path_and_headers() -> None:
    def told(call: Call) -> Answer:
        return json_answer([call.query.decode(), call.path, call.header(b"x-many"), call.header(b"x-none")])

    headers = {"X-Many": "one", "x-other": "two"}
    answer = Front(door("/d/{}", told)).post("/d/a%2Fb?x=1&y=%20", headers=headers)
    assert answer.json() == ["x=1&y=%20", "/d/a/b", "one", ""]


# answers


def test_an_answer_has_status_type_length_and_headers() -> None:
    def told(_: Call) -> Answer:
        return Answer(b"abc", 201, b"text/plain", ((b"x-more", b"1"),))

    answer = Front(door(act=told)).post("/door")
    assert (answer.status, answer.body) == (201, b"abc")
    assert answer.headers.pop("x-request-id").startswith("req_")
    assert answer.headers == {"content-type": "text/plain", "content-length": "3", "x-more": "1"}


def test_an_answer_without_content_has_no_body_nor_its_headers() -> None:
    answer = Front(door(act=lambda _: Answer(status=204))).post("/door")
    assert (answer.status, answer.body, list(answer.headers)) == (204, b"", ["x-request-id"])


def test_a_door_may_be_waited_for() -> None:
    assert Front(door(act=lambda call: in_thread(lambda: echo(call)))).post("/door", b"x").json()["body"] == "x"


@pytest.mark.parametrize("sent", ["mine", "a" * 128, "with space", "-"])
def test_a_usable_request_id_is_kept(sent: str) -> None:
    answer = Front(door()).post("/door", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"] == answer.json()["id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "tab\tin it", "é", "del\x7f"])
def test_an_unusable_request_id_is_replaced(sent: str) -> None:
    answer = Front(door()).post("/door", headers={"x-request-id": sent})
    assert re.fullmatch(r"req_[0-9A-Z]{26}", answer.headers["x-request-id"])
    assert answer.json()["id"] == answer.headers["x-request-id"]


# errors


def raising(error: Exception, *, later: bool = False) -> doors.Door:
    def now(_: Call) -> Answer:
        raise error

    async def after(_: Call) -> Answer:
        await asyncio.sleep(0)
        raise error

    return after if later else now


@pytest.mark.parametrize("later", [False, True])
def test_an_error_of_a_door_is_a_problem(later: bool) -> None:
    error = Invalid("bad_tensor", "it is bad", faults=[Fault("/inputs", "bad")])
    answer = Front(door("/d/{}", raising(error, later=later))).post("/d/%E6%B8%A9")
    assert problem_of(answer) == (400, "bad_tensor")
    told = answer.json()
    assert (told["instance"], told["errors"]) == ("/d/温", [{"pointer": "/inputs", "message": "bad"}])
    assert "connection" not in answer.headers


@pytest.mark.parametrize(("seconds", "told"), [(0.01, "1"), (1.4, "1"), (30, "30")])
def test_an_error_that_passes_says_when_to_come_again(seconds: float, told: str) -> None:
    error = Unavailable("database_busy", "wait", retry_after_s=seconds)
    answer = Front(door(act=raising(error))).post("/door")
    assert (*problem_of(answer), answer.headers["retry-after"]) == (503, "database_busy", told)


@pytest.mark.parametrize("later", [False, True])
def test_an_error_that_nobody_expected_is_logged_and_tells_nothing(later: bool) -> None:
    front = Front(door(act=raising(ZeroDivisionError("a secret"), later=later)))
    with logged("unexpected", path="/door", request_id="mine"):
        answer = front.post("/door", headers={"x-request-id": "mine"})
    assert problem_of(answer) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert front.noted() == ['http_requests_total{method="POST",route="/door",status="500"} 1.0']


def test_a_fault_of_ours_is_logged() -> None:
    with logged("broken", code="bad_blob"):
        answer = Front(door(act=raising(Broken("bad_blob", "damaged")))).post("/door")
    assert problem_of(answer) == (500, "bad_blob")


def test_a_door_may_have_its_own_form_of_errors() -> None:
    def refuse(error: Any, call: Call) -> Answer:
        return Answer(f"{error.code} {call.name}".encode(), 418, b"text/plain")

    front = Front(door("/d/{}", raising(Missing("unknown_model", "x")), refuse=refuse))
    assert (front.post("/d/a").status, front.post("/d/a").body) == (418, b"unknown_model a")
    too_large = front.post("/d/a", headers={"content-length": "99999999"})
    assert (too_large.body, too_large.headers["connection"]) == (b"body_too_large a", "close")


# what is noted


def test_calls_are_counted_and_timed_by_route() -> None:
    front = Front(door("/d/{}"), door("/bad/{}", raising(Missing("unknown_model", "x"))))
    for name in "abc":
        front.post(f"/d/{name}")
    front.post("/bad/a")
    assert sorted(front.noted()) == [
        'http_requests_total{method="POST",route="/bad/{name}",status="404"} 1.0',
        'http_requests_total{method="POST",route="/d/{name}",status="200"} 3.0',
    ]
    assert 'http_request_duration_seconds_count{method="POST",route="/d/{name}"} 3.0' in front.noted(
        "http_request_duration_seconds_count"
    )


def test_calls_are_logged_with_path_status_and_time() -> None:
    front = Front(door("/d/{}"))
    front.post(f"/d/{'x' * 400}", headers={"x-request-id": "mine"})
    (line,) = front.logged()
    assert 0 <= line.pop("ms") < 60_000
    assert len(line.pop("path")) == 300
    assert line == {"event": "request", "request_id": "mine", "method": "POST", "status": 200, "log_level": "info"}


def test_a_door_that_logs_by_itself_is_logged_when_it_fails() -> None:
    front = Front(door(log=False), door("/bad", raising(Missing("unknown_model", "x")), log=False))
    front.post("/door")
    front.post("/bad")
    assert [(line["path"], line["status"]) for line in front.logged()] == [("/bad", 404)]


# through the application


def app_with(act: doors.Door, refuse: doors.Refuse | None = None) -> Starlette:
    async def endpoint(request: Request) -> Response:
        return await through(act, request, name="n", refuse=refuse)

    return Starlette(routes=[Route("/door", endpoint, methods=["POST"])])


def test_a_door_answers_the_same_through_the_application() -> None:
    told = Answer(b"abc", 201, b"text/plain", ((b"x-more", b"1"),))
    answer = call(app_with(lambda _: in_thread(lambda: told)), "POST", "/door?a=b", b"x")
    assert (answer.status, answer.body, answer.headers["x-more"]) == (201, b"abc", "1")
    assert answer.headers["content-type"].startswith("text/plain")
    assert call(app_with(echo), "POST", "/door?a=b", b"x").json() == {
        "name": "n",
        "path": "/door",
        "query": "a=b",
        "body": "x",
        "id": "",
    }


def test_an_error_of_a_door_goes_through_the_application_in_its_form() -> None:
    act = raising(Missing("unknown_model", "x"))
    answer = call(app_with(act, doors.problem), "POST", "/door")
    assert (answer.status, answer.json()["code"]) == (404, "unknown_model")
    assert isinstance(call(app_with(act), "POST", "/door").raised, Missing)


@pytest.mark.parametrize(
    ("segment", "told"),
    [("a", "a"), (b"a%20b", "a b"), ("%E6%B8%A9", "温"), ("\xe6\xb8\xa9", "温"), (b"%", "%"), (b"%zz%4", "%zz%4")],
)
def test_a_segment_is_decoded(segment: str | bytes, told: str) -> None:
    assert decoded_segment(segment) == told
