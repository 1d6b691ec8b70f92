"""Whatever is changed in a trail or a journal is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from atalaia.kit.audit.export import told_by
from atalaia.kit.notes import AuditEventRow
from tests.kit.audit.builders import Room, batch, prediction

Alter = Callable[[Connection], Any]


def written(room: Room, files: int = 2) -> None:
    room.settings = {"segment_bytes": 2**16}
    room.trail.note("login", "ada", "ada", {"address": "::1"})
    room.trail.look()
    journal = room.journal()
    journal.start()
    for i in range(files):
        journal.put(prediction(i))
        journal.put_batch(batch(3_000, same_time=False))
        journal.flush()
    journal.stop()
    room.trail.note("logout", "ada", "ada", {})


def altered(room: Room, alter: Alter) -> list[str]:
    with room.database.engine.begin() as connection:
        alter(connection)
    return room.problems()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_events SET actor = 'bob' WHERE sequence = 1",
        "UPDATE audit_events SET at = at + 1 WHERE sequence = 2",
        "UPDATE audit_events SET detail = '{}' WHERE sequence = 1",
        "UPDATE audit_events SET hash = previous WHERE sequence = 2",
        "DELETE FROM audit_events WHERE sequence = 3",
        "DELETE FROM audit_events WHERE sequence = 1",
        "DELETE FROM audit_events WHERE sequence = (SELECT max(sequence) FROM audit_events)",
        "DELETE FROM audit_events",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET pruned_to = 1; ",
        "INSERT INTO audit_events SELECT sequence + 100, at, actor, action, subject, detail, previous, hash"
        " FROM audit_events WHERE sequence = 1",
        "UPDATE audit_events SET sequence = -sequence WHERE sequence = 2",
    ],
)
def test_an_altered_trail_is_found(room: Room, sql: str) -> None:
    written(room)
    assert room.problems() == []
    assert altered(room, lambda connection: connection.exec_driver_sql(sql)) != []


def test_a_trail_cut_back_with_its_head_is_found_by_the_journals(room: Room) -> None:
    written(room)

    def cut(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM audit_events")
        connection.exec_driver_sql("UPDATE audit_head SET sequence = 0, hash = ?", ("0" * 64,))

    assert any("foreign" in problem for problem in altered(room, cut))


def test_a_missing_journal_is_found(room: Room) -> None:
    written(room)
    room.files()[0].unlink()
    assert any("is missing" in problem for problem in room.problems())


def test_a_shortened_journal_is_found(room: Room) -> None:
    written(room)
    path = room.files()[0]
    data = path.read_bytes()
    path.write_bytes(data[: told_by(data).frames[-2].end])
    assert any("was changed" in problem for problem in room.problems())


def test_a_foreign_journal_is_found(room: Room, tmp_path: Path) -> None:
    written(room)
    path = room.files()[0]
    path.with_name(path.name.replace("jrn_", "jrn_X")).write_bytes(path.read_bytes())
    problems = room.problems()
    assert any("foreign" in problem for problem in problems)
    assert any("under another name" in problem for problem in problems)


def test_swapped_journals_are_found(room: Room) -> None:
    written(room)
    one, two = room.files()[:2]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert len(room.problems()) >= 2


def test_an_altered_export_is_found(room: Room) -> None:
    written(room)
    assert room.exporter().export_journals() == 2
    for blob in list(room.blobs.list("audit/predictions"))[:1]:
        path = room.blobs.path(blob.key)
        path.write_bytes(path.read_bytes()[:-1])
    for blob in list(room.blobs.list("audit/journal"))[1:]:
        room.blobs.delete(blob.key)
    assert len(room.problems()) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    room = Room(tmp_path_factory.mktemp("whole"))
    room.settings = {"segment_bytes": 2**20}
    journal = room.journal()
    journal.start()
    for i in range(3):
        journal.put(prediction(i))
        journal.put_batch(batch(4))
        journal.flush()
    journal.stop()
    (path,) = room.files()
    yield room, path, path.read_bytes()
    room.database.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_change_of_a_journal_is_found(whole: tuple[Room, Path, bytes], data: st.DataObject) -> None:
    room, path, sound = whole
    frames = [0, *[frame.end for frame in told_by(sound).frames]]
    how = data.draw(st.sampled_from(["flip", "cut", "grow", "drop", "double", "swap"]))
    if how == "flip":
        at = data.draw(st.integers(0, len(sound) - 1))
        changed = sound[:at] + bytes([sound[at] ^ data.draw(st.integers(1, 255))]) + sound[at + 1 :]
    elif how == "cut":
        changed = sound[: data.draw(st.integers(0, len(sound) - 1))]
    elif how == "grow":
        changed = sound + data.draw(st.binary(min_size=1, max_size=100))
    else:
        i = data.draw(st.integers(0, len(frames) - 3))
        a, b, c = sound[: frames[i]], sound[frames[i] : frames[i + 1]], sound[frames[i + 1] :]
        second = c[: frames[i + 2] - frames[i + 1]]
        changed = {"drop": a + c, "double": a + b + b + c, "swap": a + second + b + c[len(second) :]}[how]
    path.write_bytes(changed)
    try:
        assert room.problems() != []
    finally:
        path.write_bytes(sound)
    assert room.problems() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_change_of_an_event_is_found(whole: tuple[Room, Path, bytes], data: st.DataObject) -> None:
    room, _, _ = whole
    room.trail.flush()
    with room.database.engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM audit_events ORDER BY sequence").mappings().all()
    row = dict(data.draw(st.sampled_from(rows)))
    column = data.draw(st.sampled_from(["at", "actor", "action", "subject", "detail", "previous", "hash"]))
    value = data.draw(st.integers(0, 2**40) if column == "at" else st.text("abcdef0123 _{}", max_size=64))
    if value == row[column]:
        return
    changed = update(AuditEventRow).where(AuditEventRow.sequence == row["sequence"])
    with room.database.engine.begin() as connection:
        connection.execute(changed.values({column: value}))
    try:
        assert room.problems() != []
    finally:
        with room.database.engine.begin() as connection:
            connection.execute(changed.values({column: row[column]}))
