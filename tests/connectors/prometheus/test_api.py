"""The documented door of remote write is the one that answers in front."""

import pytest
from fastapi import FastAPI

from atalaia.connectors.prometheus import write_router
from tests.connectors.prometheus.messages import body_of
from tests.connectors.prometheus.test_door import UP, kept, ms, snappy
from tests.kit.asgi import call
from tests.signals.builders import Place
from tests.signals.conftest import OpenPlace, open_place, quiet_log
from tests.signals.doors import app_of, write_door

__all__ = ["open_place", "quiet_log"]


@pytest.fixture
def place(open_place: OpenPlace) -> Place:
    return open_place()


@pytest.mark.parametrize("is_hot", [True, False])
def test_a_request_is_answered_the_same_whichever_way_it_comes(place: Place, is_hot: bool) -> None:
    body = body_of(1, [(UP, [(1.0, ms(0))])])
    headers = {"content-type": "application/x-protobuf"}
    if is_hot:
        body = snappy(body)
    answer = call(app_of(place, is_hot=is_hot), "POST", "/api/v1/write", body, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert len(kept(place)) == 1


@pytest.mark.parametrize("is_hot", [True, False])
def test_a_refusal_is_a_problem(place: Place, is_hot: bool) -> None:
    body = snappy(b"\xff" * 9) if is_hot else b"\xff" * 9
    headers = {"content-type": "application/x-protobuf"}
    answer = call(app_of(place, is_hot=is_hot), "POST", "/api/v1/write", body, headers=headers)
    assert (answer.status, answer.json()["code"]) == (400, "bad_protobuf")


def test_the_door_is_documented(place: Place) -> None:
    app = FastAPI()
    app.include_router(write_router(write_door(place)))
    told = app.openapi()["paths"]["/api/v1/write"]["post"]
    assert list(told["requestBody"]["content"]) == ["application/x-protobuf"]
    assert "204" in told["responses"]
