"""Reads are snapshots, writes are whole, and writers side by side lose nothing: on every twin of the database."""

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from atalaia.core.errors import Invalid, Unavailable
from atalaia.kit.database import Database, after_commit, insert_missing, savepoint, serialize, upsert
from atalaia.kit.postgres import Collided
from tests.contracts.conftest import Open
from tests.kit.fakes import CounterRow, TickRow, add_up, count_of, count_up, in_threads


def fail_in_a_write(database: Database, *actions: Callable[[], object]) -> None:
    with database.write() as session:
        count_up(session, "a")
        for action in actions:
            after_commit(session, action)
        session.flush()
        raise ZeroDivisionError


def tick_for_nobody(session: Session) -> None:
    with savepoint(session):
        session.add(TickRow(counter="nobody"))
        session.flush()


def wait_in_line(database: Database) -> None:
    with database.write() as session:
        serialize(session, "thing")
        count_up(session, "a")


def test_what_a_write_did_is_there_and_nothing_remains_of_one_that_failed(database: Database) -> None:
    add_up(database, by=3)
    with pytest.raises(ZeroDivisionError):
        fail_in_a_write(database)
    assert count_of(database) == 3


def test_a_read_sees_one_moment(database: Database) -> None:
    add_up(database)
    with database.read() as session:
        assert session.scalar(select(CounterRow.count)) == 1
        add_up(database)
        assert session.scalar(select(CounterRow.count)) == 1
    assert count_of(database) == 2


def test_a_write_is_invisible_until_it_is_whole(database: Database) -> None:
    with database.write() as session:
        count_up(session, "a")
        session.flush()
        assert count_of(database) is None
    assert count_of(database) == 1


def test_actions_run_after_the_commit_and_only_then(database: Database) -> None:
    seen: list[int | None] = []
    with database.write() as session:
        count_up(session, "a")
        after_commit(session, lambda: seen.append(count_of(database)))
        session.flush()
        assert not seen
    with pytest.raises(ZeroDivisionError):
        fail_in_a_write(database, lambda: seen.append(0))
    assert seen == [1]


def test_a_savepoint_undoes_its_own_part_even_after_an_error_of_the_database(database: Database) -> None:
    with database.write() as session:
        count_up(session, "a")
        with pytest.raises(IntegrityError):
            tick_for_nobody(session)
        count_up(session, "b")
    assert [count_of(database, name) for name in "ab"] == [1, 1]


def test_upsert_and_insert_missing_do_what_they_say(database: Database) -> None:
    with database.write() as session:
        upsert(session, CounterRow, [{"name": "a", "count": 1}, {"name": "b", "count": 2}], ["name"])
        upsert(session, CounterRow, [{"name": "b", "count": 5}, {"name": "c", "count": 3}], ["name"])
        insert_missing(session, CounterRow, [{"name": "c", "count": 9}, {"name": "d", "count": 4}], ["name"])
    assert [count_of(database, name) for name in "abcd"] == [1, 5, 3, 4]


def test_writers_that_add_the_same_row_at_once_add_it_once(open_database: Open, database: Database) -> None:
    others = [database, open_database()]

    def add(number: int) -> None:
        with others[number % 2].write() as session:
            insert_missing(session, CounterRow, [{"name": "a", "count": 1}], ["name"])
            assert session.scalar(select(CounterRow.count)) == 1

    in_threads(6, add)


def test_writers_that_read_first_lose_no_update_where_they_serialize(
    open_database: Open, database: Database
) -> None:
    others = [database, open_database()]

    def add(number: int) -> None:
        for _ in range(10):
            with others[number % 2].write() as session:
                serialize(session, "counter a")
                count_up(session, "a")

    in_threads(6, add)
    assert count_of(database) == 60


def test_a_writer_waits_for_another_and_gives_up_by_name(open_database: Open, database: Database) -> None:
    impatient = open_database(busy_timeout_s=0.2)
    with database.write() as session:
        serialize(session, "thing")
        count_up(session, "a")
        session.flush()
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            wait_in_line(impatient)
        assert time.monotonic() - began < 5
    assert (caught.value.code, caught.value.retries) == ("database_busy", True)
    assert caught.value.retry_after_s
    add_up(impatient)
    assert count_of(database) == 2


def test_two_that_wait_for_each_other_both_succeed_in_the_end(open_database: Open, database: Database) -> None:
    add_up(database, "a")
    add_up(database, "b")
    others = [database, open_database()]
    both_hold = threading.Barrier(2)
    count = text("UPDATE test_counters SET count = count + 1 WHERE name = :name")

    def cross(number: int) -> None:
        tries = 0

        def work(session: Session) -> None:
            nonlocal tries
            tries += 1
            first, second = ("ab", "ba")[number]
            session.execute(count, {"name": first})
            if tries == 1 and not database.is_sqlite:  # it lets one in at a time: there is nothing to cross
                both_hold.wait(10)
            session.execute(count, {"name": second})

        others[number].transact(work)

    in_threads(2, cross)
    assert [count_of(database, name) for name in "ab"] == [3, 3]


def test_work_that_always_collides_gives_up(database: Database) -> None:
    tries: list[int] = []

    def work(_session: object) -> None:
        tries.append(1)
        raise Collided("database_busy", "in the way", retry_after_s=1)

    with pytest.raises(Unavailable):
        database.transact(work)
    assert len(tries) == 4


def test_a_constraint_is_no_busy_database(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(TickRow(counter="nobody"))


def test_a_text_that_cannot_be_kept_is_the_senders_fault(database: Database) -> None:
    if database.is_sqlite:
        return  # it keeps them
    with pytest.raises(Invalid), database.read() as session:
        session.scalar(select(CounterRow.count).where(CounterRow.name == "a\0b"))


def test_a_database_that_is_not_there_is_unavailable(url: str) -> None:
    place = url.rpartition("/")[0] + "/nowhere/atalaia.db" if url.startswith("sqlite") else f"{url}_not_there"
    nowhere = Database(place)
    with pytest.raises(Unavailable) as caught:
        add_up(nowhere)
    assert caught.value.code == "database_unavailable"
    nowhere.close()


def test_every_transaction_has_its_bounds(database: Database) -> None:
    if database.is_sqlite:
        return
    names = ("transaction_isolation", "transaction_read_only", "statement_timeout", "lock_timeout")
    query = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    with database.write() as session, database.read() as reader:
        assert tuple(session.execute(query).one()) == ("read committed", "off", "15s", "10s")
        assert tuple(reader.execute(query).one()) == ("repeatable read", "on", "15s", "10s")
    with database.write(patience_s=600) as session:
        assert tuple(session.execute(query).one())[2:] == ("10min", "10min")
