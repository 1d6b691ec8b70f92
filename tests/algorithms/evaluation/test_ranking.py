"""Average precision, beside scikit-learn's definition worked out by hand."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.ranking import auc_pr


def test_a_perfect_ranking_is_one() -> None:
    assert auc_pr(np.array([0.1, 0.9, 0.2, 0.8]), np.array([False, True, False, True])) == 1.0


def test_ranks_of_hits_decide() -> None:
    # Hits at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert auc_pr(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False])) == pytest.approx(5 / 6)


def test_equal_scores_are_taken_together() -> None:
    assert auc_pr(np.zeros(10), np.arange(10) < 3) == pytest.approx(0.3)


def test_without_anomalies_there_is_no_figure() -> None:
    assert np.isnan(auc_pr(np.arange(3.0), np.zeros(3, np.bool_)))
