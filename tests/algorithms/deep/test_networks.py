"""The networks are small, and begin the same each time."""

import numpy as np
import pytest

from atalaia.algorithms.deep.networks import AUTOENCODER, LSTM


@pytest.mark.parametrize("network", [LSTM, AUTOENCODER], ids=lambda network: network.name)
def test_a_network_is_small_and_begins_where_its_seed_says(network):
    assert network.weights <= 3_000
    assert network.start(42).shape == (network.weights,)
    assert network.start(42).tobytes() == network.start(42).tobytes() != network.start(43).tobytes()
    assert np.abs(network.start(42)).max() <= 1.0
