import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.detectors.robust import RobustZScore
from atalaia.algorithms.detectors.spread import robust_scale
from atalaia.core.points import Group


def fit(values):
    group = Group.of([(np.arange(len(values), dtype=np.int64), np.asarray(values, float))])
    return RobustZScore().fit(group)


def test_the_scale_of_a_normal_sample_is_its_standard_deviation():
    state = fit(np.random.default_rng(1).normal(5.0, 3.0, 50_000))
    assert abs(state["level"][0] - 5.0) < 0.05
    assert abs(state["scale"][0] - 3.0) < 0.05


@given(st.floats(-1e12, 1e12), st.integers(0, 400))
def test_four_tenths_of_a_history_may_be_anything(wild, count):
    values = np.random.default_rng(1).normal(size=1000)
    values[:count] = wild
    state = fit(values)
    assert abs(state["level"][0]) < 1.5
    assert 0.3 < state["scale"][0] < 6.0


def test_a_few_outliers_in_a_still_series_do_not_teach_it_a_scale():
    values = np.full(1000, 7.0)
    values[:5] = 1e9
    assert fit(values)["scale"][0] < 1e-4


def test_what_happens_regularly_in_a_still_series_is_not_strange():
    counts = np.zeros(1000)
    counts[::20] = 5.0
    state = fit(counts)
    score = RobustZScore().score(state, np.zeros(2, np.int64), np.zeros(2, np.int64), np.array([5.0, 50.0])).score
    assert score[0] < 1.0 < score[1]


def test_deviations_that_are_all_zero_have_no_scale():
    assert robust_scale(np.zeros(10)) == 0.0
