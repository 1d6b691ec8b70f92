"""Blocks of many series are divided into buckets and read in parts; damage is told."""

import numpy as np
import pytest

from atalaia.core.clock import MICROS
from atalaia.core.errors import Broken, Stale
from tests.signals.rooms import FOREVER

DAY = 86_400 * MICROS


@pytest.fixture
def room(open_room):
    return open_room(block_fan_in=2)


def spread(moment, value):
    """Return a point of a series in each of three buckets."""
    return [(series, moment, value) for series in (3, 4_096, 9_000)]


def buckets(room):
    return [(block.bucket, block.sequence, block.rows) for block in room.blocks()]


def test_blocks_of_many_series_are_divided_when_they_hold_enough(open_room):
    room = open_room(divide_after_points=5, block_fan_in=9)
    room.compact(*spread(10, 1.0))
    assert buckets(room) == [(-1, 1, 3)]
    assert room.history.division() is None
    assert not room.wants_compaction()
    room.compact((3, 20, 2.0), *spread(10, 2.0)[:1])
    assert room.wants_compaction()
    assert room.apply(room.history.division()) == {"blocks_rewritten": 2, "points_rewritten": 4}
    assert sorted(buckets(room)) == [(0, 2, 2), (1, 1, 1), (2, 1, 1)]
    assert room.read([3, 4_096, 9_000]) == [(3, 10, 2.0), (3, 20, 2.0), (4_096, 10, 1.0), (9_000, 10, 1.0)]
    assert room.read([4_096]) == [(4_096, 10, 1.0)]


def test_a_block_of_few_series_waits_for_older_wide_ones(open_room):
    room = open_room(divide_after_points=100)
    room.compact((3, 10, 1.0))
    room.compact(*spread(10, 2.0))
    room.compact((3, 10, 3.0))
    assert [bucket for bucket, *_ in buckets(room)] == [0, -1, -1]
    assert room.read([3]) == [(3, 10, 3.0)]


def test_a_division_keeps_blocks_below_their_size(open_room):
    room = open_room(divide_after_points=1, block_max_points=1_000, block_fan_in=9)
    for batch in range(3):
        room.compact(*((series, batch * 1_000 + i, 1.0) for i in range(400) for series in (3, 4_096)))
    while (swap := room.history.division()) is not None:
        room.apply(swap)
    assert all(block.rows <= 1_000 and block.bucket >= 0 for block in room.blocks())
    assert len(room.read([3])) == 1_200


def test_of_two_divisions_at_once_one_is_too_late(open_room):
    room = open_room(divide_after_points=1)
    room.compact(*spread(10, 1.0))
    first, second = room.history.division(), room.history.division()
    room.apply(first)
    with pytest.raises(Stale):
        room.apply(second)
    assert room.read([3, 9_000]) == [(3, 10, 1.0), (9_000, 10, 1.0)]


def test_a_division_of_blocks_that_are_gone_is_too_late(open_room):
    room = open_room(divide_after_points=1)
    room.compact(*spread(10, 1.0))
    for key in room.files():
        room.blobs.delete(key)
    with pytest.raises(Stale):
        room.history.division()


def test_wide_blocks_expire_too(open_room, clock):
    room = open_room(retention_days=10, block_fan_in=8)
    now = clock[0]
    room.compact(*spread(now - 20 * DAY, 1.0))
    room.compact(*spread(now - 15 * DAY, 2.0), *spread(now - 5 * DAY, 3.0))
    assert room.apply(room.history.expiry()) == {"blocks_dropped": 1, "blocks_rewritten": 1}
    assert [bucket for bucket, *_ in buckets(room)] == [-1]
    assert [value for *_, value in room.read([3, 9_000])] == [3.0, 3.0]


# parts


def parts(room, numbers, max_points, start=0, end=FOREVER):
    return list(room.history.parts(numbers, start, end, max_points))


def test_parts_hold_whole_series_in_order_and_together_what_a_read_holds(open_room):
    room = open_room(divide_after_points=1_000, block_fan_in=9)
    series = [1, 2, 3, 5_000, 9_000]
    for start in range(0, 300, 100):
        room.compact(*((one, start + i, float(i)) for i in range(100) for one in series))
    room.settle()
    room.append(*((one, 300 + i, 7.0) for i in range(100) for one in series))
    found = parts(room, series[::-1], 850)
    assert [np.unique(part.series).tolist() for part in found] == [[1, 2], [3, 5_000], [9_000]]
    whole = room.history.read(series, 0, FOREVER)
    assert np.concatenate([part.values for part in found]).tolist() == whole.values.tolist()
    assert [len(part) for part in parts(room, [1], 10)] == [400]
    assert sum(len(part) for part in parts(room, series, 300, 50, 350)) == 5 * 300
    assert parts(room, [], 10) == []
    in_blocks = room.history.parts(series, 0, FOREVER, 850, blocks_only=True)
    assert sum(len(part) for part in in_blocks) == 5 * 300


def test_parts_of_series_without_points_are_empty(open_room):
    assert [len(part) for part in parts(open_room(), [1, 2], 10)] == [0]


# damage


def test_a_damaged_page_is_told(room):
    values = np.random.default_rng(7).normal(size=2000)
    room.compact(*((1, i, float(value)) for i, value in enumerate(values)))
    (key,) = room.files()
    path = room.blobs.path(key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(Broken) as caught:
        room.read()
    assert caught.value.code == "bad_blob"


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: data[: len(data) // 2]])
def test_a_block_that_was_cut_is_told(room, damage):
    room.compact((1, 10, 1.0))
    (key,) = room.files()
    path = room.blobs.path(key)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Broken) as caught:
        room.read()
    assert caught.value.code == "bad_blob"


def test_more_footers_than_fit_into_memory_are_read_again(open_room):
    room = open_room(footer_cache_mib=0)
    for day in range(4):
        room.compact((1, day, float(day)))
    for _ in range(2):
        assert room.read() == [(1, day, float(day)) for day in range(4)]


def test_damaged_and_lost_blocks_are_found(room):
    for day in range(3):
        room.compact((1, day, float(day)))
    assert room.history.damaged() == []
    _, cut, lost = (block.key for block in room.blocks())
    room.blobs.path(cut).write_bytes(b"x")
    room.blobs.delete(lost)
    assert room.history.damaged() == [cut, lost]
