import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.buckets import aggregate

FINITE = st.floats(-1e6, 1e6)
POINTS = st.dictionaries(st.integers(-50, 250), FINITE | st.just(float("nan")), max_size=80)


def naive(points, start, end, buckets):
    width = -(-(end - start) // buckets)
    rows = []
    low = start
    while low < end:
        high = min(low + width, end)
        inside = [v for t, v in sorted(points.items()) if low <= t < high and not np.isnan(v)]
        if inside:
            rows.append((low, high, len(inside), min(inside), sum(inside) / len(inside), max(inside)))
        low += width
    return rows


@given(POINTS, st.integers(-60, 200), st.integers(1, 300), st.integers(1, 60))
def test_buckets_hold_what_a_naive_loop_finds(points, start, length, buckets):
    timestamps = np.array(sorted(points), np.int64)
    values = np.array([points[int(t)] for t in timestamps], np.float64)
    result = aggregate(timestamps, values, start, start + length, buckets)
    expected = naive(points, start, start + length, buckets)
    assert len(result) == len(expected) <= buckets
    columns = (result.start, result.end, result.count, result.min, result.max)
    assert [tuple(row) for row in zip(*(c.tolist() for c in columns), strict=True)] == [
        (low, high, count, least, most) for low, high, count, least, _, most in expected
    ]
    np.testing.assert_allclose(result.mean, [row[4] for row in expected], rtol=1e-9, atol=1e-9)
    assert (result.min <= result.mean).all()
    assert (result.mean <= result.max).all()


def test_intervals_are_half_open():
    result = aggregate(np.array([0, 10, 20]), np.array([1.0, 2.0, 3.0]), 0, 20, 2)
    assert result.start.tolist() == [0, 10]
    assert result.end.tolist() == [10, 20]
    assert result.max.tolist() == [1.0, 2.0]


def test_an_empty_or_reversed_interval_holds_nothing():
    for end in (5, 0):
        assert len(aggregate(np.array([1, 5]), np.array([1.0, 2.0]), 5, end, 10)) == 0


def test_the_largest_numbers_do_not_overflow():
    largest = float(np.finfo(np.float64).max)
    assert aggregate(np.arange(3), np.full(3, largest), 0, 3, 1).mean.tolist() == [largest]


def test_no_buckets_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        aggregate(np.arange(3), np.ones(3), 0, 3, 0)
