"""What only isolation forests promise."""

from typing import Any

import numpy as np
import pytest
from sklearn import ensemble

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.assets.protocol import MAX_SENSORS
from atalaia.algorithms.forests import FEATURES, IsolationForest
from atalaia.core.errors import Invalid


def machine(seed, moments=500):
    draws = np.random.default_rng(seed)
    load = draws.uniform(0.2, 0.8, size=moments)
    noise = draws.normal(size=(moments, 4)) * [2.0, 1.0, 1e5, 1e4]
    return np.column_stack([100 * load, 30 + 20 * load, 1e7 * load, 1e6 * load]) + noise


def test_the_defaults_are_those_of_the_requirement():
    detector = IsolationForest()
    assert (detector.contamination, detector.random_state, detector.trees) == (0.1, 42, 100)
    assert FEATURES == ("cpu_usage", "memory_usage", "network_io", "disk_io")


def test_scores_are_those_of_scikit_learn_over_its_own_threshold():
    history, after = machine(0), machine(1)
    after[::7, 1] += 40.0
    parameters: dict[str, Any] = {"n_estimators": 100, "contamination": 0.1, "random_state": 42}  # A1's
    reference = ensemble.IsolationForest(**parameters).fit(history)
    detector = IsolationForest()
    score = detector.score(detector.fit(history), after).score
    assert np.allclose(score, reference.score_samples(after) / reference.offset_, rtol=1e-9, atol=0.0)
    assert ((score > 1.0) == (reference.predict(after) == -1)).all()


def test_a_tenth_of_the_history_is_strange():
    detector = IsolationForest()
    score = detector.score(detector.fit(machine(0)), machine(0)).score
    assert (score > 1.0).mean() == pytest.approx(0.1, abs=0.01)


def test_the_sensor_that_is_out_of_place_is_named():
    detector = IsolationForest()
    state, after = detector.fit(machine(0)), machine(1, 5)
    after[-1, 1] = 90.0
    found = detector.advance(state, after)
    assert found.sensor[-1] == 1
    deviation = detector.explain(state)[0]
    assert (deviation.sensor, deviation.seen) == (1, 90.0)
    assert deviation.lower < deviation.expected < deviation.upper < 90.0


def test_calm_moments_name_nobody():
    detector = IsolationForest(contamination=1e-6)
    state = detector.fit(machine(0))
    found = detector.advance(state, machine(0, 50))
    assert (found.sensor == -1).all()
    assert (found.parts == 0.0).all()
    assert detector.explain(state) == ()


def test_sensors_that_were_not_learnt_are_not_looked_at():
    history = machine(0)
    history[9:, 0] = np.nan
    detector = IsolationForest()
    state = detector.fit(history)
    assert set(np.unique(state["feature"])) == {-1, 1, 2, 3}
    usual, odd = machine(1), machine(1)
    odd[:, 0] = 1e9
    assert np.array_equal(detector.score(state, usual).score, detector.score(state, odd).score)


def test_an_asset_too_large_is_refused():
    with pytest.raises(Invalid, match="at most 512 sensors"):
        IsolationForest().fit(np.zeros((50, MAX_SENSORS + 1)))


@pytest.mark.parametrize(
    ("name", "value"), [("left", 0), ("right", 0), ("feature", -1), ("threshold", np.nan), ("usual", np.nan)]
)
def test_trees_that_cannot_be_walked_are_refused(name, value):
    detector = IsolationForest(trees=10)
    state = detector.fit(plant(0))
    detector.check(state)
    state[name][:] = value
    with pytest.raises(ValueError, match="tree"):
        detector.check(state)
