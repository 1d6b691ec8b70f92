"""The NAB score: its anchors, its arithmetic, its probation."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.nab import (
    LOW_FALSE_POSITIVES,
    STANDARD,
    Detections,
    is_file_of_nab,
    nab_score,
    probation,
)

_WINDOWS = np.zeros(1000, np.bool_)
_WINDOWS[400:500] = _WINDOWS[700:750] = True


def _file(*detections: int, windows: np.ndarray = _WINDOWS) -> Detections:
    scores = np.zeros(len(windows))
    scores[list(detections)] = 1.0
    return Detections(scores, windows)


def _sigmoid(x: float) -> float:
    return 2 / (1 + np.exp(5 * x)) - 1


def test_a_perfect_detector_gets_a_hundred_and_a_silent_one_nothing() -> None:
    assert nab_score([_file(400, 700)]) == pytest.approx(100.0)
    assert nab_score([Detections(np.zeros(1000), _WINDOWS)]) <= 0.0 + 1e-9


def test_late_detections_count_less_and_only_the_first_of_a_window_counts() -> None:
    late = _sigmoid(-1 / 100) / _sigmoid(-1.0)
    assert nab_score([_file(499, 700)]) == pytest.approx(100 * (late + 1 + 2) / 4)
    assert nab_score([_file(400, 450, 700)]) == pytest.approx(100.0)


def test_a_false_detection_costs_what_the_profile_says() -> None:
    far = 0.11
    assert nab_score([_file(300, 400, 700)], STANDARD) == pytest.approx(100 * (2 - far + 2) / 4)
    assert nab_score([_file(300, 400, 700)], LOW_FALSE_POSITIVES) == pytest.approx(100 * (2 - 2 * far + 2) / 4)


def test_a_detection_shortly_behind_a_window_costs_less() -> None:
    near = 0.11 * _sigmoid(1 / 99)
    assert nab_score([_file(400, 500, 700)]) == pytest.approx(100 * (2 + near + 2) / 4)
    assert near < 0


def test_the_threshold_is_chosen_over_all_files() -> None:
    loud = Detections(np.where(np.arange(1000) % 2 == 0, 0.5, 0.0), np.zeros(1000, np.bool_))
    assert nab_score([_file(400, 700), loud]) == pytest.approx(100.0)


def test_probation_is_not_scored() -> None:
    assert (probation(1000), probation(5000), probation(22_695)) == (150, 750, 750)
    windows = np.zeros(1000, np.bool_)
    windows[100:120] = True
    assert np.isnan(nab_score([_file(100, windows=windows)]))
    assert nab_score([_file(10, 400, 700)]) == pytest.approx(100.0)
    assert np.isnan(nab_score([]))


def test_its_own_files_are_known_by_set_or_by_name() -> None:
    assert is_file_of_nab("nab", "anything")
    assert is_file_of_nab("copy", "realTweets__Twitter_volume_AMZN")
    assert not is_file_of_nab("copy", "host 1")
