"""A write is one transaction, there is one writer, and what goes wrong outside has a name."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database, after_commit, as_unavailable, savepoint, upsert
from tests.kit.fakes import (
    CounterRow,
    TickRow,
    add_up,
    count_of,
    count_up,
    in_threads,
    logged,
    open_database,
)


def fail_in_a_write(database: Database, error: Exception, action: Callable[[], object] = int) -> None:
    with database.write() as session:
        session.add(CounterRow(name="a", count=1))
        after_commit(session, action)
        session.flush()
        raise error


def fail_in_a_commit(database: Database, action: Callable[[], object]) -> None:
    with database.write() as session:
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        session.add(TickRow(counter="nobody"))
        after_commit(session, action)
        session.flush()


def fill_the_disk(database: Database) -> None:
    with database.write() as session:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count = {pages}"))
        session.add(CounterRow(name="a", count=1, note="x" * 1_000_000))


def test_what_a_write_did_is_there_once_its_block_has_ended(database: Database) -> None:
    add_up(database, by=3)
    assert count_of(database) == 3


def test_nothing_remains_of_a_write_that_failed(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in_a_write(database, ZeroDivisionError())
    assert count_of(database) is None
    add_up(database)  # and the next one is not in its way
    assert count_of(database) == 1


def test_a_write_is_invisible_until_it_is_whole(database: Database) -> None:
    with database.write() as session:
        session.add(CounterRow(name="a", count=1))
        session.flush()
        assert count_of(database) is None
    assert count_of(database) == 1


def test_a_read_sees_one_moment(database: Database) -> None:
    add_up(database)
    with database.read() as session:
        assert session.scalar(text("SELECT count FROM test_counters")) == 1
        add_up(database)
        assert session.scalar(text("SELECT count FROM test_counters")) == 1
    assert count_of(database) == 2


def test_a_read_changes_nothing(database: Database) -> None:
    with database.read() as session:
        session.add(CounterRow(name="a", count=1))
        session.flush()
    assert count_of(database) is None


def test_rows_can_be_used_after_the_session(database: Database) -> None:
    with database.write() as session:
        row = CounterRow(name="a", count=7)
        session.add(row)
    assert (row.name, row.count) == ("a", 7)


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(TickRow(counter="nobody"))


@pytest.mark.parametrize(("pragma", "value"), [("foreign_keys", 1), ("journal_mode", "wal"), ("synchronous", 2)])
def test_every_connection_is_set_for_safety(tmp_path: Path, pragma: str, value: int | str) -> None:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    with database.write() as writer, database.read() as reader:
        assert [session.scalar(text(f"PRAGMA {pragma}")) for session in (writer, reader)] == [value, value]
    database.close()


def test_threads_that_hammer_one_row_lose_no_update(database: Database) -> None:
    in_threads(8, lambda _: [add_up(database) for _ in range(15)])
    assert count_of(database) == 120


# after the commit


def test_an_action_runs_after_the_commit_and_sees_it(database: Database) -> None:
    seen: list[int | None] = []
    with database.write() as session:
        session.add(CounterRow(name="a", count=1))
        after_commit(session, lambda: seen.append(count_of(database)))
        session.flush()
        assert seen == []
    assert seen == [1]


def test_no_action_runs_after_a_rollback(database: Database) -> None:
    seen: list[str] = []
    with pytest.raises(ZeroDivisionError):
        fail_in_a_write(database, ZeroDivisionError(), lambda: seen.append("x"))
    add_up(database)
    assert seen == []


def test_no_action_runs_when_the_commit_itself_fails(database: Database) -> None:
    seen: list[str] = []
    with pytest.raises(IntegrityError):
        fail_in_a_commit(database, lambda: seen.append("x"))
    assert seen == []


def test_an_action_may_write(database: Database) -> None:
    with database.write() as session:
        after_commit(session, lambda: add_up(database))
    assert count_of(database) == 1


def test_an_action_that_was_asked_for_twice_runs_once_after_the_others(database: Database) -> None:
    seen: list[str] = []

    def one() -> None:
        seen.append("one")

    with database.write() as session:
        for action in (one, lambda: seen.append("two"), one):
            after_commit(session, action)
    assert seen == ["two", "one"]


def test_an_action_that_fails_neither_stops_the_others_nor_hides_the_commit(database: Database) -> None:
    seen: list[str] = []
    with logged("action_after_commit_failed"), database.write() as session:
        session.add(CounterRow(name="a", count=1))
        after_commit(session, lambda: 1 // 0)
        after_commit(session, lambda: seen.append("two"))
    assert seen == ["two"]
    assert count_of(database) == 1


# one writer


def test_a_writer_waits_for_one_of_another_process_and_gives_up_by_name(tmp_path: Path) -> None:
    ours, theirs = (open_database(tmp_path / "test.db", busy_timeout_s=0.05) for _ in range(2))
    with theirs.write() as session:
        session.add(CounterRow(name="a", count=1))
        session.flush()
        with pytest.raises(Unavailable) as caught:
            add_up(ours)
    assert (caught.value.code, caught.value.retries) == ("database_busy", True)
    add_up(ours)
    assert count_of(ours) == 2
    ours.close()
    theirs.close()


def test_a_writer_of_another_process_that_ends_soon_enough_is_waited_for(tmp_path: Path) -> None:
    ours, theirs = (open_database(tmp_path / "test.db") for _ in range(2))
    writing, enough = threading.Event(), threading.Event()

    def write(number: int) -> None:
        if number:
            with theirs.write() as session:
                session.add(CounterRow(name="a", count=1))
                session.flush()
                writing.set()
                enough.wait(0.05)
        else:
            writing.wait(5)
            add_up(ours)

    in_threads(2, write)
    assert count_of(ours) == 2
    ours.close()
    theirs.close()


def test_a_write_takes_its_place_before_it_reads(tmp_path: Path) -> None:
    ours, theirs = (open_database(tmp_path / "test.db", busy_timeout_s=0.05) for _ in range(2))
    with ours.write() as session:
        session.scalar(text("SELECT count FROM test_counters"))  # a deferred write would still be a reader
        with pytest.raises(Unavailable):
            add_up(theirs)
        session.add(CounterRow(name="a", count=1))
    assert count_of(theirs) == 1
    ours.close()
    theirs.close()


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    database = open_database(tmp_path / "test.db", busy_timeout_s=0.05)
    with database.write(), pytest.raises(RuntimeError, match="wait for itself"):
        add_up(database)
    database.close()


# upsert


def test_upsert_inserts_what_is_new_and_sets_what_is_there(database: Database) -> None:
    with database.write() as session:
        upsert(session, CounterRow, [{"name": "a", "count": 1}, {"name": "b", "count": 2}], ["name"])
        upsert(session, CounterRow, [{"name": "b", "count": 5}, {"name": "c", "count": 3}], ["name"])
    assert [count_of(database, name) for name in "abc"] == [1, 5, 3]


def test_upsert_leaves_columns_alone_that_it_was_not_given(database: Database) -> None:
    with database.write() as session:
        session.add(CounterRow(name="a", count=1, note="kept"))
        session.flush()
        upsert(session, CounterRow, [{"name": "a", "count": 2}], ["name"])
    with database.read() as session:
        row = session.get_one(CounterRow, "a")
        assert (row.count, row.note) == (2, "kept")


def test_upsert_of_nothing_does_nothing(database: Database) -> None:
    with database.write() as session:
        upsert(session, CounterRow, [], ["name"])
    assert count_of(database) is None


# what goes wrong outside


def test_a_full_disk_is_called_so_and_nothing_was_kept(tmp_path: Path) -> None:
    database = open_database(tmp_path / "test.db")
    with pytest.raises(Unavailable) as caught:
        fill_the_disk(database)
    assert caught.value.code == "disk_full"
    assert count_of(database) is None
    database.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(b"not a database " * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(Unavailable) as caught:
        count_of(database)
    assert caught.value.code == "database_unavailable"
    database.close()


def test_a_damaged_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    first = open_database(path)
    add_up(first)
    with first.write() as session:
        session.add_all(CounterRow(name=f"n{i}", count=i, note="x" * 200) for i in range(200))
    first.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    database = Database(f"sqlite:///{path}")
    with pytest.raises(Unavailable) as caught:
        count_of(database)
    assert caught.value.code == "database_unavailable"
    database.close()


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/test.db")
    with pytest.raises(Unavailable) as caught:
        count_of(database)
    assert caught.value.code == "database_unavailable"


def test_a_constraint_is_never_mistaken_for_a_busy_database(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(
            text("INSERT INTO test_counters (name, count) VALUES (:n, 1), (:n, 2)"),
            {"n": "the door is locked, the line busy, the disk is full"},
        )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (sqlite3.OperationalError("database or disk is full"), "disk_full"),
        (sqlite3.OperationalError("disk I/O error"), "disk_full"),
        (sqlite3.OperationalError("database table is locked"), "database_busy"),
        (sqlite3.OperationalError("unable to open database file"), "database_unavailable"),
        (OperationalError("SELECT 'busy'", {}, Exception("server closed the connection")), "database_unavailable"),
        (DatabaseError("SELECT 'locked'", {}, Exception("syntax error")), None),
        (sqlite3.ProgrammingError("no such thing"), None),
    ],
)
def test_a_drivers_error_is_judged_by_its_own_words(error: Exception, code: str | None) -> None:
    found = as_unavailable(error)
    assert (found.code if found else None) == code


def undone(session: Session, *actions: Callable[[], object]) -> None:
    """Do something in a savepoint that fails."""
    with savepoint(session):
        for action in actions:
            action()
        session.flush()
        raise ZeroDivisionError


def test_a_savepoint_that_fails_undoes_itself_alone(database: Database) -> None:
    done: list[str] = []
    with database.write() as session:
        count_up(session, "before")
        after_commit(session, lambda: done.append("before"))
        with pytest.raises(ZeroDivisionError):
            undone(
                session,
                lambda: count_up(session, "before", 10),
                lambda: count_up(session, "inside"),
                lambda: after_commit(session, lambda: done.append("inside")),
            )
        count_up(session, "after")
        after_commit(session, lambda: done.append("after"))
    assert [count_of(database, name) for name in ("before", "inside", "after")] == [1, None, 1]
    assert done == ["before", "after"]


def count_in_a_savepoint(database: Database, done: list[str], error: Exception | None = None) -> None:
    with database.write() as session:
        with savepoint(session):
            count_up(session, "a")
            after_commit(session, lambda: done.append("a"))
        if error is not None:
            raise error


def test_a_savepoint_that_ends_well_is_part_of_the_transaction(database: Database) -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError):
        count_in_a_savepoint(database, done, ZeroDivisionError())
    assert (count_of(database), done) == (None, [])
    count_in_a_savepoint(database, done)
    assert (count_of(database), done) == (1, ["a"])


def test_a_commit_that_fails_leaves_no_transaction_open(database: Database) -> None:
    commit = database.engine.dialect.do_commit
    database.engine.dialect.do_commit = lambda _: None  # pyright: ignore[reportAttributeAccessIssue]
    add_up(database, "gone")
    database.engine.dialect.do_commit = commit
    add_up(database, "kept")
    assert (count_of(database, "gone"), count_of(database, "kept")) == (None, 1)


def test_an_action_of_before_that_is_asked_for_in_a_failed_savepoint_keeps_its_place(database: Database) -> None:
    done: list[str] = []
    first, second = (lambda: done.append("first")), (lambda: done.append("second"))
    with database.write() as session:
        after_commit(session, first)
        after_commit(session, second)
        with pytest.raises(ZeroDivisionError):
            undone(session, lambda: after_commit(session, first))
    assert done == ["first", "second"]


def test_a_savepoint_whose_own_end_fails_is_undone(database: Database) -> None:
    with database.write() as session:
        count_up(session, "a")
        with pytest.raises(IntegrityError), savepoint(session):
            session.add(TickRow(counter="nobody"))
        count_up(session, "b")
    assert (count_of(database, "a"), count_of(database, "b")) == (1, 1)


def test_savepoints_inside_each_other_are_undone_one_by_one(database: Database) -> None:
    with database.write() as session, savepoint(session):
        count_up(session, "outer")
        with pytest.raises(ZeroDivisionError):
            undone(session, lambda: count_up(session, "inner"))
    assert (count_of(database, "outer"), count_of(database, "inner")) == (1, None)
