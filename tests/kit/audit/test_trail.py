"""Events of those who have no transaction of their own are kept, summed when they flood, and never lost unseen."""

import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from atalaia.core.errors import Unavailable
from atalaia.kit.acting import acting, acting_as
from atalaia.kit.database import savepoint
from atalaia.kit.notes import AuditEventRow, note
from tests.kit.audit.builders import Room


def events(room: Room) -> list[tuple[str, str, str]]:
    with room.database.read() as session:
        rows = session.scalars(select(AuditEventRow).order_by(AuditEventRow.sequence)).all()
        return [(row.actor, row.action, row.subject) for row in rows]


def details(room: Room) -> list[Any]:
    with room.database.read() as session:
        return [json.loads(text) for text in session.scalars(select(AuditEventRow.detail))]


def failing(session: Session) -> None:
    note(session, "two", "b")
    raise ZeroDivisionError


def test_what_is_done_is_noted_with_it_or_not_at_all(room: Room) -> None:
    with acting_as("ada"), room.database.write() as session:
        note(session, "model_promoted", "series:a", version="v2")
    with pytest.raises(ZeroDivisionError), room.database.write() as session:
        failing(session)
    assert events(room) == [("ada", "model_promoted", "series:a")]
    assert room.problems() == []


def test_what_a_savepoint_undoes_is_not_noted(room: Room) -> None:
    with room.database.write() as session:
        note(session, "one", "a")
        with pytest.raises(ZeroDivisionError), savepoint(session):
            failing(session)
        note(session, "three", "a")
    assert [action for _, action, _ in events(room)] == ["one", "three"]


def test_a_job_is_noted_with_who_asked_for_it(room: Room) -> None:
    with acting_as("system", job="job_1", asked_by="ada"), room.database.write() as session:
        note(session, "version_registered", "series:a")
    assert details(room) == [{"asked_by": "ada", "job": "job_1"}]
    assert acting().actor == "system"


def test_whoever_is_not_asked_is_anybody(room: Room) -> None:
    with acting_as(""):
        room.trail.did("model_reloaded", "series:a")
    assert events(room) == [("anybody", "model_reloaded", "series:a")]


def test_events_wait_while_the_database_is_down(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> Any:
        raise Unavailable("database_unavailable", "it is down")

    with monkeypatch.context() as patched:
        patched.setattr(room.database, "write", down)
        room.trail.note("login", "ada", "ada", {})
        assert room.trail.waiting == 1
        assert not room.trail.flush()
    assert room.trail.flush()
    assert events(room) == [("ada", "login", "ada")]


def test_what_memory_has_no_room_for_is_counted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.kit.audit.trail._MOST_WAITING", 2)
    for i in range(5):
        room.trail.later("x", str(i), {})
    room.trail.flush()
    assert [action for _, action, _ in events(room)] == ["x", "x", "events_lost"]
    assert details(room)[-1] == {"count": 3}


def test_a_flood_of_failed_logins_is_told_by_two_events(room: Room) -> None:
    for _ in range(50):
        room.trail.note("login_failed", "", "ada", {"address": "10.0.0.1"})
    room.trail.flush(with_sums=True)
    assert [action for _, action, _ in events(room)] == ["login_failed", "login_failed_often"]
    assert details(room)[1]["count"] == 49


def test_refusals_are_summed(room: Room) -> None:
    for _ in range(3):
        room.trail.refused("bob", "models.promote")
    assert events(room) == []
    room.trail.flush(with_sums=True)
    assert events(room) == [("bob", "refused", "models.promote")]
    assert details(room)[0]["count"] == 3


def test_what_no_database_can_keep_is_left_out(room: Room) -> None:
    room.trail.note("login_failed", "", "a\0b\ud800" + "x" * 1000, {"long": "y" * 50_000})
    assert room.problems() == []
    assert len(events(room)[0][2]) == 300
