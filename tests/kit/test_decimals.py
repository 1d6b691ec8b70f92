"""Values of few decimals become whole numbers and back, exactly; all others stay as they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.kit.decimals import MAX_DECIMALS, RAW, scale, unscale

DECIMAL = st.builds(
    lambda whole, decimals: whole / 10.0**decimals, st.integers(-(10**7), 10**7), st.integers(0, MAX_DECIMALS)
)


def scaled_and_back(series, values):
    series, values = np.array(series, np.int32), np.array(values, np.float64)
    scaled = scale(series, values)
    return scaled, unscale(scaled, values if RAW in scaled.decimals else None)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats() | DECIMAL), max_size=60))
def test_every_value_comes_back(rows):
    rows = sorted(rows, key=lambda row: row[0])
    _, back = scaled_and_back([series for series, _ in rows], [value for _, value in rows])
    assert_array_equal(back, [value for _, value in rows])


@pytest.mark.parametrize("decimals", range(MAX_DECIMALS + 1))
def test_the_fewest_decimals_that_hold_a_series_are_found(decimals):
    values = np.round(np.random.default_rng(7).normal(50.0, 2.0, 500), decimals)
    scaled, back = scaled_and_back(np.zeros(500), values)
    assert set(scaled.decimals.tolist()) == {decimals}
    assert_array_equal(back, values)


def test_each_series_has_decimals_of_its_own():
    values = [1.0, 2.0, 1.25, 3.5, 1 / 3, 2.0, 0.1]
    scaled, back = scaled_and_back([1, 1, 2, 2, 5, 5, 9], values)
    assert scaled.decimals.tolist() == [0, 0, 2, 2, RAW, RAW, 1]
    assert scaled.whole.tolist() == [1, 2, 125, 350, 0, 0, 1]
    assert back.tolist() == values


def test_one_value_between_the_probes_that_does_not_fit_is_found():
    values = np.arange(1_000) / 4
    values[333] = 1 / 3
    scaled, back = scaled_and_back(np.zeros(1_000), values)
    assert set(scaled.decimals.tolist()) == {RAW}
    values[333] = 0.1234
    scaled, back = scaled_and_back(np.zeros(1_000), values)
    assert set(scaled.decimals.tolist()) == {4}
    assert_array_equal(back, values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 5e-324, 2.0**53 + 2, 1e100])
def test_what_is_no_whole_number_of_decimals_stays(value):
    scaled, back = scaled_and_back([1, 2], [value, 1.5])
    assert scaled.decimals.tolist() == [RAW, 1]
    assert_array_equal(back, [value, 1.5])


def test_no_values_are_no_values():
    scaled, back = scaled_and_back([], [])
    assert len(scaled.whole) == len(scaled.decimals) == len(back) == 0
