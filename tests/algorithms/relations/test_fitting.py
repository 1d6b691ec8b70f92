"""How far relations may be off, and what that is learnt from."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.relations.fitting import (
    limits_and_freedom,
    mean_and_scale,
    residuals_out_of_block,
    spread_and_freedom,
    usable,
)
from atalaia.algorithms.relations.sums import Sums


def wandering(points, keep, seed=0):
    draws = np.random.default_rng(seed).normal(size=points)
    found = np.zeros(points)
    for t in range(1, points):
        found[t] = keep * found[t - 1] + draws[t] * np.sqrt(1.0 - keep**2)
    return found


def test_what_cannot_be_a_reading_is_a_gap():
    values = np.array([[1.0, np.nan, np.inf, -np.inf, 1e200, -1e100]])
    assert np.array_equal(usable(values), [[1.0, np.nan, np.nan, np.nan, np.nan, -1e100]], equal_nan=True)


def test_a_scale_is_never_zero_and_nothing_overflows():
    values = np.column_stack([np.full(50, 5e3), np.linspace(-1e140, 1e140, 50), np.zeros(50), np.arange(50.0)])
    mean, scale = mean_and_scale(values, np.array([True, True, True, False]))
    assert mean[0] == 5e3
    assert scale[0] == pytest.approx(5e-3)
    assert 1e139 < scale[1] < 1e141
    assert scale[2] == 1e-12
    assert np.isnan([mean[3], scale[3]]).all()


def test_a_block_is_told_by_the_others_only():
    z = plant(0, 200) - plant(0, 200).mean(axis=0)
    found = residuals_out_of_block(z, Sums.of(z), 0.01, 5)
    mean, precision = Sums.of(np.vstack([z[:80], z[120:]])).solve(0.01)
    assert np.allclose(found[80:120], (z[80:120] - mean) @ precision / np.diag(precision))


def test_more_blocks_than_moments_are_one_for_each():
    z = plant(0, 12) - plant(0, 12).mean(axis=0)
    assert np.isfinite(residuals_out_of_block(z, Sums.of(z), 0.01, 50)).all()


def test_more_sensors_than_moments_are_told_badly_out_of_their_block():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 100))
    whole = Sums.of(z)
    precision = whole.solve(0.01)[1]
    inside = z @ precision / np.diag(precision)
    outside = residuals_out_of_block(z, whole, 0.01, 10)
    assert inside.std() < 0.2
    assert outside.std() > 0.5


@pytest.mark.parametrize(("keep", "least", "most"), [(0.0, 1400, 2000), (0.8, 120, 350), (0.99, 2, 30)])
def test_neighbours_that_resemble_each_other_count_for_less(keep, least, most):
    spread, freedom = spread_and_freedom(wandering(2000, keep))
    assert least < freedom <= most
    assert 0.5 < spread < 1.5


def test_gaps_are_not_counted():
    values = wandering(2000, 0.0)
    values[np.random.default_rng(1).random(2000) < 0.5] = np.nan
    spread, freedom = spread_and_freedom(values)
    assert 600 < freedom < 1100
    assert spread == pytest.approx(np.nanstd(values), rel=0.01)


def test_nothing_known_is_the_least_that_can_be_known():
    assert spread_and_freedom(np.full(30, np.nan)) == (0.0, 2.0)
    assert spread_and_freedom(np.zeros(30)) == (0.0, 2.0)
    assert spread_and_freedom(np.empty(0)) == (0.0, 2.0)


def test_a_relation_that_wanders_gets_a_wider_band_than_one_that_only_shivers():
    residuals = np.column_stack([wandering(400, 0.0), wandering(400, 0.97)])
    (still, wild), freedom = limits_and_freedom(residuals, 1, 1e-3)
    assert freedom[0] > 10 * freedom[1]
    assert 3.0 < still < 4.0
    assert wild > 1.3 * still


def test_a_rarer_alarm_has_a_wider_band():
    residuals = wandering(400, 0.5)[:, np.newaxis]
    found = [float(limits_and_freedom(residuals, 5, tail)[0][0]) for tail in (1e-2, 1e-3, 1e-5)]
    assert found == sorted(found)
