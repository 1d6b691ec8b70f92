"""Relations without some of their sensors are those that the others have among themselves."""

import numpy as np

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.relations import Relations
from atalaia.algorithms.relations.leaving import left_alone
from atalaia.algorithms.relations.sums import Sums

KEPT = np.array([0, 2, 5])


def test_what_is_left_is_the_inverse_of_the_others_own_covariance():
    history = plant(0)
    state = left_alone(Relations().fit(history), KEPT)
    z = (history[:, KEPT] - state["mean"]) / state["scale"]
    np.testing.assert_allclose(state["precision"], Sums.of(z).solve(0.01)[1], rtol=1e-6)


def test_bands_widen_by_what_is_lost():
    whole = Relations().fit(plant(0))
    rest = left_alone(whole, KEPT)
    assert (rest["limit"] > whole["limit"][KEPT]).all()
    lost = np.sqrt(np.diag(whole["precision"])[KEPT] / np.diag(rest["precision"]))
    np.testing.assert_allclose(rest["limit"] / whole["limit"][KEPT], lost)


def test_with_all_kept_nothing_changes():
    state = Relations().fit(plant(0))
    same = left_alone(state, np.arange(6))
    assert all(array.tobytes() == state[name].tobytes() for name, array in same.items())


def test_a_copy_that_leaves_takes_no_number_away():
    history = np.hstack([plant(0), plant(0)[:, :1]])
    state = left_alone(Relations().fit(history), np.arange(6))
    Relations().check(state)
    assert np.isfinite(Relations().score(state, plant(1, 20)).score).all()
