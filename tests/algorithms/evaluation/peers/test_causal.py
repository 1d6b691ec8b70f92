"""Peers made again: their thresholds, and what is known of each."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.contest import Stretch
from atalaia.algorithms.evaluation.intervals import alerts
from atalaia.algorithms.evaluation.peers.causal import (
    filled,
    grafana,
    netdata,
    robust_z,
    with_threshold,
)
from tests.algorithms.evaluation.builders import STEP_US, wave


def test_the_threshold_allows_what_the_budget_allows_on_the_history() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=6000)
    times = STEP_US * np.arange(6000, dtype=np.int64)
    judge = with_threshold(lambda values, step_us, past: np.abs(values))
    weeks = 4000 * STEP_US / (7 * 86_400_000_000)
    for per_week in (0.01, 1.0, 3.0):
        judged = judge(Stretch(times[:4000], noise[:4000]), Stretch(times[4000:], noise[4000:]), per_week)
        found = len(alerts(np.abs(noise[:4000]) > judged.threshold)[0])
        assert found <= max(1.0, per_week * weeks)
        assert found >= max(1.0, per_week * weeks) - 2


def test_missing_values_are_filled_with_those_before() -> None:
    assert filled(np.array([np.nan, 1.0, np.nan, np.nan, 2.0])).tolist() == [1.0, 1.0, 1.0, 1.0, 2.0]
    assert filled(np.full(3, np.nan)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("peer", [netdata, grafana, robust_z])
def test_each_peer_ranks_a_jump_first(peer) -> None:
    values = wave(8)
    values[2000:2004] += 50.0
    scores = peer(values, STEP_US, 1000)
    assert 1998 <= int(np.nanargmax(scores[1000:])) + 1000 <= 2010


def test_one_model_that_knows_a_shape_is_enough_for_netdata() -> None:
    values = np.random.default_rng(1).normal(size=4000) * 0.1
    values[3000:3020] += 20.0
    first = np.nanmax(netdata(values, STEP_US, 1000)[2990:3030])
    values[2900:2920] += 20.0  # seen shortly before, by a model that still counts
    assert np.nanmax(netdata(values, STEP_US, 1000)[2990:3030]) < first
