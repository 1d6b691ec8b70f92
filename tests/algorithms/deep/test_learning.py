"""Training: what it learns, what it does not, and that it is the same each time."""

import sys

import numpy as np
import pytest
import torch

from atalaia.algorithms.deep.learning import answers, train
from atalaia.algorithms.deep.networks import AUTOENCODER, LENGTH, LSTM
from atalaia.core.errors import Unavailable


def wave(points=600, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(points) / 5.0) + noise * rng.normal(size=points)
    return np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), LENGTH + 1)


def shown(values):
    """Windows, and by how much the next point differs from their last."""
    windows = np.ascontiguousarray(values[:, :LENGTH])
    return windows, np.ascontiguousarray(values[:, LENGTH:] - windows[:, -1:])


def test_an_lstm_foretells_better_than_that_nothing_changes():
    windows, following = shown(wave())
    weights = train(LSTM, windows, following, 42)
    windows, following = shown(wave(seed=1))
    error = np.abs(answers(LSTM, weights, windows) - following).mean()
    assert error < 0.75 * np.abs(following).mean()


def test_an_autoencoder_restores_what_it_was_shown_better_than_what_it_was_not():
    windows, _ = shown(wave())
    weights = train(AUTOENCODER, windows, windows, 42)
    known, _ = shown(wave(seed=1))
    other = np.random.default_rng(2).permuted(known, axis=1)
    errors = [np.abs(answers(AUTOENCODER, weights, some) - some).mean() for some in (known, other)]
    assert errors[0] < 0.25 < errors[1]


def test_a_training_is_the_same_each_time_and_follows_its_seed():
    windows, following = shown(wave(200))
    torch.manual_seed(1)
    first = train(LSTM, windows, following, 42)
    torch.manual_seed(2)
    assert first.tobytes() == train(LSTM, windows, following, 42).tobytes()
    assert first.tobytes() != train(LSTM, windows, following, 43).tobytes()


def test_a_training_leaves_the_threads_and_the_chance_of_others_alone():
    windows, following = shown(wave(100))
    before, drawn = torch.get_num_threads(), torch.get_rng_state()
    kept = windows.copy(), following.copy()
    train(LSTM, windows, following, 42)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (windows, following), strict=True))


def test_one_window_is_enough_and_huge_numbers_do_not_make_a_network_useless():
    windows, following = shown(wave(LENGTH + 1))
    assert np.isfinite(train(LSTM, windows, following, 42)).all()
    windows, following = windows * np.float32(1e6), following * np.float32(-1e6)
    assert np.isfinite(train(LSTM, windows, following, 42)).all()


def test_without_torch_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unavailable, match=r"atalaia\[deep\]") as refusal:
        train(LSTM, *shown(wave(100)), 42)
    assert refusal.value.code == "missing_package"
