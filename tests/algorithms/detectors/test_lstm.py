"""The LSTM: the band follows what comes, an outage is not followed, and hostile artefacts do no harm."""

import numpy as np
import pytest

from atalaia.algorithms.detectors.lstm import Lstm
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import Broken
from tests.algorithms.detectors.waves import after, trained_by, wave


def trained(points=1500, **hyperparameters):
    return trained_by(Lstm(**hyperparameters), points)


def test_the_band_follows_the_wave_and_is_narrower_than_it():
    detector, state = trained()
    values = wave(1800)[1500:]
    told = after(detector, state, values).scores
    assert np.abs(told.expected - values).mean() < 2.5
    assert (told.upper - told.lower).mean() < 40.0
    assert (told.score > 1.0).sum() <= 2


def test_a_value_that_is_usual_at_another_time_alarms():
    detector, state = trained()
    values = wave(1560)[1500:]
    trough = int(values[20:50].argmin()) + 20
    values[trough] = 119.0
    told = after(detector, state, values)
    assert np.flatnonzero(told.onset).tolist() == [trough]
    assert detector.parts[told.scores.part[trough]] == "forecast"


def test_an_outage_is_not_foretold_and_what_follows_it_is_no_second_alarm():
    detector, state = trained()
    values = wave(1700)[1500:]
    values[40:70] = 0.0
    told = after(detector, state, values)
    assert np.flatnonzero(told.onset).tolist() == [40]
    assert told.alarm[40:70].all()
    assert (told.scores.expected[40:70] > 60.0).all()
    assert not told.alarm[-20:].any()


def test_a_new_level_is_expected_once_it_was_accepted():
    detector, state = trained(accept_hours=1.0)
    values = wave(1900)[1500:] + 300.0
    told = after(detector, state, values)
    assert told.alarm[:59].all()
    assert np.abs(told.scores.expected[-50:] - values[-50:]).mean() < 10.0


def test_a_series_that_was_never_trained_is_expected_to_stay_where_it_is():
    detector = Lstm()
    values = wave(200)
    told = after(detector, detector.empty(1), values, 0).scores
    assert np.isnan(told.score[:96]).all()
    assert np.allclose(told.expected[97:110], values[96:109], rtol=1e-5)


def test_the_seed_is_a_hyperparameter():
    _, one = trained(300)
    _, other = trained(300, random_state=7)
    assert one["weights"].tobytes() != other["weights"].tobytes()


@pytest.mark.parametrize("name", ["weights", "recent", "counts", "tails", "levels", "blocks", "budget"])
@pytest.mark.parametrize("number", [np.nan, 3e38])
def test_numbers_that_no_training_gives_say_nothing_and_break_nothing(name, number):
    detector, state = trained(300)
    state[name][:] = number
    model = FleetModel.from_bytes(FleetModel(detector, ("a",), state, np.ones(1, np.int8), {}).to_bytes())
    told = after(detector, model.alive().state, wave(200), 300)
    assert (np.isnan(told.scores.score) | (told.scores.score >= 0.0)).all()


def test_an_artefact_cannot_bring_another_graph_or_other_weights():
    detector, state = trained(300)

    def read(state):
        FleetModel.from_bytes(FleetModel(detector, ("a",), state, np.ones(1, np.int8), {}).to_bytes())

    read(state)
    with pytest.raises(Broken, match="does not hold the arrays"):
        read(state | {"graph": np.zeros((1, 100), np.uint8)})
    with pytest.raises(Broken, match="expected <f4"):
        read(state | {"weights": np.zeros((1, 100_000), np.float32)})
    with pytest.raises(Broken, match="no training gives"):
        read(state | {"weights": np.full_like(state["weights"], np.inf)})
