"""The tail is decoded once, within its memory, and says what waits without being decoded again."""

import numpy as np
import pytest

from atalaia.signals import tail as module
from atalaia.signals.tail import Tail
from tests.signals.rooms import FOREVER, rows_of

BATCH = 20 * 100 + 600
"""Memory of a batch of 100 points."""


@pytest.fixture
def decoded(monkeypatch):
    """How often a batch was decoded so far."""
    decode = module.points_from_ipc
    seen = []
    monkeypatch.setattr(module, "points_from_ipc", lambda data: seen.append(1) or decode(data))
    return seen


def read(tail, room, numbers=(1, 2, 3), start=0, end=FOREVER):
    with room.database.read() as session:
        return [rows_of(part) for part in tail.read(session, np.array(numbers, np.int32), start, end)]


def newest(tail, room, *numbers):
    with room.database.read() as session:
        return tail.newest_waiting(session, numbers, 0)


def fill(room, batches):
    for batch in range(batches):
        room.append(*((i % 3 + 1, batch * 100 + i, float(batch)) for i in range(100)))


def test_batches_come_in_order_of_arrival_with_their_points_sorted(open_room):
    room = open_room()
    room.append((2, 30, 1.0), (1, 20, 2.0), (1, 20, 3.0), (9, 1, 1.0))
    room.append((1, 20, 4.0))
    room.append((7, 7, 7.0))
    assert read(Tail(1 << 20), room) == [[(1, 20, 3.0), (2, 30, 1.0)], [(1, 20, 4.0)], []]
    assert read(Tail(1 << 20), room, [1], 0, 20) == [[], []]


def test_a_batch_that_fits_into_memory_is_decoded_once(open_room, decoded):
    room, tail = open_room(), Tail(5 * BATCH)
    fill(room, 5)
    first = read(tail, room)
    assert read(tail, room) == first
    assert newest(tail, room, 1) == 499
    assert len(decoded) == 5


@pytest.mark.parametrize("fits", [0, 1, 4, 9])
def test_of_a_tail_that_is_too_large_the_newest_batches_stay_in_memory(open_room, decoded, fits):
    room, tail = open_room(), Tail(fits * BATCH)
    fill(room, 10)
    first = read(tail, room)
    for _ in range(3):
        del decoded[:]
        assert read(tail, room) == first
        assert len(decoded) == 10 - fits


def test_batches_that_became_a_block_make_room_for_new_ones(open_room, decoded):
    room, tail = open_room(), Tail(2 * BATCH)
    fill(room, 2)
    read(tail, room)
    room.score()
    room.apply(room.history.compaction())
    fill(room, 2)
    read(tail, room)
    del decoded[:]
    assert len(read(tail, room)) == 2
    assert decoded == []


def test_the_newest_time_is_known_without_decoding_a_batch_again(open_room, decoded):
    room, tail = open_room(), Tail(0)
    fill(room, 20)
    assert [newest(tail, room, number) for number in (1, 2, 3, 4, 1_000, -1)] == [
        1_999,
        1_997,
        1_998,
        None,
        None,
        None,
    ]
    assert len(decoded) == 20
    room.append((1_000, 5, 1.0), (2, 3, 1.0))
    assert newest(tail, room, 2, 1_000) == 1_997
    assert newest(tail, room, 1_000) == 5
    assert len(decoded) == 21


def test_points_are_counted_series_by_series(open_room):
    room, tail = open_room(), Tail(0)
    fill(room, 2)
    with room.database.read() as session:
        assert tail.counts(session, np.array([0, 1, 3, 9], np.int32), 0, FOREVER).tolist() == [0, 68, 66, 0]
        assert tail.counts(session, np.array([1], np.int32), 150, 160).tolist() == [34]
