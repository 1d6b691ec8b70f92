"""Points are columns; the row that arrived last wins; a group is many histories, one after another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.points import Group, Points

VALUES = st.floats(allow_nan=False)
TIMES = st.integers(-5, 5) | st.sampled_from([-(2**63), 2**63 - 1, 2**40, -(2**61), 2**61])
SERIES = st.integers(0, 4) | st.just(2**31 - 1)
ROWS = st.lists(st.tuples(SERIES, TIMES, VALUES), max_size=60)
HISTORIES = st.lists(st.lists(st.tuples(st.integers(-(2**60), 2**60), VALUES), max_size=8), max_size=6)


def points(*rows: tuple[int, int, float]) -> Points:
    series, timestamps, values = ([row[i] for row in rows] for i in range(3))
    return Points(np.array(series, np.int32), np.array(timestamps, np.int64), np.array(values, np.float64))


def rows_of(batch: Points) -> list[tuple[int, int, float]]:
    return list(zip(batch.series.tolist(), batch.timestamps.tolist(), batch.values.tolist(), strict=True))


def test_the_row_that_arrived_last_wins() -> None:
    assert rows_of(points((1, 20, 1.0), (1, 10, 2.0), (1, 20, 3.0)).latest()) == [(1, 10, 2.0), (1, 20, 3.0)]


@given(ROWS)
def test_latest_is_what_a_dictionary_keeps(rows: list[tuple[int, int, float]]) -> None:
    kept = {(series, timestamp): value for series, timestamp, value in rows}
    assert rows_of(points(*rows).latest()) == [(*key, kept[key]) for key in sorted(kept)]


@given(ROWS)
def test_latest_of_latest_changes_nothing(rows: list[tuple[int, int, float]]) -> None:
    once = points(*rows).latest()
    assert rows_of(once.latest()) == rows_of(once)


def test_latest_keeps_the_types() -> None:
    batch = points((1, 2, 3.0)).latest()
    assert (batch.series.dtype, batch.timestamps.dtype, batch.values.dtype) == (np.int32, np.int64, np.float64)


def test_no_points_are_no_points() -> None:
    assert len(Points.empty()) == len(Points.empty().latest()) == len(Points.concat([])) == 0


@given(st.lists(ROWS, max_size=4))
def test_batches_follow_each_other(batches: list[list[tuple[int, int, float]]]) -> None:
    assert rows_of(Points.concat([points(*rows) for rows in batches])) == [row for rows in batches for row in rows]


def test_rows_are_taken_by_position_or_by_mask() -> None:
    batch = points((1, 10, 1.0), (2, 20, 2.0), (3, 30, 3.0))
    assert rows_of(batch.take(np.array([2, 0]))) == [(3, 30, 3.0), (1, 10, 1.0)]
    assert rows_of(batch.take(batch.values > 1.5)) == [(2, 20, 2.0), (3, 30, 3.0)]


@given(HISTORIES)
def test_a_group_gives_every_history_back(histories: list[list[tuple[int, float]]]) -> None:
    parts = [
        (np.array([t for t, _ in rows], np.int64), np.array([v for _, v in rows], np.float64)) for rows in histories
    ]
    group = Group.of(parts)
    assert len(group) == len(parts)
    assert group.counts.tolist() == [len(rows) for rows in histories]
    assert group.rows.tolist() == [i for i, rows in enumerate(histories) for _ in rows]
    for position, (timestamps, values) in enumerate(parts):
        found = group.series(position)
        assert found[0].tolist() == timestamps.tolist()
        assert found[1].tolist() == values.tolist()


def test_a_group_of_nothing_holds_nothing() -> None:
    group = Group.of([])
    assert len(group) == 0
    assert (group.counts.size, group.rows.size) == (0, 0)
