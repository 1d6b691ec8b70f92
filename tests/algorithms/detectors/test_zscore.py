import numpy as np

from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.core.points import Group

TIMES = np.arange(1000, dtype=np.int64) * 60_000_000


def score(detector, history, values):
    state = detector.fit(Group.of([(TIMES[: len(history)], np.asarray(history, float))]))
    rows = np.zeros(len(values), np.int64)
    return detector.score(state, rows, TIMES[: len(values)], np.asarray(values, float))


def test_the_score_counts_standard_deviations_in_units_of_the_threshold():
    history = np.random.default_rng(1).normal(10.0, 2.0, 1000)
    mean, std = history.mean(), history.std(ddof=1)
    scores = score(ZScore(threshold_sigma=3.0), history, [mean, mean + 3 * std, mean - 6 * std])
    np.testing.assert_allclose(scores.score, [0.0, 1.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(scores.upper, mean + 3 * std)


def test_one_wild_value_in_the_history_hides_others():
    history = np.random.default_rng(1).normal(10.0, 2.0, 1000)
    history[500] = 1e6
    assert score(ZScore(), history, [100.0]).score[0] < 1.0


def test_a_series_whose_last_digits_are_noise_stays_quiet():
    history = 100.0 + np.random.default_rng(1).normal(size=1000) * 1e-13
    assert score(ZScore(), history, [100.0 + 1e-6, 100.001]).score.round(3).tolist()[0] < 1.0
    assert score(ZScore(), history, [100.001]).score[0] > 1.0


def test_absurd_magnitudes_in_a_history_are_gaps():
    history = np.r_[np.random.default_rng(1).normal(size=500), 1e300, -1e300]
    assert 0.5 < score(ZScore(), history, [3.0]).score[0] < 2.0
