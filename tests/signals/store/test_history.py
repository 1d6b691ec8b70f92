import pytest
from sqlalchemy.exc import IntegrityError

from atalaia.core.errors import Stale
from atalaia.signals.store import history as store
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


def fill(database, *rows, scored=False):
    """Add batches of so many points each."""
    with database.write() as session:
        for count in rows:
            batch = store.TailRow(received_at=0, rows=count, first_ts=0, last_ts=0, scored=scored)
            store.add_batch(session, batch, b"")


def block(key, sequence, first=0, last=0, *, bucket=0, series=(0, 9)):
    return store.BlockRow(
        key=key,
        bucket=bucket,
        sequence=sequence,
        first_series=series[0],
        last_series=series[1],
        first_ts=first,
        last_ts=last,
        rows=1,
        size_bytes=1,
        sha256="",
        created_at=0,
    )


def keys_between(session, start, end, buckets=(0,), first=0, last=9):
    return [held.key for held in store.blocks_between(session, start, end, buckets, first, last)]


@pytest.mark.parametrize(
    ("max_rows", "expected"), [(0, [1]), (5, [1]), (6, [1, 2]), (13, [1, 2]), (14, [1, 2, 3]), (99, [1, 2, 3, 4])]
)
def test_batches_are_taken_from_the_oldest_on_and_at_least_one(database, max_rows, expected):
    fill(database, 5, 1, 8, 1)
    with database.write() as session:
        assert [row.id for row in store.unscored(session, max_rows)] == expected
        assert store.compactable(session, max_rows) == []
        store.mark_scored(session, [1, 2, 3, 4])
        assert [row.id for row in store.compactable(session, max_rows)] == expected
        assert store.unscored(session, max_rows) == []
        assert store.compactable(session, max_rows, upto_round=-1) == []


def test_batches_are_replayed_round_by_round_and_rounds_stay_whole(database):
    fill(database, 5, 1, 8, 1, 2)
    with database.write() as session:
        for ids, in_round in (([2, 4], 7), ([1], 8), ([3], 9)):
            store.mark_scored(session, ids, in_round)
        assert [(row.id, row.round) for row in store.replayable(session, 6, 7)] == [(2, 7), (4, 7), (1, 8)]
        assert [row.id for row in store.replayable(session, 6, 6)] == [2, 4]
        assert [row.id for row in store.replayable(session, 6, 1)] == [2, 4]
        assert [row.id for row in store.replayable(session, 7, 99)] == [1, 3]
        assert store.replayable(session, 9, 99) == []
        assert store.waiting_ids(session, 7) == [5, 1, 3]
        assert [row.id for row in store.compactable(session, 99, upto_round=8)] == [1, 2, 4]
        assert store.scored_tail(session, upto_round=7) == (2, 2, 0)


def test_only_batches_that_are_there_are_read(database):
    fill(database, *[1] * 40)
    with database.write() as session:
        store.mark_scored(session, [1, 2, 40])
        store.remove_batches(session, [2, 40])
    with database.read() as session:
        assert [batch for batch, _ in store.batches(session, list(range(1, 41)))] == [1, *range(3, 40)]
        assert store.waiting_ids(session, 0) == list(range(3, 40))
        assert store.tail_ids(session, 0, 1) == [1, *range(3, 40)]
        assert store.tail_ids(session, 1, 2) == []


def test_more_batches_than_fit_into_one_statement_are_marked_and_removed(database):
    fill(database, *[1] * 1_200)
    with database.write() as session:
        ids = [row.id for row in store.unscored(session, 10_000)]
        assert len(ids) == 1_000  # a drain is bounded
        store.mark_scored(session, ids)
        assert store.lag(session) == 200
        store.remove_batches(session, ids)
        assert store.scored_tail(session) == (0, 0, None)


@pytest.mark.parametrize("change", [store.mark_scored, store.remove_batches])
def test_of_two_who_take_the_same_batch_one_is_too_late(database, change):
    fill(database, 1, 1)
    with database.write() as session:
        change(session, [2])
    with database.write() as session:
        with pytest.raises(Stale):
            change(session, [1, 2])
        session.rollback()
    with database.write() as session:
        change(session, [1])


def test_a_block_is_removed_once(database):
    with database.write() as session:
        session.add_all([block("a", 1), block("b", 2)])
    with database.write() as session:
        store.remove_blocks(session, ["a"])
        store.remove_blocks(session, [])
    with database.write() as session:
        with pytest.raises(Stale):
            store.remove_blocks(session, ["a", "b"])
        session.rollback()
    with database.read() as session:
        assert store.block_keys(session) == {"b"}


def test_blocks_come_in_order_of_their_sequence(database):
    with database.write() as session:
        session.add_all([block("c", 3, 0, 9), block("a", 5, 10, 19), block("b", 1, 5, 15)])
    with database.read() as session:
        assert [row.key for row in store.all_blocks(session)] == ["b", "c", "a"]
        assert [held.key for held in store.manifest(session)] == ["b", "c", "a"]
        assert keys_between(session, 9, 10) == ["b", "c"]
        assert keys_between(session, 16, 99) == ["a"]


def test_blocks_of_other_buckets_and_other_series_are_left_out(database):
    with database.write() as session:
        session.add_all([block("wide", 1, bucket=-1, series=(3, 9_000)), block("low", 2, series=(5, 20))])
        session.add(block("high", 2, bucket=1, series=(5_000, 5_001)))
    with database.read() as session:
        assert keys_between(session, 0, 9, (-1, 0), 0, 9) == ["wide", "low"]
        assert keys_between(session, 0, 9, (-1, 0), 0, 4) == ["wide"]
        assert keys_between(session, 0, 9, (-1, 0, 1), 0, 9_000) == ["wide", "low", "high"]
        assert keys_between(session, 0, 9, (1,), 5_002, 5_003) == []
        assert [store.has_bucket(session, bucket) for bucket in (-1, 0, 1, 2)] == [True, True, True, False]


def test_two_blocks_of_one_bucket_cannot_have_one_place(database):
    with database.write() as session:
        session.add_all([block("a", 7), block("b", 7, bucket=1)])
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(block("c", 7))
