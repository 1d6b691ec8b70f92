"""Running statistics of all series as columns, stored page by page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from atalaia.core.errors import Broken, Missing
from atalaia.signals.statistics import (
    PAGE,
    UNKNOWN,
    SeriesStatistics,
    StatisticsColumns,
    StoredStatistics,
    in_time_order,
    positions_of,
)
from tests.signals.builders import columns as points_of


def learnt(*points):
    """Return columns that have learnt points of (number, time, value)."""
    known = StatisticsColumns()
    learn(known, *points)
    return known


def learn(known, *points):
    batch = points_of(*points)
    known.receive(batch.series)
    return known.learn(batch.series, batch.timestamps, batch.values).tolist()


def test_a_series_without_points_is_unknown():
    known = learnt((3, 10, 1.0))
    assert known.of(2) == known.of(PAGE * 9) == UNKNOWN
    assert known.of(3) == SeriesStatistics(1, 10, 10, 1, 1.0, 0.0, 1.0, None)


def test_what_is_known_is_in_the_usual_units():
    known = learnt((1, 0, 1.0), (1, 60_000_000, 3.0), (1, 30_000_000, 99.0))
    said = known.of(1)
    assert (said.received, said.first_ts, said.last_ts, said.count) == (3, 0, 60_000_000, 2)
    assert (said.mean, said.std, said.last_value, said.step_us) == (2.0, pytest.approx(2**0.5), 3.0, 60e6)


def test_late_points_are_received_and_teach_nothing():
    known = learnt((1, 10, 1.0))
    assert learn(known, (1, 10, 5.0), (1, 9, 5.0), (1, 11, 2.0)) == [False, False, True]
    assert (known.of(1).received, known.of(1).count) == (4, 2)


def test_nothing_is_learnt_from_nothing():
    known = StatisticsColumns()
    assert learn(known) == []
    assert list(known.changed_pages()) == []


def test_columns_grow_with_the_highest_number_and_forget_nothing():
    known = learnt((1, 10, 1.0))
    for number in (PAGE - 1, PAGE, 5 * PAGE, 40 * PAGE + 7):
        learn(known, (number, number, 2.0))
    assert known.of(1).last_ts == 10
    assert [known.of(number).last_ts for number in (PAGE - 1, PAGE, 5 * PAGE, 40 * PAGE + 7)] == [
        PAGE - 1,
        PAGE,
        5 * PAGE,
        40 * PAGE + 7,
    ]


def test_the_newest_time_of_some_series_is_known():
    known = learnt((1, 10, 1.0), (2, 30, 1.0))
    assert known.newest(np.array([1, 2], np.int32)) == 30
    assert known.newest(np.array([1, 99_999], np.int32)) == 10
    assert known.newest(np.array([3, 99_999], np.int32)) is None
    assert known.newest(np.array([], np.int32)) is None


def test_points_that_were_learnt_are_told_from_those_still_to_come():
    known = learnt((1, 10, 1.0), (2, 0, 1.0))
    asked = points_of((1, 9, 1.0), (1, 10, 1.0), (1, 11, 1.0), (2, 0, 1.0), (3, 0, 1.0), (PAGE * 3, 5, 1.0))
    assert known.known(asked).timestamps.tolist() == [9, 10, 0]


# pages


def test_only_pages_that_changed_are_told_and_each_once():
    known = learnt((1, 10, 1.0), (2 * PAGE, 10, 1.0))
    assert [page for page, _ in known.changed_pages()] == [0, 2]
    assert list(known.changed_pages()) == []
    learn(known, (PAGE - 1, 1, 1.0))
    assert [page for page, _ in known.changed_pages()] == [0]


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, PAGE, 3 * PAGE + 5]), st.integers(0, 50), st.floats(-1e100, 1e100)),
        max_size=30,
    )
)
def test_pages_bring_back_every_bit(points):
    known = learnt(*points)
    again = StatisticsColumns()
    for page, data in known.changed_pages():
        again.put_page(page, data)
    for number in (0, 1, 2, 3, PAGE, 3 * PAGE + 5):
        assert again.of(number) == known.of(number)
    more = [(1, 100, 7.5), (PAGE, 100, -3.0)]
    assert learn(again, *more) == learn(known, *more)
    assert again.of(1) == known.of(1)
    assert list(again.changed_pages()) == [*learnt_pages(known, {0, 1})]


def learnt_pages(known, pages):
    """Return some pages of `known` as they are now."""
    known._changed[:] = [page in pages for page in range(len(known._changed))]
    return known.changed_pages()


@pytest.mark.parametrize(
    "harm", [lambda data: data[:-9], lambda data: b"", lambda data: data.replace(b"PK", b"KP")]
)
def test_a_damaged_page_is_refused(harm):
    ((_, data),) = learnt((1, 10, 1.0)).changed_pages()
    with pytest.raises(Broken, match="statistics"):
        StatisticsColumns().put_page(0, harm(data))


# as others read them


class Shelf:
    """Stored pages, and how often they were read."""

    def __init__(self):
        self.data = {}
        self.read = []

    def get(self, key, sha256):
        self.read.append((key, sha256))
        if key not in self.data:
            raise Missing("unknown_blob", "it is gone")
        return self.data[key]


def test_a_stored_page_is_read_once_for_each_key():
    shelf = Shelf()
    ((_, shelf.data["k1"]),) = learnt((1, 10, 1.0)).changed_pages()
    ((_, shelf.data["k2"]),) = learnt((1, 20, 1.0)).changed_pages()
    stored = StoredStatistics(shelf.get)
    for _ in range(2):
        assert stored.columns({0: ("k1", "s1")}).of(1).last_ts == 10
    for _ in range(2):
        assert stored.columns({0: ("k2", "s2")}).of(1).last_ts == 20
    assert shelf.read == [("k1", "s1"), ("k2", "s2")]


def test_a_stored_page_that_is_gone_or_damaged_leaves_what_was_known_before():
    shelf = Shelf()
    ((_, shelf.data["k1"]),) = learnt((1, 10, 1.0)).changed_pages()
    shelf.data["k3"] = b"rubbish"
    stored = StoredStatistics(shelf.get)
    stored.columns({0: ("k1", "")})
    with capture_logs() as lines:
        for key in ("k2", "k3"):
            for _ in range(2):
                assert stored.columns({0: (key, "")}).of(1).last_ts == 10
    assert [line["event"] for line in lines] == ["statistics_not_read"] * 2


# order inside a batch

BATCHES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=12)


@given(BATCHES)
def test_a_batch_is_in_order_when_every_point_is_newer_than_those_before_it(batch):
    numbers = np.array([number for number, _ in batch], np.int32)
    stamps = np.array([stamp for _, stamp in batch], np.int64)
    scratch = np.full(6, -1, np.int64)
    expected = all(
        stamp > max((other for n, other in batch[:i] if n == number), default=-1)
        for i, (number, stamp) in enumerate(batch)
    )
    assert in_time_order(numbers, stamps, scratch) == expected
    assert (scratch == -1).all()


@given(st.lists(st.integers(0, 6), max_size=20), st.sets(st.integers(0, 9)))
def test_positions_are_those_of_the_wanted_series_one_after_the_other(numbers, wanted):
    found = positions_of(np.array(numbers, np.int32), sorted(wanted)).tolist()
    assert found == sorted((i for i, n in enumerate(numbers) if n in wanted), key=lambda i: (numbers[i], i))
