"""What follows an alarm explains it; what was off all the time does not."""

import numpy as np
import pytest

from atalaia.algorithms.causes.following import explained

ALARM = np.array([0.0, 0.0, 2.0, 4.0, 2.0, 0.0])


def test_what_rises_with_the_alarm_explains_as_much_as_it_is_large() -> None:
    assert explained(np.stack([ALARM, ALARM / 2, -ALARM]), ALARM) == pytest.approx([1.0, 0.5, 0.0])


def test_nothing_explains_more_than_all() -> None:
    assert explained(np.stack([5 * ALARM]), ALARM) == pytest.approx([1.0])


def test_what_was_off_by_the_same_before_and_after_explains_little() -> None:
    wild = np.where(ALARM > 0, 2.0, 2.0)
    assert explained(np.stack([wild, np.maximum(ALARM - 1, 0)]), ALARM)[0] < 0.35


def test_where_sizes_cannot_be_compared_faithfulness_counts_as_well() -> None:
    restless = np.array([1.0, 3.0, 1.0, 6.0, 0.0, 2.0])
    both = np.stack([ALARM, restless, np.zeros(6)])
    sizes, faithful = explained(both, ALARM), explained(both, ALARM, is_comparable=False)
    assert sizes.tolist() == pytest.approx([1.0, 0.75, 0.0])
    assert faithful[0] == pytest.approx(1.0)
    assert 0.3 < faithful[1] < 0.6
    assert faithful[2] == 0.0


def test_an_incident_that_fills_the_window_is_compared_with_the_time_before() -> None:
    steady = np.full(5, 3.0)
    assert explained(np.stack([steady, steady / 3]), steady) == pytest.approx([1.0, 1 / 3])


def test_moments_that_are_not_known_do_not_count() -> None:
    quiet_gap = np.where(ALARM == 0, np.nan, ALARM / 2)
    assert explained(np.stack([quiet_gap]), ALARM) == pytest.approx([0.5])
    gap = np.where(ALARM > 3, np.nan, ALARM)  # 16 of 24 parts of the alarm are not seen
    rows = np.stack([gap, np.full(6, np.nan), np.full(6, np.inf)])
    assert explained(rows, ALARM) == pytest.approx([1 / 3, 0.0, 0.0])
    deaf = np.where(ALARM > 3, np.nan, ALARM)
    assert explained(np.stack([ALARM / 2]), deaf) == pytest.approx([0.5])


@pytest.mark.parametrize("alarm", [np.zeros(4), np.full(4, np.nan), np.empty(0)])
def test_an_alarm_that_shows_nothing_is_explained_by_nothing(alarm: np.ndarray) -> None:
    assert explained(np.ones((3, len(alarm))), alarm).tolist() == [0.0, 0.0, 0.0]


def test_sizes_near_the_ends_of_numbers_are_borne() -> None:
    assert explained(np.stack([ALARM * 1e90]), ALARM * 1e90) == pytest.approx([1.0])
    assert explained(np.stack([ALARM * 1e-200]), ALARM * 1e-200) == pytest.approx([1.0])
    faint = np.where(ALARM > 3, 5e-324, 0.0)
    assert explained(np.stack([np.where(ALARM > 3, 1e200, 0.0)]), faint) == pytest.approx([1.0])
    assert explained(np.stack([ALARM * 1e90]), faint, is_comparable=False)[0] <= 1.0


def test_no_rows_are_none() -> None:
    assert explained(np.empty((0, 6)), ALARM).tolist() == []
