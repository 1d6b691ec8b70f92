"""Trees without some of their sensors walk as they do where these are missing, and keep nothing of them."""

import numpy as np

from atalaia.algorithms.asset_laws import plant, probe
from atalaia.algorithms.forests import IsolationForest
from atalaia.algorithms.forests.leaving import left_alone

FOREST = IsolationForest(trees=10)
KEPT = np.array([0, 1, 3, 4, 5])


def test_scores_are_those_of_a_missing_sensor_to_the_last_bit():
    state, moments = FOREST.fit(plant(0)), probe()
    rest = FOREST.score(left_alone(state, KEPT), moments[:, KEPT])
    moments[:, 2] = np.nan
    missing = FOREST.score(state, moments)
    assert rest.score.tobytes() == missing.score.tobytes()
    assert rest.parts.tobytes() == missing.parts[:, KEPT].tobytes()


def test_no_cut_of_the_sensor_that_left_is_kept():
    history = plant(0)
    history[:, 2] += 1_000.0
    rest = left_alone(FOREST.fit(history), KEPT)
    FOREST.check(rest)
    assert rest["threshold"].max() < 500.0


def test_without_any_sensor_that_was_learnt_there_is_no_opinion():
    history = plant(0)
    history[:, 1] = np.nan
    rest = left_alone(FOREST.fit(history), np.array([1]))
    FOREST.check(rest)
    assert np.isnan(FOREST.score(rest, plant(1, 20)[:, [1]]).score).all()
    assert rest["threshold"].max() == 0.0
