import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.ordering import by_series


@given(st.lists(st.integers(0, 9), max_size=60), st.sampled_from([10, 5000]))
def test_points_are_sorted_by_row_and_those_of_one_row_stay_in_order(rows, series):
    rows = np.array(rows, np.int64)
    order = by_series(rows, series)
    wanted = np.argsort(rows, kind="stable")
    np.testing.assert_array_equal(np.arange(len(rows)) if order is None else order, wanted)


def test_points_in_order_are_left_as_they_are():
    assert by_series(np.array([0, 0, 3, 7]), 8) is None
    assert by_series(np.empty(0, np.int64), 0) is None


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_no_series_is_refused(row):
    with pytest.raises(IndexError, match="not the position"):
        by_series(np.array([0, row]), 3)
