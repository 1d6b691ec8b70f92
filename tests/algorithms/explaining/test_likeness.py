import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.explaining.likeness import SLACK, likeness, scaled


def quiet(n=200, seed=0):
    return np.random.default_rng(seed).normal(0.0, 1.0, n)


def with_bump(place, size, seed=0, length=10):
    values = quiet(seed=seed)
    values[place - length : place + length] += size
    return scaled(values)


def alike(*at):
    found = likeness(*at)
    assert found is not None
    return found


def test_the_same_shape_is_the_most_alike():
    one = with_bump(100, 40.0)
    same = alike(one, 100, with_bump(60, 38.0, seed=1), 60)
    other_way = alike(one, 100, with_bump(60, -40.0, seed=1), 60)
    short = alike(one, 100, with_bump(60, 40.0, seed=1, length=2), 60)
    assert same > 0.9 > short > other_way
    assert other_way < 0.5


def test_peaks_that_lie_elsewhere_in_their_bumps_are_found():
    one, other = with_bump(100, 40.0), with_bump(60, 40.0, seed=1)
    assert alike(one, 100, other, 60 + SLACK - 1) == pytest.approx(alike(one, 100, other, 60), abs=0.01)


def test_the_scale_is_that_of_the_series():
    small, large = quiet(), quiet(seed=1)
    small[90:110] += 40.0
    large[90:110] += 40.0
    assert alike(scaled(small), 100, scaled(1e6 * large + 5.0), 100) > 0.9


@pytest.mark.parametrize("values", [[], [3.0] * 50, [np.nan] * 50, [1e300, -1e300] * 25, [np.inf, 0.0] * 25])
def test_any_series_can_be_scaled(values):
    said = scaled(np.array(values))
    assert len(said) == len(values)
    assert np.isfinite(said).all()


def test_too_few_points_are_not_compared():
    x = scaled(quiet(7))
    assert likeness(x, 3, x, 3) is None
    assert likeness(scaled(quiet(1)), 0, scaled(quiet()), 100) is None


PLACES = st.integers(0, 59)
VALUES = st.lists(st.floats(-1e9, 1e9), min_size=60, max_size=60)


@given(VALUES, PLACES, VALUES, PLACES)
def test_likeness_lies_between_0_and_1_and_is_1_for_itself(one, place, other, there):
    x, y = scaled(np.array(one)), scaled(np.array(other))
    said = likeness(x, place, y, there)
    assert said is None or 0.0 <= said <= 1.0 + 1e-9
    itself = likeness(x, place, x, place)
    assert itself is None or itself == pytest.approx(1.0)
