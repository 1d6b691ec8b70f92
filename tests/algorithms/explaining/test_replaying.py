import numpy as np
import pytest

from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.explaining.replaying import replay
from atalaia.algorithms.models import FleetModel
from atalaia.core.points import Group

STEP_US = 300_000_000
DAY = 288


def wave(days, seed=0):
    places = np.arange(days * DAY)
    noise = np.random.default_rng(seed).normal(0.0, 0.1, len(places))
    return places * STEP_US, 10.0 + np.sin(places / DAY * 2 * np.pi) + noise


def model_of(name, stamps, values):
    both = Group.of([(stamps, values), (stamps, values + 5.0)])
    return FleetModel.fit(make_detector(name, {}), ["a", "b"], both)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_outage_stands_out_of_what_is_replayed(name):
    stamps, values = wave(6)
    model = model_of(name, *wave(6))
    before = {key: array.copy() for key, array in model.state.items()}
    values[1500:1508] = 40.0
    told = replay(model, 0, stamps, values, DAY)
    assert len(told.scores) == len(told.alarm) == len(values)
    assert told.scores.score[1500] > 1.0
    assert told.alarm[1505]
    assert float(np.mean(told.scores.score[DAY:1500] > 1.0)) < 0.02
    assert not told.is_accepted
    for key, array in model.state.items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("name", ["streaming", "memory_bank"])
def test_a_model_that_learns_is_asked_as_it_stood_before_each_point(name):
    stamps, values = wave(4)
    model = model_of(name, stamps, values)
    told = replay(model, 0, stamps, values, DAY)
    shorter = replay(model, 0, stamps[:-DAY], values[:-DAY], DAY)
    assert np.isnan(told.scores.score[:DAY]).all()
    np.testing.assert_array_equal(told.scores.score[:-DAY], shorter.scores.score)


def test_another_model_says_what_it_always_says():
    stamps, values = wave(2)
    model = model_of("statistical", stamps, values)
    told = replay(model, 1, stamps, values, DAY)
    np.testing.assert_array_equal(
        told.scores.score, model.score(np.ones(len(values), np.int64), stamps, values).score
    )


@pytest.mark.parametrize(("points", "expected"), [(3 * DAY + 20, False), (4 * DAY + 3, True), (5 * DAY, True)])
def test_an_alarm_that_lasts_is_accepted(points, expected):
    stamps, values = wave(6)
    values[3 * DAY :] += 30.0
    told = replay(model_of("streaming", *wave(6)), 0, stamps[:points], values[:points], DAY)
    assert told.is_accepted is expected


@pytest.mark.parametrize("learn", [0, 1])
@pytest.mark.parametrize("name", DETECTORS)
def test_few_points_are_no_trouble(name, learn):
    stamps, values = wave(1)
    told = replay(model_of(name, stamps, values), 0, stamps[:3], values[:3], learn)
    assert len(told.scores) == 3
