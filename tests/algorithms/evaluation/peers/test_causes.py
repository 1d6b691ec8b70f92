"""The rankings of others, against values worked out by hand and by another implementation."""

import numpy as np
import pytest
from scipy import stats

from atalaia.algorithms.evaluation.peers.causes import n_sigma, robust_scorer
from tests.algorithms.causes.evidence import before

NAN = np.nan
PAST = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def test_baro_takes_the_largest_distance_in_quartiles() -> None:
    found = robust_scorer(before(PAST), np.array([[3.0, 9.0, -5.0]]))
    assert found.tolist() == [4.0]  # 8 away from 3, and the quartiles are 2 apart
    assert float(stats.iqr(PAST)) == 2.0


def test_n_sigma_takes_the_largest_distance_in_deviations() -> None:
    found = n_sigma(before(PAST), np.array([[3.0, 9.0]]))
    assert found.tolist() == pytest.approx([6.0 / float(np.std(PAST))])


@pytest.mark.parametrize("score", [robust_scorer, n_sigma])
def test_what_was_constant_is_divided_by_one(score: object) -> None:
    assert score(before(np.full(9, 2.0)), np.array([[2.0, 5.0]])).tolist() == [3.0]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("score", [robust_scorer, n_sigma])
def test_what_is_not_known_scores_nothing(score: object) -> None:
    history = before(np.empty(0), np.array([NAN, NAN]), PAST, np.array([NAN, *PAST, np.inf]))
    window = np.array([[1.0, 9.0], [1.0, 9.0], [NAN, NAN], [NAN, 9.0]])
    found = score(history, window).tolist()  # pyright: ignore[reportCallIssue]
    assert found[:3] == [0.0, 0.0, 0.0]
    assert found[3] > 2.9
