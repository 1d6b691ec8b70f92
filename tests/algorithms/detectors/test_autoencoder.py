"""The autoencoder: strange shapes alarm inside the band, and say so."""

import numpy as np
import pytest

from atalaia.algorithms.detectors.autoencoder import Autoencoder
from atalaia.algorithms.models import FleetModel
from tests.algorithms.detectors.waves import after, trained_by, wave


def trained(points=1500, **hyperparameters):
    return trained_by(Autoencoder(**hyperparameters), points)


def test_a_wave_of_another_length_alarms_inside_the_band_and_the_sentence_says_why():
    detector, state = trained()
    values = wave(1800)[1500:]
    values[100:160] = 100.0 + 15.0 * np.sin(np.arange(60) * 1.5)
    told = after(detector, state, values)
    (onset,) = np.flatnonzero(told.onset)
    assert 100 <= onset < 125
    model = FleetModel(detector, ("a",), state, np.ones(1, np.int8), {})
    worst = int(told.scores.score.argmax())
    said = model.explain(told.scores, worst, float(values[worst]))
    assert said.part == "shape"
    assert "the last 32 points together are of a shape" in said.text


def test_the_usual_wave_stays_quiet():
    detector, state = trained()
    assert after(detector, state, wave(2100)[1500:]).onset.sum() <= 1


def test_a_series_that_was_never_trained_is_compared_with_its_level():
    detector = Autoencoder()
    values = np.concatenate([wave(400), np.full(10, 500.0)])
    told = after(detector, detector.empty(1), values, 0)
    assert np.isnan(told.scores.score[:96]).all()
    assert np.isfinite(told.scores.score[96:]).all()
    assert 400 in np.flatnonzero(told.onset)


@pytest.mark.parametrize("name", ["weights", "recent", "counts", "tails", "levels", "blocks", "budget"])
@pytest.mark.parametrize("number", [np.nan, 3e38])
def test_numbers_that_no_training_gives_say_nothing_and_break_nothing(name, number):
    detector, state = trained(300)
    state[name][:] = number
    model = FleetModel.from_bytes(FleetModel(detector, ("a",), state, np.ones(1, np.int8), {}).to_bytes())
    told = after(detector, model.alive().state, wave(200), 300)
    assert (np.isnan(told.scores.score) | (told.scores.score >= 0.0)).all()
