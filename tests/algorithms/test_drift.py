from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from atalaia.algorithms.drift import _survival, ks_2samp

SAMPLES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=80)


def scipy_ks(first: Any, second: Any) -> tuple[float, float]:
    # Its asymptotic mode divides by zero for samples of one value, and answers all the same.
    with np.errstate(divide="ignore"):
        result: Any = stats.ks_2samp(first, second, method="asymp")
    return float(result.statistic), float(result.pvalue)


@given(SAMPLES, SAMPLES)
def test_the_statistic_is_that_of_scipy_with_ties(first, second):
    statistic, _ = ks_2samp(np.array(first), np.array(second))
    assert statistic == pytest.approx(scipy_ks(first, second)[0], abs=1e-12)


@pytest.mark.parametrize("sizes", [(60, 60), (200, 150), (1000, 100), (5000, 5000)])
@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2, 0.5])
def test_the_p_value_is_that_of_scipy_almost_exactly(sizes, shift):
    rng = np.random.default_rng(sizes[0])
    first, second = rng.normal(size=sizes[0]), rng.normal(shift, 1.0, sizes[1])
    _, p_value = ks_2samp(first, second)
    assert p_value == pytest.approx(scipy_ks(first, second)[1], abs=0.002)


@given(st.floats(0.01, 7.5))
def test_the_asymptotic_distribution_is_that_of_kolmogorov(distance):
    assert _survival(distance) == pytest.approx(stats.kstwobign.sf(distance), abs=1e-12)


def test_the_same_values_do_not_drift():
    sample = np.random.default_rng(1).normal(size=500)
    assert ks_2samp(sample, sample[::-1]) == (0.0, 1.0)


def test_another_level_drifts():
    rng = np.random.default_rng(1)
    statistic, p_value = ks_2samp(rng.normal(size=500), rng.normal(3.0, 1.0, 500))
    assert statistic > 0.8
    assert p_value < 1e-50


def test_missing_values_are_left_out():
    assert ks_2samp(np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0, np.nan])) == (0.0, 1.0)


@pytest.mark.parametrize("nothing", [[], [np.nan]])
def test_nothing_is_no_sign_of_a_difference(nothing):
    assert ks_2samp(np.array(nothing), np.arange(5.0)) == (0.0, 1.0)


@given(SAMPLES, SAMPLES)
def test_the_order_of_the_two_samples_does_not_matter(first, second):
    assert ks_2samp(np.array(first), np.array(second)) == ks_2samp(np.array(second), np.array(first))
