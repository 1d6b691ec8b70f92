"""Means and covariances from sums, with and without gaps."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.relations.sums import MIN_TOGETHER, Sums


def gaps(values, share, seed=0):
    holed = values.copy()
    holed[np.random.default_rng(seed).random(values.shape) < share] = np.nan
    return holed


def test_the_inverse_is_that_of_the_covariance_with_a_ridge():
    values = plant(0)
    mean, precision = Sums.of(values).solve(0.5)
    wanted = np.linalg.inv(np.cov(values, rowvar=False, ddof=0) + 0.5 * np.eye(6))
    assert np.allclose(mean, values.mean(axis=0))
    assert np.allclose(precision, wanted)


def test_a_row_of_the_inverse_is_the_ridge_regression_of_one_sensor_on_the_others():
    z = plant(0) - plant(0).mean(axis=0)
    precision = Sums.of(z).solve(0.1)[1]
    others = np.delete(z, 2, axis=1)
    weights = np.linalg.solve(others.T @ others / len(z) + 0.1 * np.eye(5), others.T @ z[:, 2] / len(z))
    assert np.allclose((z @ precision)[:, 2] / precision[2, 2], z[:, 2] - others @ weights)


def test_a_part_can_be_taken_away():
    values = gaps(plant(0), 0.1)
    left = Sums.of(values).without(Sums.of(values[100:200]))
    wanted = Sums.of(np.vstack([values[:100], values[200:]]))
    for name in ("counts", "totals", "products"):
        assert np.allclose(getattr(left, name), getattr(wanted, name))


def test_with_gaps_the_inverse_stays_that_of_a_covariance():
    values = gaps(plant(0, 60, 30), 0.5)
    precision = Sums.of(values).solve(0.01)[1]
    assert np.linalg.eigvalsh(precision).min() > 0.0
    assert np.linalg.eigvalsh(precision).max() <= 100.0 + 1e-6


def test_sensors_that_were_hardly_read_together_are_unrelated():
    values = plant(0, 200, 2)
    values[: 100 - MIN_TOGETHER + 1, 0] = np.nan
    values[100:, 1] = np.nan
    precision = Sums.of(values).solve(0.01)[1]
    assert precision[0, 1] == 0.0
    assert precision[0, 0] == pytest.approx(1.0 / (np.nanvar(values[:, 0]) + 0.01))


def test_nothing_is_solved_too():
    mean, precision = Sums.of(np.empty((0, 3))).solve(0.5)
    assert mean.tolist() == [0.0] * 3
    assert precision.tolist() == (2.0 * np.eye(3)).tolist()
    assert Sums.of(np.empty((5, 0))).solve(0.5)[1].shape == (0, 0)
