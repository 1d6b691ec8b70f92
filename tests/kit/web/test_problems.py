"""Whatever goes wrong is answered as a problem that says where, and never what is nobody's business."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from atalaia.core.errors import ERROR_OF_KIND, HTTP_STATUS, Broken, Busy, Fault, Invalid, Kind, Missing
from atalaia.core.problems import PROBLEMS
from atalaia.kit.web.problems import Problem, install_problems, problem_body
from atalaia.kit.web.wire import Wire
from tests.kit.asgi import Answer, call

MEMBERS = {
    "type",
    "title",
    "status",
    "detail",
    "instance",
    "code",
    "kind",
    "request_id",
    "timestamp",
    "errors",
}


class Inner(Wire):
    """Part of a body."""

    value: float


class Body(Wire):
    """A body with everything that can be wrong."""

    points: list[Inner]
    labels: dict[str, Annotated[int, Field(ge=0)]] = {}


class Loose(BaseModel):
    """A body of many numbers."""

    numbers: list[int]


ERRORS: dict[str, Exception] = {
    "secret": RuntimeError("the password is 1234"),
    "broken": Broken("bad_blob", "a block is damaged"),
    "busy": Busy("trained_recently", "wait", retry_after_s=90.4),
    "soon": Busy("trained_recently", "wait", retry_after_s=0.1),
    "teapot": HTTPException(418, "short and stout"),
    "faults": Invalid("invalid_points", "x", faults=[Fault(f"/points/{i}", "bad") for i in range(500)]),
    "surrogate": Missing("unknown_series", "no series '\ud800'"),
}


@pytest.fixture
def app() -> Iterator[FastAPI]:
    app = FastAPI()
    install_problems(app)

    @app.post("/body")
    def body(body: Body) -> None: ...

    @app.post("/numbers")
    def numbers(body: Loose) -> None: ...

    @app.get("/query")
    def query(limit: Annotated[int, Query(ge=1)] = 1) -> None: ...

    @app.get("/item/{number}")
    def item(number: int) -> None: ...

    @app.get("/raise/{name}")
    def fail(name: str) -> None:
        raise ERRORS[name]

    _ = body, numbers, query, item, fail
    with capture_logs():
        yield app


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status, body["status"], body["code"]) == (status, status, code), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) == MEMBERS
    return body


def pointers(answer: Answer) -> list[str]:
    return [error["pointer"] for error in refused(answer, 422, "invalid_request")["errors"]]


# the form


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_the_status_and_title_of_the_table(code: str) -> None:
    kind, title = PROBLEMS[code]
    body = problem_body(ERROR_OF_KIND[kind](code, "what happened"), path="/x", request_id="req_1")
    stated = re.search(r"\(HTTP (\d+)\)", title)
    expected = int(stated.group(1)) if stated else HTTP_STATUS[kind]
    assert set(body) == MEMBERS
    assert (body["status"], body["title"], body["kind"]) == (expected, title, kind.value)
    assert (body["type"], body["instance"]) == (f"urn:atalaia:problem:{code}", "/x")
    assert (body["request_id"], body["detail"]) == ("req_1", "what happened")
    assert body["timestamp"].endswith("Z")


def test_a_code_outside_the_table_still_has_a_title() -> None:
    assert problem_body(Missing("of_another_release", "x"))["title"] == "of_another_release"


def test_only_the_first_faults_are_listed(app: FastAPI) -> None:
    body = refused(call(app, "GET", "/raise/faults"), 422, "invalid_points")
    assert [error["pointer"] for error in body["errors"]] == [f"/points/{i}" for i in range(20)]


@pytest.mark.parametrize(("name", "seconds"), [("busy", "90"), ("soon", "1")])
def test_a_problem_that_passes_says_when_to_come_again(app: FastAPI, name: str, seconds: str) -> None:
    answer = call(app, "GET", f"/raise/{name}")
    refused(answer, 429, "trained_recently")
    assert answer.headers["retry-after"] == seconds


def test_a_problem_that_stays_does_not(app: FastAPI) -> None:
    assert "retry-after" not in call(app, "GET", "/nowhere").headers


def test_text_that_cannot_be_encoded_is_replaced(app: FastAPI) -> None:
    assert refused(call(app, "GET", "/raise/surrogate"), 404, "unknown_series")["detail"] == "no series '?'"


# what the framework refuses


def test_an_unknown_path_is_a_problem(app: FastAPI) -> None:
    assert refused(call(app, "GET", "/nowhere"), 404, "not_found")["instance"] == "/nowhere"


def test_a_path_with_signs_of_a_url_is_shown_whole(app: FastAPI) -> None:
    assert refused(call(app, "GET", "/no%3Fwhere%23x"), 404, "not_found")["instance"] == "/no?where#x"


@pytest.mark.parametrize("host", ["[", "a b", "", "x:99999999", "]:1"])
def test_a_hostile_host_does_not_break_the_answer(app: FastAPI, host: str) -> None:
    refused(call(app, "GET", "/nowhere", headers={"Host": host}), 404, "not_found")


def test_a_method_that_is_not_possible_is_a_problem_that_says_which_are(app: FastAPI) -> None:
    answer = call(app, "DELETE", "/body")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_another_refusal_of_the_framework_is_an_invalid_request(app: FastAPI) -> None:
    assert refused(call(app, "GET", "/raise/teapot"), 422, "invalid_request")["detail"] == "short and stout"


@pytest.mark.parametrize("data", [b"{", b"", b"nope", b'{"points": [1,}', b"\x00"])
def test_what_is_not_json_is_called_so(app: FastAPI, data: bytes) -> None:
    answer = call(app, "POST", "/body", data)
    if data:
        refused(answer, 422, "invalid_json")
    else:
        refused(answer, 422, "invalid_request")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b'{"points":' + b"9" * 5000 + b"}", b'"\\ud800"'])
def test_hostile_json_is_refused_without_a_fault_of_ours(app: FastAPI, data: bytes) -> None:
    answer = call(app, "POST", "/body", data)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == MEMBERS


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"points": [{"value": 1}, {"value": "x"}]}, ["/points/1/value"]),
        ({"points": [{}, {}]}, ["/points/0/value", "/points/1/value"]),
        ({"points": [], "surplus": 1}, ["/surplus"]),
        ({"points": [], "labels": {"a/b~c": -1}}, ["/labels/a~1b~0c"]),
        ({}, ["/points"]),
        ([], [""]),
    ],
)
def test_a_body_of_another_form_is_refused_with_pointers(app: FastAPI, body: Any, wrong: list[str]) -> None:
    assert pointers(call(app, "POST", "/body", body)) == wrong


def test_a_query_and_a_path_are_pointed_at_by_name(app: FastAPI) -> None:
    assert pointers(call(app, "GET", "/query?limit=0")) == ["/limit"]
    assert pointers(call(app, "GET", "/item/x")) == ["/number"]


def test_a_body_full_of_mistakes_is_answered_shortly(app: FastAPI) -> None:
    answer = call(app, "POST", "/numbers", {"numbers": ["x"] * 1000})
    assert len(pointers(answer)) == 20
    assert len(answer.body) < 4000


# our own faults


def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_where_to_look(app: FastAPI) -> None:
    with capture_logs() as lines:
        answer = call(app, "GET", "/raise/secret")
    body = refused(answer, 500, "internal_error")
    assert b"password" not in answer.body
    assert b"RuntimeError" not in answer.body
    assert body["errors"] == []
    assert isinstance(answer.raised, RuntimeError)  # the server logs it, too
    assert [line["event"] for line in lines] == ["unexpected"]


def test_what_is_broken_is_logged_and_answered(app: FastAPI) -> None:
    with capture_logs() as lines:
        refused(call(app, "GET", "/raise/broken"), 500, "bad_blob")
    assert [(line["event"], line["code"]) for line in lines] == [("broken", "bad_blob")]


def test_a_problem_can_be_made_by_hand() -> None:
    answer = Problem(ERROR_OF_KIND[Kind.DENIED]("not_loopback", "no"), path="/p", request_id="r")
    assert (answer.status_code, answer.media_type) == (403, "application/problem+json")
