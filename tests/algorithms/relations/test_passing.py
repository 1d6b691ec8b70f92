"""The compiled loops against plain ones."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant, probe
from atalaia.algorithms.relations import Relations
from atalaia.algorithms.relations.passing import leave_out, means_over, residuals_over, widening
from atalaia.algorithms.relations.sums import Sums


@pytest.fixture(scope="module")
def precision():
    return Sums.of(plant(0) - plant(0).mean(axis=0)).solve(0.01)[1]


def plain_residuals(precision, z):
    """Solve anew for the sensors that are there, at each moment."""
    found = np.full(z.shape, np.nan)
    covariance = np.linalg.inv(precision)
    for t, moment in enumerate(z):
        there = np.flatnonzero(~np.isnan(moment))
        own = np.linalg.inv(covariance[np.ix_(there, there)])
        left = own @ moment[there] / np.diag(own)
        found[t, there] = left / np.sqrt(np.diag(precision)[there] / np.diag(own))
    return found


def test_residuals_with_sensors_missing_are_those_of_the_others_alone(precision):
    z = plant(3, 50) - plant(0).mean(axis=0)
    z[np.random.default_rng(0).random(z.shape) < 0.3] = np.nan
    z[10:20] = z[10]
    found = np.empty_like(z)
    residuals_over(precision, z, found)
    assert np.allclose(found, plain_residuals(precision, z), equal_nan=True)


def test_leaving_out_takes_the_complement_of_schur(precision):
    missing = np.array([False, True, False, True, True, False])
    half = np.empty((6, 6))
    count = leave_out(precision, missing, half)
    left = precision - half[:count].T @ half[:count]
    kept = np.flatnonzero(~missing)
    wanted = np.linalg.inv(np.linalg.inv(precision)[np.ix_(kept, kept)])
    assert count == 3
    assert np.allclose(left[np.ix_(kept, kept)], wanted)


def test_means_take_what_is_known_of_the_last_residuals():
    residuals = np.array([[1.0, np.nan], [2.0, 4.0], [np.nan, 8.0], [6.0, 0.0]])
    means = np.empty_like(residuals)
    means_over(residuals, 2, means)
    half = np.sqrt(0.5)
    assert np.allclose(means, [[half, np.nan], [1.5, 4.0 * half], [np.nan, 6.0], [6.0 * half, 4.0]], equal_nan=True)


def plain_scores(detector, state, values):
    """Score moment after moment as the docstring says, in plain NumPy and without regard to speed."""
    z = np.clip((values - state["mean"]) / state["scale"], -1e9, 1e9)
    residuals = plain_residuals(state["precision"], z)
    own, points = np.diag(state["precision"]), detector.mean_points
    level, powers, scores = np.zeros(z.shape[1]), [], []
    rows = []
    for t in range(len(z)):
        there = ~np.isnan(z[t])
        if not there.any():
            scores.append(np.nan)
            continue
        rows.append(t)
        counts = np.maximum((~np.isnan(z[rows[-points:]])).sum(axis=0), 1)
        left, shown = (np.nansum(array[rows[-points:]], axis=0) / counts for array in (residuals, z))
        distance = (left * shown * own)[there].sum() - left**2 * own
        beyond = np.maximum(distance / max(there.sum() - 1, 1) - 1.0, 0.0)
        wider = np.minimum(np.sqrt(1.0 + detector.distrust * beyond), 3.0) * np.sqrt(points / counts)
        parts = np.minimum(np.abs(left - level) / (state["limit"] * wider), 1e6)
        gain = 1.0 / (detector.memory * state["points"])
        level = np.where(there & (parts <= 1.0), level + gain * (left - level), level)
        powers.append(parts[there].max() ** 4)
        scores.append((sum(powers[-detector.hold_points :]) / detector.hold_points) ** 0.25)
    return np.array(scores)


@pytest.mark.parametrize(
    "given", [{}, {"mean_points": 1, "hold_points": 1, "memory": 0.05}, {"hold_points": 7, "distrust": 3.0}]
)
def test_scores_are_those_of_a_plain_loop(given):
    detector = Relations(**given)
    state, values = detector.fit(plant(0)), probe()
    values[70] = plant(1)[70]
    found = detector.score(state, values).score
    assert np.allclose(found, plain_scores(detector, state, values), equal_nan=True, rtol=1e-6)


def test_a_band_widens_where_the_others_never_were_and_not_without_end():
    assert widening(5.0, 5, 0.2) == 1.0
    assert widening(0.0, 0, 0.2) == 1.0
    assert widening(55.0, 5, 0.3) == pytest.approx(2.0)
    assert widening(1e30, 5, 0.3) == 3.0
