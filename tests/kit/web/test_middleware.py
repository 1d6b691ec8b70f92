"""The front layer: ids in paths, request ids, limits, metrics, whatever bytes a caller sends."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from atalaia.core.series import check_id
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.kit.web.wire import RawBody
from tests.kit.asgi import Answer, call

LIMIT = 1000
IDS = st.text(
    st.characters(min_codepoint=0xA1, exclude_categories=["Cs", "Cc", "Z"]) | st.sampled_from("%/?#&+ a2F.")
)


class Named(BaseModel):
    """A body."""

    name: str


class Door:
    """An application behind the front."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.front = Front(_app(), telemetry=self.telemetry, max_body_bytes=LIMIT)

    def __call__(self, method: str, target: str, body: Any = b"", **options: Any) -> Answer:
        return call(self.front, method, target, body, **options)

    def metrics(self) -> str:
        return self.telemetry.render().decode()


def _app() -> FastAPI:
    app = FastAPI()
    install_problems(app)

    @app.get("/series/{series_id:id}")
    def show(series_id: str) -> dict[str, str]:
        return {"series_id": series_id}

    @app.get("/series/{series_id:id}/points")
    def points(series_id: str) -> dict[str, str]:
        return {"points_of": series_id}

    @app.post("/raw")
    def raw(body: RawBody) -> dict[str, int]:
        return {"bytes": len(body)}

    @app.post("/model")
    def model(body: Named) -> dict[str, str]:
        return {"name": body.name}

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the password is 1234")

    @app.get("/health")
    def health() -> dict[str, str]:
        return {}

    _ = show, points, raw, model, broken, health
    return app


@pytest.fixture
def door() -> Iterator[Door]:
    with capture_logs():
        yield Door()


# ids in paths


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pump-7", "pump-7"),
        ("sala%203%2Fbomba%207", "sala 3/bomba 7"),
        ("a%2fb", "a/b"),
        ("100%25", "100%"),
        ("%252F", "%2F"),
        ("%25252F", "%252F"),
        ("%25", "%"),
        ("a%2Fb%25%2F", "a/b%/"),
        ("%E6%B8%A9%E5%BA%A6", "温度"),
        ("a%3Fb%23c", "a?b#c"),
        ("a+b", "a+b"),
        ("%22%27", "\"'"),
        ("%24", "$"),
        ("50%", "50%"),
        ("%zz", "%zz"),
    ],
)
def test_an_id_in_a_path_is_what_the_caller_wrote(door: Door, written: str, meant: str) -> None:
    assert door("GET", f"/series/{written}").json() == {"series_id": meant}
    assert door("GET", f"/series/{written}/points?limit=1").json() == {"points_of": meant}


@given(IDS)
def test_every_usable_id_can_be_addressed(name: str) -> None:
    try:
        check_id(name)
    except Exception:  # not usable, then
        return
    with capture_logs():
        answer = SHARED("GET", f"/series/{quote(name, safe='')}/points")
    assert answer.json() == {"points_of": name}


def test_a_slash_that_was_not_encoded_separates(door: Door) -> None:
    assert door("GET", "/series/a/points").json() == {"points_of": "a"}
    assert door("GET", "/series/a/b").status == 404
    assert door("GET", "/series/").status == 404


def test_bytes_that_are_no_text_do_no_harm(door: Door) -> None:
    assert door("GET", "/series/%FF%2F%ED%A0%80").status == 200
    assert door("GET", "/series/\xff%2F").status == 200


# request ids


def test_the_callers_request_id_comes_back_in_header_and_problem(door: Door) -> None:
    answer = door("GET", "/nowhere", headers={"X-Request-Id": "abc 1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc 1"


@pytest.mark.parametrize("sent", ["", "x" * 129, "tab\there", "caf\xe9", "nul\0", "line\rbreak"])
def test_an_unusable_request_id_is_replaced(door: Door, sent: str) -> None:
    answer = door("GET", "/health", headers={"X-Request-Id": sent})
    assert answer.headers["x-request-id"].startswith("req_")


def test_every_request_gets_its_own_id(door: Door) -> None:
    first, second = (door("GET", "/health").headers["x-request-id"] for _ in range(2))
    assert first != second


def test_every_line_of_the_log_bears_the_request_id() -> None:
    bound: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bound.append(structlog.contextvars.get_contextvars())
        await JSONResponse({})(scope, receive, send)

    with capture_logs():
        front = Front(app, telemetry=Telemetry(), max_body_bytes=LIMIT)
        call(front, "GET", "/", headers={"X-Request-Id": "abc"})
    assert bound == [{"request_id": "abc"}]
    assert structlog.contextvars.get_contextvars() == {}


def test_a_request_is_one_line_in_the_log_and_a_probe_is_none(door: Door) -> None:
    with capture_logs() as lines:
        door("GET", "/series/a")
        door("GET", "/health")
    assert [(line["event"], line["path"], line["status"]) for line in lines] == [("request", "/series/a", 200)]


# bodies


def test_a_body_within_the_limit_is_taken(door: Door) -> None:
    assert door("POST", "/raw", b"x" * LIMIT).json() == {"bytes": LIMIT}
    assert door("POST", "/raw", chunks=[b"x" * 400, b"x" * 600]).json() == {"bytes": LIMIT}
    assert door("POST", "/model", {"name": "a"}).json() == {"name": "a"}


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 18, "9" * 19, "9" * 5000])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(door: Door, length: str) -> None:
    answer = door("POST", "/raw", b"{}", headers={"Content-Length": length})
    assert (answer.status, answer.json()["code"], answer.chunks_read) == (413, "body_too_large", 0)
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize("path", ["/raw", "/model"])
def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_has(door: Door, path: str) -> None:
    answer = door("POST", path, chunks=[b"x" * 400] * 1000)
    assert (answer.status, answer.json()["code"], answer.chunks_read) == (413, "body_too_large", 3)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("length", ["\xb2", "-1", "abc", "", " 1"])
def test_a_length_that_is_no_number_proves_nothing(door: Door, length: str) -> None:
    assert door("POST", "/raw", b"{}", headers={"Content-Length": length}).status == 200


def test_a_body_that_nobody_reads_does_no_harm(door: Door) -> None:
    assert door("GET", "/health", chunks=[b"x" * 400] * 10).status == 200


# metrics


def test_requests_are_counted_and_timed_by_route_not_by_id(door: Door) -> None:
    for name in ("a", "b"):
        door("GET", f"/series/{name}")
    where = 'method="GET",route="/series/{series_id}"'
    assert f'http_requests_total{{{where},status="200"}} 2.0' in door.metrics()
    assert f"http_request_duration_seconds_count{{{where}}} 2.0" in door.metrics()


def test_no_caller_can_invent_label_values(door: Door) -> None:
    for number in range(3):
        door("GET", f"/nowhere/{number}")
        door(f"BREW{number}", "/nowhere")
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in door.metrics()
    assert 'http_requests_total{method="OTHER",route="unmatched",status="404"} 3.0' in door.metrics()


def test_refusals_and_faults_are_counted_too(door: Door) -> None:
    door("POST", "/raw", b"x" * (LIMIT + 1))
    assert door("GET", "/broken").raised is not None
    assert 'route="unmatched",status="413"} 1.0' in door.metrics()
    assert 'http_requests_total{method="GET",route="/broken",status="500"} 1.0' in door.metrics()


def test_what_dies_before_it_answers_counts_as_a_500() -> None:
    async def dies(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("gone")

    telemetry = Telemetry()
    with capture_logs(), pytest.raises(RuntimeError):
        call(Front(dies, telemetry=telemetry, max_body_bytes=LIMIT), "GET", "/x")
    assert b'route="unmatched",status="500"} 1.0' in telemetry.render()


def test_what_is_not_http_passes_untouched() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    front: ASGIApp = Front(app, telemetry=Telemetry(), max_body_bytes=LIMIT)
    coroutine: Any = front({"type": "lifespan"}, _never, _never)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert seen == [{"type": "lifespan"}]


async def _never(*_: object) -> Any:
    raise AssertionError


SHARED = Door()
