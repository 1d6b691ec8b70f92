import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.scores import Scores
from atalaia.serving.thresholds import alarm_under, moved, moved_one

VALUES = st.floats(-50.0, 50.0)


def plain(values, allowed=2.0):
    """Scores in proportion to the distance from 0."""
    n = len(values)
    band = np.full(n, allowed)
    return Scores(np.abs(values) / allowed, np.zeros(n), -band, band, np.zeros(n, np.int16))


def told_before(values, past=0.4):
    """Scores to which the points before add `past`, so that they do not begin at zero."""
    n = len(values)
    band = np.full(n, (1.0 - past) * 2.0)
    return Scores(past + np.abs(values) / 2.0, np.zeros(n), -band, band, np.zeros(n, np.int16))


@given(st.lists(VALUES, min_size=1, max_size=20), st.floats(0.6, 3.9), st.sampled_from([plain, told_before]))
def test_over_the_threshold_is_outside_of_the_band_wherever_both_were_moved(values, threshold, make):
    values = np.array(values)
    scores = make(values)
    told = moved(scores, values, np.full(len(values), threshold))
    np.testing.assert_allclose(told.score * threshold, scores.score)
    apart = np.abs(told.score - 1.0) > 1e-6  # on the line itself rounding decides
    outside = (values > told.upper) | (values < told.lower)
    np.testing.assert_array_equal(outside[apart], told.score[apart] > 1.0)
    np.testing.assert_array_equal(told.expected, scores.expected)


def test_a_threshold_of_one_changes_nothing_to_the_last_bit():
    values = np.array([0.3, -7.0, np.nan])
    scores = plain(values)
    assert moved(scores, values, np.ones(3)) is scores
    mixed = moved(scores, values, np.array([1.0, 2.0, 1.0]))
    assert (mixed.score[0], mixed.lower[0], mixed.upper[0]) == (scores.score[0], -2.0, 2.0)
    assert (mixed.score[1], mixed.lower[1]) == (1.75, pytest.approx(-4.0))
    assert np.isnan(mixed.score[2])


def test_one_value_is_moved_as_many_are():
    assert moved_one((2.0, 0.0, -1.0, 1.0, 3), 2.0, 1.0) == (2.0, 0.0, -1.0, 1.0, 3)
    assert moved_one((2.0, 0.0, -1.0, 1.0, 3), 2.0, 4.0) == pytest.approx((0.5, 0.0, -4.0, 4.0, 3))
    assert np.isnan(moved_one((np.nan, np.nan, np.nan, np.nan, 0), 2.0, 4.0)[0])


@pytest.mark.parametrize(
    ("threshold", "alarm", "expected"),
    [
        (1.0, [1, 1, 0, 0], [1, 1, 0, 0]),  # as the model says
        (2.0, [1, 1, 0, 0], [1, 0, 0, 0]),  # each point must be over it
        (0.7, [1, 1, 0, 0], [1, 1, 1, 0]),  # points that the model let pass are added
    ],
)
def test_alarms_of_a_model_are_held_to_the_threshold(threshold, alarm, expected):
    is_over = np.array([1, 0, 1, 0], bool)
    told = alarm_under(np.array(alarm, bool), is_over, np.full(4, threshold))
    assert told.astype(int).tolist() == expected
