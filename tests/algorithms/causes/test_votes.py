"""Votes of metrics: the furthest of each metric in each direction has a whole one."""

import numpy as np
import pytest

from atalaia.algorithms.causes.votes import shares, vote


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_each_direction_has_its_own_furthest() -> None:
    found = shares(np.array([8.0, 4.0, -0.5, -0.25]), ints(0, 0, 0, 0), ints(0, 1, 2, 3))
    assert found.tolist() == [1.0, 0.5, 1.0, 0.5]


def test_a_metric_that_one_service_has_is_compared_with_what_others_show() -> None:
    scales = np.array([6.0, 3.0, 2.0, 0.1])
    found = shares(scales, ints(0, 0, 0, 1), ints(0, 1, 2, 3))
    assert found[0] == 1.0
    assert found[3] < 0.05  # not the whole vote that it would have against itself


def test_a_small_move_is_no_whole_vote_however_small_the_others_are() -> None:
    assert shares(np.array([0.02, 0.01, -0.001]), ints(0, 0, 0), ints(0, 1, 2)).tolist() == pytest.approx(
        [0.1, 0.05, 0.005]
    )


def test_what_did_not_move_has_no_vote() -> None:
    assert shares(np.zeros(3), ints(0, 1, 2), ints(0, 1, 2)).tolist() == [0.0, 0.0, 0.0]
    assert shares(np.empty(0), ints(), ints()).tolist() == []


def test_of_a_metric_that_a_service_has_several_times_the_largest_counts() -> None:
    twice = vote(np.array([1.0, 0.9, 0.5]), ints(0, 0, 0), ints(0, 0, 1), 2)
    assert twice.tolist() == pytest.approx([1.0, 0.5])


def test_many_metrics_help_but_not_in_proportion() -> None:
    parts = np.full(5, 0.5)
    few, many = vote(parts, ints(0, 0, 1, 2, 3), ints(0, 1, 1, 1, 1), 2).tolist()
    assert (few, many) == (pytest.approx(0.5), 1.0)


def test_a_service_without_metrics_has_no_votes() -> None:
    assert vote(np.array([1.0]), ints(0), ints(1), 3).tolist() == [0.0, 1.0, 0.0]
    assert vote(np.empty(0), ints(), ints(), 2).tolist() == [0.0, 0.0]
