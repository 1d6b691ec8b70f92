"""Which sensors are named when relations break."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.relations import Relations

DETECTOR = Relations()


def named(after, history=None):
    state = DETECTOR.fit(plant(0) if history is None else history)
    DETECTOR.advance(state, after)
    return DETECTOR.explain(state)


def test_usual_moments_have_no_cause():
    assert named(plant(1, 40)) == ()


@pytest.mark.parametrize("sensor", range(6))
@pytest.mark.parametrize("shift", [-8.0, 8.0, 300.0])
def test_the_sensor_that_is_off_is_named_alone(sensor, shift):
    after = plant(1, 40)
    after[-6:, sensor] += shift
    found = named(after)
    assert [deviation.sensor for deviation in found] == [sensor]
    assert found[0].seen - found[0].expected == pytest.approx(shift, abs=1.5)
    assert found[0].seen == pytest.approx(after[-5:, sensor].mean())


def test_two_sensors_that_are_off_are_named_and_no_other():
    after = plant(1, 40)
    after[-6:, 1] += 10.0
    after[-6:, 4] -= 6.0
    assert {deviation.sensor for deviation in named(after)} == {1, 4}


def test_the_strangest_relation_need_not_be_the_cause():
    """A precise sensor that leans on a coarse one looks worse than the coarse one that is off."""
    draws = np.random.default_rng(0)
    coarse = draws.normal(size=(700, 1))
    weights = np.array([[1.0, 0.9, 1.1, 1.0, 0.8]])
    values = np.column_stack([coarse + draws.normal(size=(700, 1)) * 0.2, coarse @ weights])
    values[:, 1:] += draws.normal(size=(700, 5)) * 0.2
    values[-6:, 0] += 3.0
    found = named(values[600:], values[:600])
    assert [deviation.sensor for deviation in found] == [0]


def test_a_missing_sensor_is_not_named():
    after = plant(1, 40)
    after[-6:, 2] += 10.0
    after[-8:, 3] = np.nan
    assert [deviation.sensor for deviation in named(after)] == [2]


def test_the_band_and_the_score_say_the_same():
    after = plant(1, 40)
    after[-6:, 2] += 5.0
    after[-6:, 0] -= 5.0
    for deviation in named(after):
        half = deviation.upper - deviation.expected
        assert deviation.score == pytest.approx(abs(deviation.seen - deviation.expected) / half)
        assert deviation.expected - deviation.lower == pytest.approx(half)


def test_a_dead_sensor_that_wakes_is_named():
    history, after = plant(0), plant(1, 40)
    history[:, 2] = after[:, 2] = 7.0
    after[-6:, 2] = 9.0
    found = named(after, history)
    assert [deviation.sensor for deviation in found] == [2]
    assert found[0].expected == pytest.approx(7.0)
