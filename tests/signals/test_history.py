import os
import time

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from atalaia.core.clock import MICROS
from atalaia.core.errors import Broken, Stale
from atalaia.signals import history as module
from atalaia.signals.history import FOLDER, History
from tests.signals.against_a_dict import AgainstADict
from tests.signals.builders import columns
from tests.signals.rooms import FOREVER, Meddled

DAY = 86_400 * MICROS


@pytest.fixture
def room(open_room):
    return open_room(block_fan_in=2)


# reading and appending


def test_nothing_is_read_from_nothing(room):
    assert room.read() == []
    assert room.read([]) == []
    assert room.history.compaction() is None
    assert room.history.merge() is None
    assert room.history.sweep() == 0


def test_points_are_read_at_once_sorted_and_each_once(room):
    room.append((2, 30, 1.0), (1, 20, 2.0), (1, 10, 3.0), (1, 20, 4.0))
    room.append((1, 10, 5.0))
    assert room.read() == [(1, 10, 5.0), (1, 20, 4.0), (2, 30, 1.0)]


def test_a_range_holds_its_start_but_not_its_end(room):
    room.append((1, 10, 1.0), (1, 20, 2.0), (1, 30, 3.0))
    room.compact((1, 40, 4.0))
    assert room.read([1], 20, 40) == [(1, 20, 2.0), (1, 30, 3.0)]
    assert room.read([1], 40, 41) == [(1, 40, 4.0)]
    assert room.read([1], 41, 99) == []


def test_only_the_wanted_series_are_read_whatever_their_order(room):
    room.compact((1, 10, 1.0), (2, 10, 2.0), (3, 10, 3.0))
    room.append((3, 20, 4.0), (4, 20, 5.0))
    assert room.read([3, 1, 3]) == [(1, 10, 1.0), (3, 10, 3.0), (3, 20, 4.0)]
    assert room.read([99]) == []


def test_an_append_that_rolls_back_is_gone(room):
    with room.database.write() as session:
        room.history.append(session, columns((1, 10, 1.0)))
        session.rollback()
    assert room.read() == []


# compaction


def test_only_scored_batches_become_a_block(room):
    room.append((1, 10, 1.0))
    room.append((1, 20, 2.0))
    assert room.history.compaction() is None
    room.score(1)
    said = room.apply(room.history.compaction())
    assert (said["batches"], said["points"]) == (1, 1)
    assert said["bytes"] == sum(block.size_bytes for block in room.blocks())
    assert len(room.tail()) == 1
    assert room.read() == [(1, 10, 1.0), (1, 20, 2.0)]


def test_a_block_holds_each_point_once_and_the_last_wins(room):
    room.append((1, 10, 1.0), (1, 20, 2.0))
    room.append((1, 10, 3.0))
    room.score()
    assert room.apply(room.history.compaction())["points"] == 2
    (block,) = room.blocks()
    assert (block.rows, block.first_ts, block.last_ts) == (2, 10, 20)
    assert room.read() == [(1, 10, 3.0), (1, 20, 2.0)]


def test_a_block_takes_no_more_points_than_it_may_hold_but_at_least_one_batch(open_room):
    room = open_room(block_max_points=1000)
    for batch in range(3):
        room.append(*((1, batch * 1000 + i, 1.0) for i in range(400)))
    room.append(*((1, 10_000 + i, 1.0) for i in range(1500)))
    room.score()
    for batches in (2, 1, 1):
        assert room.apply(room.history.compaction())["batches"] == batches
    assert room.history.compaction() is None
    assert [block.rows for block in room.blocks()] == [800, 400, 1500]


def test_until_the_manifest_is_swapped_nothing_changes(room):
    room.append((1, 10, 1.0))
    room.score()
    swap = room.history.compaction()
    assert len(room.files()) == 1
    assert room.blocks() == []
    assert room.read() == [(1, 10, 1.0)]
    with room.database.write() as session:
        swap(session)
        session.rollback()
    assert room.blocks() == []
    assert room.read() == [(1, 10, 1.0)]


def test_of_two_compactions_at_once_one_is_too_late_and_nothing_is_lost(room):
    room.append((1, 10, 1.0))
    room.score()
    first, second = room.history.compaction(), room.history.compaction()
    room.append((1, 10, 2.0))
    room.apply(second)
    with pytest.raises(Stale):
        room.apply(first)
    assert len(room.blocks()) == 1
    assert room.read() == [(1, 10, 2.0)]


def test_what_arrived_last_wins_between_tail_and_blocks(room):
    room.compact((1, 10, 1.0), (1, 20, 1.0), (1, 30, 1.0))
    room.compact((1, 20, 2.0), (1, 30, 2.0))
    room.append((1, 30, 3.0))
    assert room.read() == [(1, 10, 1.0), (1, 20, 2.0), (1, 30, 3.0)]


# merging


def test_what_arrived_last_still_wins_after_merging(room):
    room.compact((1, 10, 1.0), (1, 20, 1.0))
    room.compact((1, 20, 2.0), (1, 30, 2.0))
    expected = [(1, 10, 1.0), (1, 20, 2.0), (1, 30, 2.0)]
    old = room.files()
    assert room.apply(room.history.merge()) == {"blocks_rewritten": 2, "points_rewritten": 3}
    (block,) = room.blocks()
    assert (block.first_ts, block.last_ts, block.rows) == (10, 30, 3)
    assert room.read() == expected
    room.compact((1, 10, 9.0))
    assert room.read() == [(1, 10, 9.0), *expected[1:]]
    assert old < room.files()


def test_of_two_merges_at_once_one_is_too_late(room):
    room.compact((1, 10, 1.0))
    room.compact((1, 20, 1.0))
    first, second = room.history.merge(), room.history.merge()
    room.apply(first)
    with pytest.raises(Stale):
        room.apply(second)
    assert room.read() == [(1, 10, 1.0), (1, 20, 1.0)]


def test_a_merge_of_blocks_that_are_gone_is_too_late(room):
    room.compact((1, 10, 1.0))
    room.compact((1, 20, 1.0))
    for key in room.files():
        room.blobs.delete(key)
    with pytest.raises(Stale):
        room.history.merge()


@pytest.mark.parametrize("footers_in_memory", [False, True])
def test_a_reader_whose_block_was_merged_away_reads_the_new_manifest(room, footers_in_memory):
    room.compact((1, 10, 1.0), (1, 20, 1.0))
    room.compact((1, 20, 2.0), (1, 30, 2.0))
    meddled = Meddled(room.database.url)
    reader = History(meddled, room.blobs, room.settings)

    def merge_and_remove():
        old = room.files()
        room.apply(room.history.merge())
        for key in old:
            room.blobs.delete(key)

    try:
        if footers_in_memory:
            reader.read([1], 0, FOREVER)
        meddled.meddle = merge_and_remove
        assert reader.read([1], 0, FOREVER).values.tolist() == [1.0, 2.0, 2.0]
        assert meddled.meddle is None
    finally:
        meddled.close()


def test_a_block_that_is_gone_for_good_is_told(room):
    room.compact((1, 10, 1.0))
    for key in room.files():
        room.blobs.delete(key)
    with pytest.raises(Broken) as caught:
        room.read()
    assert caught.value.code == "bad_blob"


# what waits


def newest_waiting(room, *numbers):
    with room.database.read() as session:
        return room.history.newest_waiting(session, numbers)


def test_the_newest_time_among_waiting_batches_is_that_of_the_wanted_series(room):
    assert newest_waiting(room, 1) is None
    room.append((1, 10, 1.0), (2, 50, 1.0))
    room.append((1, 5, 1.0), (3, 7, 1.0))
    room.append((1, 30, 1.0), (2, 20, 1.0))
    assert [newest_waiting(room, number) for number in (1, 2, 3, 4)] == [30, 50, 7, None]
    assert newest_waiting(room, 3, 1) == 30


def test_batches_of_rounds_that_are_not_covered_wait_too(room):
    room.append((1, 10, 1.0))
    room.score(in_round=4)
    room.append((1, 20, 1.0))
    room.score(in_round=5)
    with room.database.read() as session:
        assert room.history.newest_waiting(session, [1], covered=5) is None
        assert room.history.newest_waiting(session, [1], covered=4) == 20


def test_what_was_scored_before_anybody_asked_does_not_wait(room):
    room.append((1, 10, 1.0))
    room.score()
    room.append((2, 50, 1.0))
    assert [newest_waiting(room, number) for number in (1, 2)] == [None, 50]


# retention


def test_without_retention_everything_stays(room):
    room.compact((1, 10, 1.0))
    assert room.history.expiry() is None


def test_blocks_that_are_too_old_are_dropped_and_rewritten(open_room, clock):
    room = open_room(retention_days=10, block_fan_in=8)
    now = clock[0]
    room.compact((1, now - 20 * DAY, 1.0))
    room.compact((1, now - 15 * DAY, 2.0), (1, now - 5 * DAY, 3.0))
    room.compact((1, now - 10 * DAY - 100, 4.0), (1, now - 4 * DAY, 5.0))
    room.compact((1, now - 1 * DAY, 6.0))
    kept = room.blocks()[2:]
    assert room.apply(room.history.expiry()) == {"blocks_dropped": 1, "blocks_rewritten": 1}
    assert [value for *_, value in room.read()] == [4.0, 3.0, 5.0, 6.0]
    assert [block.key for block in room.blocks()[1:]] == [block.key for block in kept]
    assert room.history.expiry() is None
    clock[0] += 30 * DAY
    assert room.apply(room.history.expiry()) == {"blocks_dropped": 3, "blocks_rewritten": 0}
    assert room.read() == []


def test_a_rewritten_block_keeps_its_place_in_the_sequence(open_room, clock):
    room = open_room(retention_days=10, block_fan_in=8)
    now = clock[0]
    room.compact((1, now - 15 * DAY, 1.0), (1, now - 5 * DAY, 1.0))
    room.compact((1, now - 5 * DAY, 2.0))
    room.apply(room.history.expiry())
    assert [value for *_, value in room.read()] == [2.0]


# sweeping


def test_a_block_that_was_swept_before_it_was_named_is_not_named(room, clock):
    room.append((1, 10, 1.0))
    room.score()
    swap = room.history.compaction()
    clock[0] += 901 * 1_000_000
    assert room.history.sweep() == 1
    with pytest.raises(Stale):
        room.apply(swap)
    assert room.blocks() == []
    assert room.read() == [(1, 10, 1.0)]


def age(room, key, seconds):
    then = time.time() - seconds
    os.utime(room.blobs.path(key), (then, then))


def test_the_sweep_removes_old_orphans_and_nothing_else(room):
    room.compact((1, 10, 1.0))
    (named,) = room.files()
    young = room.blobs.put(f"{FOLDER}/young.parquet", b"x").key
    old = room.blobs.put(f"{FOLDER}/old.parquet", b"x").key
    part = room.blobs.put(f"{FOLDER}/half.part", b"x").key
    other = room.blobs.put("models/old", b"x").key
    for key in (named, old, part, other):
        age(room, key, 901)
    age(room, young, 800)
    assert room.history.sweep() == 2
    assert room.files() == {named, young}
    assert room.blobs.get(other) == b"x"
    assert room.read() == [(1, 10, 1.0)]


# when to compact


def test_a_large_tail_wants_compaction(open_room):
    room = open_room(compact_after_points=3)
    room.append((1, 10, 1.0), (1, 20, 1.0), (1, 30, 1.0))
    assert not room.wants_compaction()
    room.score()
    assert room.wants_compaction()
    room.apply(room.history.compaction())
    assert not room.wants_compaction()


def test_an_old_tail_wants_compaction(open_room, clock):
    room = open_room(compact_after_s=60)
    room.append((1, 10, 1.0))
    room.score()
    assert not room.wants_compaction()
    clock[0] += 61 * MICROS
    assert room.wants_compaction()


def test_blocks_worth_merging_want_compaction(room):
    room.compact((1, 10, 1.0))
    assert not room.wants_compaction()
    room.compact((1, 20, 1.0))
    assert room.wants_compaction()
    room.apply(room.history.merge())
    assert not room.wants_compaction()


def test_many_small_batches_want_compaction(room, monkeypatch):
    monkeypatch.setattr(module, "_MANY_BATCHES", 3)
    for day in range(3):
        assert not room.wants_compaction()
        room.append((1, day, 1.0))
        room.score()
    assert room.wants_compaction()


def test_batches_of_rounds_beyond_the_horizon_stay_in_the_tail(open_room):
    room = open_room(compact_after_points=2)
    for day in range(3):
        room.append((1, day, 1.0))
        room.score(in_round=day)
    room.history.horizon = lambda session: -1
    assert room.history.compaction() is None
    assert not room.wants_compaction()
    room.history.horizon = lambda session: 1
    assert room.wants_compaction()
    assert room.apply(room.history.compaction())["batches"] == 2
    assert not room.wants_compaction()
    assert room.read() == [(1, day, 1.0) for day in range(3)]


# everything at once

MANY = (1, 4_095, 4_096, 9_000)


@pytest.mark.parametrize(
    ("series", "settings"),
    [
        ((1, 2, 3), {}),
        (MANY, {"divide_after_points": 5, "tail_cache_mib": 0}),
        (MANY, {"divide_after_points": 12, "block_fan_in": 3, "footer_cache_mib": 0}),
    ],
)
def test_whatever_happens_in_whatever_order_a_read_equals_a_dict(open_room, clock, series, settings):
    room = open_room(**{"block_fan_in": 2, "retention_days": 10, **settings})
    AgainstADict.room, AgainstADict.clock, AgainstADict.series = room, clock, series
    run_state_machine_as_test(AgainstADict, settings=hypothesis_settings(max_examples=20, stateful_step_count=30))
