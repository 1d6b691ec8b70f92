"""What is asked is counted without the database, stored now and then, and not lost when that fails."""

from pathlib import Path

import pytest

from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database
from atalaia.serving import store
from atalaia.serving.asked import AskedCounts
from tests.kit.fakes import in_threads, open_database

NOON = 472_224 * store.HOUR_US


class Day:
    """The clock of the counts."""

    def __init__(self) -> None:
        self.hour = 0.0

    def __call__(self) -> int:
        return NOON + int(self.hour * store.HOUR_US)


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    day = Day()
    monkeypatch.setattr("atalaia.serving.asked.now_us", day)
    return day


@pytest.fixture
def asked(tmp_path: Path, day: Day) -> AskedCounts:
    return AskedCounts(open_database(tmp_path / "asked.db"))


def totals(asked: AskedCounts) -> dict[tuple[str, ...], float]:
    return dict(asked.totals())


def break_down(asked: AskedCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Database) -> None:
        raise Unavailable("database_busy", "locked")

    monkeypatch.setattr(Database, "write", fail)


def test_counts_are_by_series(asked: AskedCounts) -> None:
    asked.add("a", "v1", 10, 2)
    asked.add("a", "v2", 5, 0)
    asked.add("b", "v1", 1, 1)
    assert asked.counts("a", 0) == (15, 2)
    assert asked.counts("b", 0) == (1, 1)
    assert asked.counts("nobody", 0) == (0, 0)


def test_totals_are_by_series_version_and_outcome(asked: AskedCounts) -> None:
    asked.add("a", "v1", 10, 2)
    asked.add("a", "v1", 3, 3)
    asked.add("a", "v2", 4, 0)
    asked.flush()
    assert totals(asked) == {("a", "v1", "false"): 8, ("a", "v1", "true"): 5, ("a", "v2", "false"): 4}


def test_what_was_stored_is_not_stored_again(asked: AskedCounts) -> None:
    asked.add("a", "v1", 10, 2)
    for _ in range(3):
        assert asked.flush() is False
    assert asked.counts("a", 0) == (10, 2)


def test_counts_of_one_hour_add_up_over_flushes(asked: AskedCounts) -> None:
    for _ in range(3):
        asked.add("a", "v1", 2, 1)
        asked.flush()
    assert asked.counts("a", 0) == (6, 3)


def test_counts_go_back_to_the_hour_that_was_asked_for(asked: AskedCounts, day: Day) -> None:
    for day.hour in (0.5, 1.5, 2.5):
        asked.add("a", "v1", 10, 1)
    assert asked.counts("a", NOON) == (30, 3)
    assert asked.counts("a", NOON + store.HOUR_US) == (20, 2)
    assert asked.counts("a", NOON + store.HOUR_US + 1) == (20, 2)  # an hour counts while any of it is asked for
    assert asked.counts("a", NOON + 3 * store.HOUR_US) == (0, 0)


def test_what_could_not_be_stored_is_stored_the_next_time(
    asked: AskedCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.add("a", "v1", 10, 2)
    with monkeypatch.context() as patched:
        break_down(asked, patched)
        with pytest.raises(Unavailable):
            asked.flush()
        asked.add("a", "v1", 1, 1)
        with pytest.raises(Unavailable):
            asked.flush()
    assert asked.counts("a", 0) == (11, 3)
    assert totals(asked) == {("a", "v1", "false"): 8, ("a", "v1", "true"): 3}


def test_two_processes_add_to_the_same_counts(asked: AskedCounts, tmp_path: Path) -> None:
    other = AskedCounts(open_database(tmp_path / "asked.db"))
    for counts in (asked, other, asked):
        counts.add("a", "v1", 5, 1)
        counts.flush()
    assert asked.counts("a", 0) == (15, 3)


def test_the_most_asked_come_first(asked: AskedCounts, day: Day) -> None:
    for name, times in (("b", 5), ("c", 9), ("a", 5), ("d", 1)):
        asked.add(name, "v1", times, 0)
    asked.flush()
    day.hour = 1
    asked.add("d", "v1", 20, 0)
    asked.flush()
    assert asked.most_asked(10) == ["d", "c", "a", "b"]
    assert asked.most_asked(2) == ["d", "c"]
    assert asked.most_asked(0) == []


def test_nothing_is_lost_when_many_count_and_store_at_once(asked: AskedCounts) -> None:
    def count(number: int) -> None:
        for _ in range(200):
            asked.add("a", f"v{number}", 3, 1)
        asked.flush()

    in_threads(4, count)
    assert asked.counts("a", 0) == (2_400, 800)
    assert sum(totals(asked).values()) == 2_400


def test_hours_older_than_90_days_are_forgotten_when_newer_ones_are_stored(asked: AskedCounts, day: Day) -> None:
    for day.hour in (0, 1, 2):
        asked.add("a", "v1", 1, 0)
    asked.flush()
    day.hour = 90 * 24 + 1.5
    asked.flush()
    assert asked.counts("a", 0) == (3, 0)
    asked.add("b", "v1", 1, 0)
    asked.flush()
    assert asked.counts("a", 0) == (1, 0)


def test_old_hours_are_looked_for_at_most_once_an_hour(
    asked: AskedCounts, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(store, "forget_counts", lambda _, older_than_us: looked.append(older_than_us))
    for day.hour in (0, 0.5, 0.9, 1.5, 1.6):
        asked.add("a", "v1", 1, 0)
        asked.flush()
    assert len(looked) == 2
