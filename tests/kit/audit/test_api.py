"""Events are listed newest first, page by page, and found by who, what, whom and when."""

from typing import Any

import pytest
from fastapi import FastAPI

from atalaia.core.clock import MICROS, now_us
from atalaia.kit.audit.api import audit_router
from atalaia.kit.web.problems import install_problems
from tests.kit.asgi import call
from tests.kit.audit.builders import Room


@pytest.fixture
def app(room: Room) -> FastAPI:
    app = FastAPI()
    install_problems(app)
    app.include_router(audit_router(room.database))
    for i in range(5):
        room.trail.note("login" if i % 2 else "role_changed", "ada" if i < 3 else "bob", f"u{i}", {"i": i})
    return app


def listed(app: FastAPI, **params: Any) -> list[str]:
    answer = call(app, "GET", "/api/v1/audit/events", query=params)
    assert answer.status == 200, answer.body
    return [event["subject"] for event in answer.json()["items"]]


def test_events_are_listed_newest_first_page_by_page(app: FastAPI) -> None:
    assert listed(app) == ["u4", "u3", "u2", "u1", "u0"]
    page = call(app, "GET", "/api/v1/audit/events", query={"limit": 2}).json()
    assert [event["subject"] for event in page["items"]] == ["u4", "u3"]
    assert listed(app, cursor=page["next"]) == ["u2", "u1", "u0"]
    assert page["items"][0]["previous"] == page["items"][1]["hash"]
    assert page["items"][0]["detail"] == {"i": 4}


def test_events_are_found_by_who_what_whom_and_when(app: FastAPI) -> None:
    assert listed(app, actor="bob") == ["u4", "u3"]
    assert listed(app, action="login") == ["u3", "u1"]
    assert listed(app, subject="u2") == ["u2"]
    now = now_us() / MICROS
    assert listed(app, **{"from": now + 60}) == []
    assert len(listed(app, **{"from": now - 60, "to": now + 60})) == 5
    assert call(app, "GET", "/api/v1/audit/events", query={"cursor": "x"}).status == 422
