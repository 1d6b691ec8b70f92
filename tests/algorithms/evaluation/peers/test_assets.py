"""T² and the squared prediction error as their papers have them."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.evaluation.peers.assets import Components, prediction_error_scores, t2_scores


def test_both_together_are_the_distance_of_a_moment():
    history = plant(0)
    components = Components.of(history)
    z = (plant(1, 50) - history.mean(axis=0)) / history.std(axis=0)
    along = z @ components.axes
    assert np.allclose(components.t2(plant(1, 50)), (along**2 / components.variances).sum(axis=1))
    assert np.allclose(components.prediction_error(plant(1, 50)), (z**2).sum(axis=1) - (along**2).sum(axis=1))


def test_components_keep_what_hangs_together():
    components = Components.of(plant(0))
    assert components.axes.shape == (6, len(components.variances))
    assert 2 <= len(components.variances) <= 4
    assert np.allclose(components.axes.T @ components.axes, np.eye(len(components.variances)))


@pytest.mark.parametrize("scores", [t2_scores, prediction_error_scores])
def test_the_threshold_is_above_what_was_held_back(scores):
    history = plant(0, 1000)
    assert (scores(history, history[700:]) > 1.0).mean() < 0.01
    assert scores(history, history[:1] + 1e4)[0] > 100.0


@pytest.mark.parametrize("scores", [t2_scores, prediction_error_scores])
@pytest.mark.parametrize(
    "history",
    [np.zeros((100, 3)), np.full((100, 3), np.nan), np.full((100, 3), 1e12), plant(0, 5, 3), plant(0, 1, 3)],
)
def test_odd_histories_give_no_error(scores, history):
    after = np.array([[np.nan, 0.0, 1.0], [np.nan] * 3])
    assert scores(history, after).shape == (2,)


def test_a_sensor_that_never_moved_counts_once_it_does():
    history = plant(0)
    history[:, 2] = 5.0
    moved = plant(1, 50)
    moved[:, 2] = 50.0
    assert (prediction_error_scores(history, moved) > 1.0).all()


def test_nothing_held_back_gives_no_opinion():
    assert np.isnan(t2_scores(np.empty((0, 3)), np.zeros((2, 3)))).all()
