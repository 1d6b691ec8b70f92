"""Peers that are libraries."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.peers import libraries
from atalaia.algorithms.evaluation.peers.libraries import causal_libraries, matrix_profile, whole_peers
from tests.algorithms.evaluation.builders import labelled


@pytest.mark.slow  # stumpy compiles for half a minute
@pytest.mark.parametrize("name", whole_peers())
def test_peers_that_look_back_find_a_spike(name: str) -> None:
    series = labelled(events=1)
    values = series.values[:, 0]
    scores = whole_peers()[name](values)
    assert scores.shape == values.shape
    assert np.isfinite(scores).all()
    assert scores[series.labels].max() > np.quantile(scores, 0.9)


def test_the_matrix_profile_of_what_never_moves_is_nothing() -> None:
    assert not matrix_profile(np.ones(100)).any()
    assert not matrix_profile(np.array([1.0, 2.0, 3.0])).any()


def test_what_is_not_installed_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    assert causal_libraries() == {}
    assert list(whole_peers()) == ["peer:spectral_residual"]
