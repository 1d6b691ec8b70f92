"""Predictions are written in order, chained, and nothing is lost unseen."""

import errno
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from atalaia.core.errors import Unavailable
from atalaia.kit.audit.export import told_by
from atalaia.kit.audit.frames import DamagedError, Kind, frames
from atalaia.kit.audit.segments import OpenSegment
from atalaia.kit.notes import AuditEventRow
from tests.kit.audit.builders import Room, batch, prediction


def kept(room: Room) -> list[str]:
    lines = [line for path in room.files() for frame in frames(path.read_bytes()) if frame.kind == Kind.LINES
             for line in bytes(frame.payload).splitlines()]  # fmt: skip
    return [msgspec.json.decode(line)["request_id"] for line in lines]


def test_a_clean_stop_loses_nothing(room: Room) -> None:
    journal = room.journal()
    journal.start()
    for i in range(1000):
        journal.put(prediction(i))
    journal.put_batch(batch(50))
    journal.stop()
    assert kept(room) == [f"req_{i}" for i in range(1000)]
    told = told_by(room.files()[0].read_bytes())
    assert (told.count, told.is_closed, told.damage) == (1050, True, None)
    assert room.problems() == []


def test_what_was_taken_is_written_without_a_stop(room: Room) -> None:
    journal = room.journal()
    journal.start()
    journal.put(prediction(1))
    journal.flush()
    assert kept(room) == ["req_1"]
    journal.stop()


def test_a_file_is_closed_when_it_is_large_and_the_next_goes_on_from_it(room: Room) -> None:
    room.settings = {"segment_bytes": 2**16}
    journal = room.journal()
    journal.start()
    for _ in range(4):
        journal.put_batch(batch(3_000, same_time=False))
        journal.flush()
    journal.stop()
    assert len(room.files()) == 4
    assert room.problems() == []
    verdict = room.verify()
    assert (verdict.predictions, verdict.journals) == (12_000, 4)


def test_what_is_kept_is_forwarded_to_the_log_with_the_same_bytes(room: Room) -> None:
    heard: list[tuple[int, bytes]] = []
    journal = room.journal(forward=lambda events, lines: heard.append((len(events), lines)))
    journal.start()
    journal.put(prediction(1))
    journal.stop()
    assert [count for count, _ in heard] == [1]
    assert heard[0][1] in room.files()[0].read_bytes()


class FullDisk:
    """Refuses to write while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        write = OpenSegment.append

        def append(segment: OpenSegment, parts: Sequence[Any]) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "no space")
            write(segment, parts)

        monkeypatch.setattr(OpenSegment, "append", append)


def test_a_full_disk_loses_what_memory_has_no_room_for_and_says_so(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atalaia.kit.audit.journal._MOST_LINES", 10)
    monkeypatch.setattr("atalaia.kit.audit.journal._RETRY_S", 0.0)
    disk = FullDisk(monkeypatch)
    journal = room.journal()
    journal.start()
    disk.is_full = True
    journal.put(prediction(0))
    journal.flush()
    assert journal.is_failing
    journal.check()  # predictions go on
    with journal._lock:
        for i in range(1, 16):
            journal.put(prediction(i))
    disk.is_full = False
    journal.flush()
    assert not journal.is_failing
    journal.stop()
    assert kept(room) == [f"req_{i}" for i in range(11)]
    assert room.problems() == []
    assert b"audit_predictions_lost_total 5.0" in room.telemetry.render()
    room.trail.flush()
    with room.database.read() as session:
        row = session.query(AuditEventRow).filter_by(action="predictions_lost").one()
    assert row.detail == '{"count":5}'


def test_predictions_are_refused_while_they_must_be_kept_and_cannot(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atalaia.kit.audit.journal._RETRY_S", 0.0)
    room.settings = {"required": True}
    disk = FullDisk(monkeypatch)
    journal = room.journal()
    journal.start()
    disk.is_full = True
    journal.put(prediction(0))
    journal.flush()
    with pytest.raises(Unavailable, match="cannot be written"):
        journal.check()
    disk.is_full = False
    journal.flush()  # although nothing waits any more: else nobody would ever be answered again
    journal.check()
    journal.stop()


def test_a_text_that_cannot_be_written_takes_no_other_along(room: Room) -> None:
    journal = room.journal()
    journal.start()
    with journal._lock:
        for i in range(3):
            told = prediction(i)
            told.caller = "\ud800" if i == 1 else "ada"
            journal.put(told)
    journal.stop()
    assert kept(room) == ["req_0", "req_2"]
    assert b"audit_predictions_lost_total 1.0" in room.telemetry.render()
    assert room.problems() == []


def test_a_file_that_ends_in_the_middle_of_a_frame_is_torn(room: Room) -> None:
    journal = room.journal()
    journal.start()
    journal.put(prediction(0))
    journal.stop()
    data = room.files()[0].read_bytes()
    with pytest.raises(DamagedError) as error:
        list(frames(data[:-3]))
    assert error.value.is_torn
