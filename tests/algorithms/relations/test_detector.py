"""What only relations promise, on assets as plants have them."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.assets.protocol import MAX_SENSORS
from atalaia.algorithms.relations import Relations
from atalaia.core.errors import Invalid

DETECTOR = Relations()


def machine(seed, moments, keep=0.9):
    """Return sensors that hang on two hidden quantities which come back to their means."""
    draws, weights = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(2, 6))
    hidden = np.zeros((moments, 2))
    for t in range(1, moments):
        hidden[t] = keep * hidden[t - 1] + draws.normal(size=2) * np.sqrt(1.0 - keep**2)
    return hidden @ weights + draws.normal(size=(moments, 6)) * 0.3


def test_a_sensor_that_leaves_the_others_is_strange_within_its_usual_range():
    history, after = plant(0), plant(1, 100)
    swing = history[:, 3].std()
    after[50:, 3] += swing
    assert after[50:, 3].max() < history[:, 3].max() + swing
    found = DETECTOR.score(DETECTOR.fit(history), after)
    assert not (found.score[:50] > 1.0).any()
    assert (found.score[55:] > 1.0).all()
    assert (found.sensor[55:] == 3).mean() > 0.9


def test_all_sensors_moving_together_as_they_always_did_is_usual():
    values = machine(3, 700)
    weights = np.random.default_rng(99).normal(size=(2, 6))
    values[600:] += np.array([1.0, -1.0]) @ weights
    assert not (DETECTOR.score(DETECTOR.fit(values[:600]), values[600:]).score > 1.0).any()


@pytest.mark.parametrize("seed", range(4))
def test_usual_moments_seldom_alarm(seed):
    values = machine(seed, 6000)
    score = DETECTOR.score(DETECTOR.fit(values[:1000]), values[1000:]).score
    assert (score > 1.0).mean() < 0.01


def test_a_slow_drift_is_followed_and_a_jump_is_not():
    values = machine(0, 4500)
    history, after = values[:500], values[500:]
    state = DETECTOR.fit(history)
    drifting = after.copy()
    drifting[:, 2] += np.linspace(0.0, 1.5, 4000)
    fixed = Relations(memory=1e6)
    assert (DETECTOR.score(state, drifting).score > 1.0).mean() < 0.01
    assert (fixed.score(fixed.fit(history), drifting).score > 1.0).mean() > 0.5
    after[1000:, 2] += 3.0
    assert (DETECTOR.score(state, after).score[1010:] > 1.0).all()


def test_a_machine_in_a_new_state_does_not_alarm_as_a_whole():
    values = machine(0, 1500)
    weights = np.random.default_rng(99).normal(size=(2, 6))
    values[500:] += np.linspace(0.0, 40.0, 1000)[:, np.newaxis] * (np.array([1.0, 0.5]) @ weights)
    trusting = Relations(distrust=1e-6)
    assert (DETECTOR.score(DETECTOR.fit(values[:500]), values[500:]).score > 1.0).mean() < 0.02
    assert (trusting.score(trusting.fit(values[:500]), values[500:]).score > 1.0).mean() > 0.3


def test_a_failure_of_all_sensors_at_once_is_no_new_state():
    values = machine(0, 600)
    values[-20:] += np.random.default_rng(4).normal(size=6) * 1e4
    assert (DETECTOR.score(DETECTOR.fit(values[:500]), values[500:]).score[-18:] > 1.0).all()


def test_one_faint_oddity_is_no_alarm_and_what_comes_and_goes_is_one():
    history, after = plant(0), plant(1, 400)
    state = DETECTOR.fit(history)
    limit = state["limit"][1] * state["scale"][1]
    after[100, 1] += 5.5 * limit
    for t in range(200, 300, 15):
        after[t : t + 5, 1] += 4.0 * limit
    flags = DETECTOR.score(state, after).score > 1.0
    assert not flags[:200].any()
    assert flags[205:300].all()
    assert not flags[340:].any()


@pytest.mark.parametrize("level", [0.0, 100.0, -1e9])
def test_a_sensor_that_was_dead_alarms_when_it_wakes(level):
    history, after = plant(0), plant(1, 50)
    history[:, 2] = after[:, 2] = level
    state = DETECTOR.fit(history)
    assert not (DETECTOR.score(state, after).score > 1.0).any()
    after[20:, 2] = level + 0.01 * abs(level) + 1e-3
    found = DETECTOR.score(state, after)
    assert (found.score[20:] > 1.0).all()
    assert (found.sensor[20:] == 2).all()


def test_a_copy_that_parts_from_its_original_is_strange():
    history, after = plant(0), plant(1, 100)
    history, after = (np.column_stack([values, values[:, 0]]) for values in (history, after))
    state = DETECTOR.fit(history)
    assert not (DETECTOR.score(state, after).score > 1.0).any()
    after[50:, 6] += 0.5
    found = DETECTOR.score(state, after)
    assert (found.score[55:] > 1.0).all()
    assert set(found.sensor[55:].tolist()) <= {0, 6}


def test_more_sensors_than_moments_still_tell_a_break_from_chance():
    weights = np.random.default_rng(0).normal(size=(3, 120))
    draws = np.random.default_rng(1)
    values = draws.normal(size=(400, 3)) @ weights + draws.normal(size=(400, 120)) * 0.3
    state = DETECTOR.fit(values[:100])
    assert (DETECTOR.score(state, values[100:]).score > 1.0).mean() < 0.02
    values[300:, 17] += 4.0
    found = DETECTOR.score(state, values[100:])
    assert (found.score[210:] > 1.0).all()
    assert (found.sensor[210:] == 17).mean() > 0.9


def test_a_sensor_missing_for_good_leaves_the_others_as_sharp_as_they_can_be():
    history, after = plant(0), plant(1, 200)
    after[:, 5] = np.nan
    after[100:, 0] += 4.0
    found = DETECTOR.score(DETECTOR.fit(history), after)
    assert np.isnan(found.parts[:, 5]).all()
    assert not (found.score[:100] > 1.0).any()
    assert (found.score[105:] > 1.0).all()


def test_sensors_that_are_seldom_read_are_judged_when_they_are():
    values = plant(0, 8000)
    values[np.random.default_rng(0).random(8000) < 0.99, 4] = np.nan
    state = DETECTOR.fit(values[:6000])
    after = values[6000:]
    assert not np.isnan(state["limit"][4])
    assert (DETECTOR.score(state, after).score > 1.0).mean() < 0.01
    after[:, 4] += 30.0
    found = DETECTOR.score(state, after)
    read = ~np.isnan(after[:, 4])
    assert (found.parts[read, 4] > 1.0).all()


def test_what_was_not_learnt_does_not_count():
    history, after = plant(0), plant(1, 50)
    history[39:, 3] = np.nan
    state = DETECTOR.fit(history)
    after[:, 3] = 1e9
    found = DETECTOR.score(state, after)
    assert np.isnan(state["limit"][3])
    assert np.isnan(found.parts[:, 3]).all()
    assert not (found.score > 1.0).any()


def test_an_asset_too_large_is_refused():
    with pytest.raises(Invalid, match="at most 512 sensors"):
        DETECTOR.fit(np.zeros((50, MAX_SENSORS + 1)))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("precision", (0, 0), -1.0),
        ("precision", (1, 2), np.nan),
        ("scale", (1,), np.nan),
        ("limit", (1,), 0.0),
        ("mean", (2,), np.nan),
        ("powers", (0,), np.nan),
        ("level", (0,), np.nan),
    ],
)
def test_arrays_that_are_no_relations_are_refused(name, place, value):
    state = DETECTOR.fit(plant(0))
    DETECTOR.check(state)
    state[name][place] = value
    with pytest.raises(ValueError, match="array"):
        DETECTOR.check(state)
