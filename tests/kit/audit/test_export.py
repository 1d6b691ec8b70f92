"""What was closed goes to the blob store, as it was written and as rows; what died is taken over."""

import json
from io import BytesIO

import cramjam
import pyarrow.parquet as pq
from sqlalchemy import select

from atalaia.core.clock import now_us
from atalaia.kit.audit.export import EVENTS, JOURNALS, PREDICTIONS
from atalaia.kit.notes import AuditEventRow, prune
from tests.kit.audit.builders import Room, batch, prediction


def detail_of(room: Room, action: str) -> dict[str, object]:
    with room.database.read() as session:
        row = session.scalars(select(AuditEventRow).where(AuditEventRow.action == action)).one()
        return json.loads(row.detail)


def written(room: Room) -> None:
    journal = room.journal()
    journal.start()
    for i in range(20):
        journal.put(prediction(i))
    journal.put_batch(batch(10))
    journal.put_batch(batch(5, same_time=False))
    journal.stop()


def test_a_closed_journal_is_exported_as_it_is_and_as_rows(room: Room) -> None:
    written(room)
    raw = room.files()[0].read_bytes()
    assert room.exporter().export_journals() == 1
    assert room.files() == []
    (path,) = room.files("exported")
    (original,) = room.blobs.list(JOURNALS)
    assert bytes(cramjam.zstd.decompress(room.blobs.get(original.key))) == raw
    (rows,) = room.blobs.list(PREDICTIONS)
    table = pq.read_table(BytesIO(room.blobs.get(rows.key)))
    assert table.num_rows == 35
    first, point = table.slice(3, 1).to_pylist()[0], table.slice(23, 1).to_pylist()[0]
    assert (first["request_id"], first["value"], first["model_version"]) == ("req_3", 3.0, "v3")
    assert (point["series_id"], point["series_number"], point["model_id"]) == ("s3", 3, "fleet:b")
    assert table.slice(20, 1).to_pylist()[0]["model_id"] is None
    assert detail_of(room, "journal_exported")["count"] == 35
    assert room.problems() == []
    path.unlink()
    assert room.problems() == []


def test_an_open_journal_is_left_alone(room: Room) -> None:
    journal = room.journal()
    journal.start()
    assert room.exporter().export_journals() == 0
    journal.stop()
    assert room.exporter().export_journals() == 1


def test_what_a_dead_process_left_is_cut_and_taken_over(room: Room) -> None:
    written(room)
    path = room.files()[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])  # the last frame, and a part of the one before
    with room.database.write() as session:  # as if it had been killed before it told of its end
        session.connection().exec_driver_sql("DELETE FROM audit_events WHERE action = 'journal_closed'")
    room.trail._waiting = type(room.trail._waiting)(e for e in room.trail._waiting if e.action != "journal_closed")
    assert room.exporter().export_journals() == 1
    told = detail_of(room, "journal_recovered")
    assert told["count"] == 30
    assert isinstance(told["torn_bytes"], int)
    assert told["torn_bytes"] > 0
    assert room.problems() == []


def test_the_trail_is_exported_once_a_day_and_then_may_be_pruned(room: Room) -> None:
    for i in range(5):
        room.trail.note("login", "ada", "ada", {"i": i})
    assert room.exporter().export_trail() == 0  # they are of today
    assert room.exporter().export_trail(all_of_it=True) == 5
    (blob,) = room.blobs.list(EVENTS)
    assert pq.read_table(BytesIO(room.blobs.get(blob.key))).num_rows == 5
    assert room.problems() == []


def test_retention_leaves_a_tombstone_from_which_the_chain_goes_on(room: Room) -> None:
    for i in range(5):
        room.trail.note("login", "ada", "ada", {"i": i})
    with room.database.write() as session:
        assert prune(session, now_us()) == 0  # nothing is exported yet
    room.exporter().export_trail(all_of_it=True)
    with room.database.write() as session:
        assert prune(session, now_us()) == 5
    assert room.verify().events == 2
    assert room.problems() == []
    room.trail.note("login", "bob", "bob", {})
    assert room.problems() == []
