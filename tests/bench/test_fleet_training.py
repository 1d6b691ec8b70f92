"""The benchmark of fleet training, small: so that it runs when it is needed."""

import pytest

from bench.fleet_training import train_all

pytestmark = pytest.mark.slow


def test_a_small_fleet_is_trained_and_measured() -> None:
    figures = {figure.name: figure for figure in train_all(series=40, points=2_880, workers=1)}
    assert figures.keys() == {"train_all", "train_all_cpu", "train_all_peak_memory"}
    assert figures["train_all"].baseline_value == 40 * 30.0
    assert 0 < figures["train_all_peak_memory"].value < 2
