import pytest

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
            batch = store.TailRow(received_at=0, rows=count, first_ts=0, last_ts=0, scored=scored, points=b"")
            session.add(batch)


def block(key, sequence, first=0, last=0):
    return store.BlockRow(
        key=key, sequence=sequence, first_ts=first, last_ts=last, rows=1, size_bytes=1, sha256="", created_at=0
    )


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


def test_more_batches_than_fit_into_one_statement_are_marked_and_removed(database):
    fill(database, *[1] * 1_200)
    with database.write() as session:
        ids = [row.id for row in store.unscored(session, 10_000)]
        assert len(ids) == 1_000  # a drain is bounded
        store.mark_scored(session, ids)
        assert store.lag(session) == 200
        store.remove_batches(session, ids)
        assert store.scored_tail(session) == (0, None)


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
        assert [row.key for row in store.blocks_between(session, 9, 10)] == ["b", "c"]
        assert [row.key for row in store.blocks_between(session, 16, 99)] == ["a"]
