"""Counts of many series share a row of an hour, and add up."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from atalaia.kit.database import Database
from atalaia.serving import store
from atalaia.serving.store import HOUR_US, PAGE
from tests.kit.fakes import open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "test.db")
    yield database
    database.close()


def add(database: Database, number: int, hour: int, scored: int, strange: int = 0) -> None:
    counts = np.zeros((PAGE, 2), np.int64)
    counts[number % PAGE] = scored, strange
    with database.write() as session:
        store.add_counts(session, {(number // PAGE, hour * HOUR_US): counts})


def since(database: Database, number: int, hour: float) -> tuple[int, int]:
    with database.read() as session:
        return store.counts_since(session, number, int(hour * HOUR_US))


def test_counts_of_an_hour_add_up(database: Database) -> None:
    add(database, 7, 100, 3, 1)
    add(database, 7, 100, 4)
    add(database, 8, 100, 50)
    add(database, 7 + PAGE, 100, 60, 60)
    assert since(database, 7, 0) == (7, 1)
    assert since(database, 7 + PAGE, 0) == (60, 60)
    assert since(database, 9, 0) == (0, 0)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(store.ScoredRow)) == 2


def test_an_hour_that_has_begun_counts_whole(database: Database) -> None:
    for hour in (99, 100, 101):
        add(database, 7, hour, 10 ** (hour - 99))
    assert [since(database, 7, hour)[0] for hour in (99, 99.9, 100, 100.5, 101, 101.9, 102)] == [
        111, 111, 110, 110, 100, 100, 0,
    ]  # fmt: skip


def test_counts_of_all_series_come_by_page(database: Database) -> None:
    add(database, 7, 100, 3, 1)
    add(database, 7, 101, 3, 1)
    add(database, PAGE * 3, 101, 5)
    with database.read() as session:
        found = store.scored_since(session, 100 * HOUR_US)
        assert store.scored_since(session, 102 * HOUR_US) == {}
    assert sorted(found) == [0, 3]
    assert found[0][7].tolist() == [6, 2]
    assert found[3][0].tolist() == [5, 0]
    assert found[0].sum() == 8


def test_old_hours_are_forgotten(database: Database) -> None:
    for hour in (1, 2, 3):
        add(database, 7, hour, 1)
    with database.write() as session:
        store.forget_counts(session, 2 * HOUR_US)
    assert since(database, 7, 0) == (2, 0)


def test_nothing_to_add_adds_nothing(database: Database) -> None:
    with database.write() as session:
        store.add_counts(session, {})
    assert since(database, 0, 0) == (0, 0)


COUNTS = st.lists(
    st.tuples(st.integers(0, 3 * PAGE), st.integers(0, 5), st.integers(0, 2**40), st.integers(0, 2**40)), max_size=8
)


@settings(max_examples=20)
@given(COUNTS)
def test_any_counts_add_up(added: list[tuple[int, int, int, int]]) -> None:
    wanted: dict[int, tuple[int, int]] = {}
    with TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "test.db")
        for number, hour, scored, strange in added:
            add(database, number, hour, scored, strange)
            before = wanted.get(number, (0, 0))
            wanted[number] = (before[0] + scored, before[1] + strange)
        assert {number: since(database, number, 0) for number in wanted} == wanted
        database.close()
