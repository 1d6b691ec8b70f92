"""What the follower knows outlives it: stored in pieces, read back, made anew from history when it is damaged."""

from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import select
from structlog.testing import capture_logs

from atalaia.core.clock import now_us
from atalaia.core.errors import Stale, Unavailable
from atalaia.signals.memory import FOLDER, Memory
from atalaia.signals.statistics import PAGE, SeriesStatistics
from atalaia.signals.store.follower import FollowerRow, PartRow
from tests.signals.builders import ThresholdScorer, free_lease, owner_of, signals_in
from tests.signals.interruptions import InOrder, Interruptions


@pytest.mark.parametrize("kind", [Interruptions, InOrder])
def test_whatever_happens_nothing_is_lost_or_doubled(tmp_path, kind):
    for name in ("steady", "shaky"):
        (tmp_path / name).mkdir()
    small = {"compact_after_points": 1, "block_fan_in": 2, "close_after_points": 2, "open_after_points": 2}
    with (
        signals_in(tmp_path / "steady", None, small) as steady,
        signals_in(tmp_path / "shaky", None, small) as shaky,
    ):
        machine = type(kind.__name__, (kind,), {"steady": steady, "shaky": shaky})
        run_state_machine_as_test(machine, settings=hypothesis_settings(max_examples=30, stateful_step_count=25))


# what is stored


def stored(place):
    with place.database.read() as session:
        row = session.get_one(FollowerRow, 1)
        return row.round, row.stored, {part.name: part.key for part in session.scalars(select(PartRow))}


def pieces(place):
    return {blob.key for blob in place.blobs.list(FOLDER)}


def fill(place, *numbers):
    place.send(*((name, float(second), 1.0) for second in numbers for name in "ab"))
    place.drain()


def test_what_was_learnt_is_stored_soon_and_then_now_and_then(open_place):
    place = open_place(store_memory_s=3600)
    fill(place, 0)
    assert stored(place)[:2] == (1, 1)
    fill(place, 1)
    assert stored(place)[:2] == (2, 1)
    place.signals.scoring._store_at = 0.0
    place.drain()
    assert stored(place)[:2] == (2, 2)


def test_nothing_is_stored_before_there_is_anything_and_then_at_once(open_place):
    place = open_place(store_memory_s=3600)
    with place.database.write() as session:
        session.add(FollowerRow(id=1, owner="", until=0, round=1, stored=0))  # as a migration leaves it
    place.drain()
    assert stored(place) == (1, 0, {})
    fill(place, 0)
    assert stored(place)[:2] == (2, 2)


def test_a_replaced_piece_goes_only_when_the_next_is_stored(place):
    fill(place, 0)
    first = pieces(place)
    fill(place, 1)
    place.store()
    assert first < pieces(place)
    fill(place, 2)
    place.store()
    assert not first & pieces(place)
    assert len(pieces(place)) == 2


def test_storing_nothing_new_writes_no_piece(place):
    fill(place, 0)
    before = pieces(place)
    place.store()
    assert pieces(place) == before
    assert not place.signals.memory.is_behind


def test_stopping_stores_what_was_learnt_and_the_next_replays_nothing(place):
    fill(place, 0)
    fill(place, 1)
    place.signals.stop()
    place.begin_again(ThresholdScorer())
    place.drain()
    assert place.scorer.replayed == []
    assert place.series("a").received == 2


def test_after_a_crash_only_the_rounds_that_were_not_stored_are_read_again(place):
    fill(place, 0)
    fill(place, 1)
    fill(place, 2)
    place.begin_again(ThresholdScorer())
    place.drain()
    assert place.scorer.replayed == [[1, 2, 1, 2]]
    assert place.scorer.blocks == []
    assert (place.series("a").received, place.series("a").statistics.count) == (3, 3)


def test_a_round_that_is_not_stored_stays_in_the_tail(place):
    fill(place, 0)
    fill(place, 1)
    swap = place.signals.history.compaction()
    with place.database.write() as session:
        assert swap(session)["batches"] == 1
    assert place.signals.history.compaction() is None
    place.begin_again()
    place.drain()
    assert place.series("a").received == 2


def harm(place):
    for key in pieces(place):
        place.blobs.path(key).write_bytes(b"rubbish")


@pytest.mark.parametrize("act", [harm, lambda place: [place.blobs.delete(key) for key in pieces(place)]])
def test_damaged_memory_is_made_anew_from_history(place, act):
    for second in range(3):
        fill(place, second)
        place.store()
        if second < 2:
            with place.database.write() as session:
                place.signals.history.compaction()(session)
    act(place)
    place.begin_again()
    with capture_logs() as lines:
        place.drain()
    assert {line["event"] for line in lines} >= {"memory_not_read"}
    said = place.series("a")
    assert (said.received, said.statistics.count, said.statistics.last_value) == (3, 3, 1.0)
    assert stored(place)[:2] == (3, 3)
    place.begin_again()
    place.drain()
    assert place.series("a") == said


def test_while_memory_is_made_anew_no_batch_leaves_the_tail(place):
    fill(place, 0)
    place.store()
    harm(place)
    place.begin_again()
    history, scoring = place.signals.history, place.signals.scoring
    too_late, rebuild = history.compaction(), scoring._rebuild

    def rebuild_while_others_compact():
        rebuild()
        assert history.compaction() is None
        with place.database.write() as session, pytest.raises(Stale):
            too_late(session)

    scoring._rebuild = rebuild_while_others_compact
    place.drain()
    assert place.series("a").received == 1


def test_with_memory_and_history_damaged_what_comes_is_scored_all_the_same(place):
    fill(place, 0)
    place.store()
    with place.database.write() as session:
        place.signals.history.compaction()(session)
    for blob in list(place.blobs.list()):
        place.blobs.path(blob.key).write_bytes(b"rubbish")
    place.begin_again()
    with capture_logs() as lines:
        place.send(("a", 1, 99.0))
        place.drain()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "memory_not_read",
        "history_not_read",
    ]
    assert (place.signals.lag(), len(place.anomalies()), place.series("a").received) == (0, 1, 1)


def test_a_disk_that_is_full_while_storing_leaves_what_was_stored(place, monkeypatch):
    fill(place, 0)
    before = stored(place)
    fill(place, 1)

    def refuse(key, data):
        raise Unavailable("disk_full", "no space")

    with monkeypatch.context() as patch:
        patch.setattr(place.blobs, "put", refuse)
        place.signals.scoring._store_at = 0.0
        with pytest.raises(Unavailable):
            place.signals.scoring.drain()
    assert not place.signals.memory.is_live
    assert stored(place) == (2, *before[1:])
    place.drain()
    assert stored(place)[:2] == (2, 2)
    assert place.series("a").received == 2


def test_a_page_of_many_series_comes_back_whole(place):
    place.send(*((f"s{i}", 0.0, float(i)) for i in range(PAGE + 10)))
    place.drain()
    place.begin_again(ThresholdScorer())
    place.drain()
    assert place.scorer.replayed == []
    for i in (0, 1, PAGE - 2, PAGE - 1, PAGE, PAGE + 9):
        assert place.series(f"s{i}").statistics.last_value == i


def test_pieces_that_nothing_names_are_swept_when_they_are_old(place):
    fill(place, 0)
    named = pieces(place)
    place.blobs.put(f"{FOLDER}/orphan.npz", b"x")
    now_s = now_us() / 1e6
    assert place.signals.memory.sweep(now_s - 60) == 0
    assert place.signals.memory.sweep(now_s + 60) == 1
    assert pieces(place) == named


def test_another_process_reads_what_was_stored(place):
    fill(place, 0)
    fill(place, 1)
    other = Memory(place.database, place.blobs)
    with place.database.read() as session:
        columns, covered = other.statistics(session)
        assert (covered, columns.of(1)) == (1, replace(columns.of(2), last_value=1.0))
        assert columns.of(1).received == 1
        assert place.signals.memory.statistics(session)[0].of(1).received == 2
        assert columns.of(77) == SeriesStatistics()


# states of models


class Learner(ThresholdScorer):
    """Has one model that counts what it saw."""

    def __init__(self):
        super().__init__()
        self.seen = 0
        self.changed = False

    def watch_block(self, numbers, timestamps, values, *, replayed=False):
        self.seen += len(numbers)
        self.changed = True
        return super().watch_block(numbers, timestamps, values, replayed=replayed)

    def states(self):
        changed, self.changed = self.changed, False
        yield "fleet:all/v1", str(self.seen).encode() if changed else None

    def restore(self, states):
        super().restore(states)
        self.seen = int(states["fleet:all/v1"]()) if "fleet:all/v1" in states else 0


def test_a_model_that_learns_comes_back_with_what_it_knew_and_learns_the_rest_again(open_place):
    place = open_place(Learner())
    fill(place, 0)
    fill(place, 1)
    assert place.scorer.seen == 4
    place.begin_again(Learner())
    place.drain()
    assert (place.scorer.seen, place.scorer.replayed, place.scorer.restored) == (4, [[1, 2]], [["fleet:all/v1"]])


def test_a_model_learns_nothing_twice_when_a_round_fails(open_place):
    place = open_place(Learner())
    fill(place, 0)
    place.send(("a", 1, 1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.outbox, "publish", lambda session, *facts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            place.signals.scoring.drain()
    place.drain()
    assert place.scorer.seen == 3


def test_the_state_of_a_model_outlives_damaged_statistics(open_place):
    place = open_place(Learner())
    fill(place, 0)
    for name, key in stored(place)[2].items():
        if name.startswith("statistics/"):
            place.blobs.path(key).write_bytes(b"rubbish")
    place.begin_again(Learner())
    place.drain()
    assert place.scorer.restored == [["fleet:all/v1"]]


def test_a_model_that_is_gone_is_forgotten(open_place):
    place = open_place(Learner())
    fill(place, 0)
    assert "model/fleet:all/v1" in stored(place)[2]
    place.begin_again(ThresholdScorer())
    fill(place, 1)
    place.store()
    assert "model/fleet:all/v1" not in stored(place)[2]


def test_other_processes_learn_what_was_stored_and_the_follower_does_not(open_place):
    place = open_place(Learner())
    fill(place, 0)
    other = Learner()
    Memory(place.database, place.blobs).share(other)
    assert other.seen == 2
    fill(place, 1)
    place.signals.share()
    assert place.scorer.seen == 4


def test_only_who_follows_can_store(place):
    fill(place, 0)
    with pytest.raises(Stale):
        place.signals.memory.save("somebody else", place.scorer, lambda: None)
    free_lease(place.database)
    assert owner_of(place.database) == place.signals.scoring._owner


def test_a_store_out_of_reach_does_not_make_it_forget_what_lies_there(place, monkeypatch):
    fill(place, 0)
    before = stored(place)

    def refuse(key, sha256=None):
        raise Unavailable("blobs_unavailable", "the store is gone", retry_after_s=1)

    memory = Memory(place.database, place.blobs)
    with monkeypatch.context() as patch:
        patch.setattr(place.blobs, "get", refuse)
        with pytest.raises(Unavailable):
            memory.load(place.scorer, lambda: None)
    assert stored(place) == before
    assert memory.load(place.scorer, lambda: None)
