"""Contestants: none may look ahead, each says something about hard series, those with networks what they need."""

import sys

import numpy as np
import pytest

from atalaia.algorithms.deep import asking
from atalaia.algorithms.evaluation.contest import Judge, Stretch, autoencoder, fleet, lstm, networks, strong
from atalaia.algorithms.evaluation.peers.causal import CAUSAL_PEERS
from atalaia.algorithms.evaluation.peers.libraries import causal_libraries
from atalaia.core.errors import Unavailable
from atalaia.core.points import FloatArray
from tests.algorithms.evaluation.builders import STEP_US, wave

NETWORKS = pytest.mark.parametrize("judge", [lstm, autoencoder], ids=["lstm", "autoencoder"])
ALL: dict[str, Judge] = {"fleet": fleet, "strong": strong, **networks(), **CAUSAL_PEERS, **causal_libraries()}
_PAST, _KEPT = 900, 300


def _parts(values: FloatArray) -> tuple[Stretch, Stretch]:
    times = 1_700_006_400_000_000 + STEP_US * np.arange(len(values), dtype=np.int64)
    return Stretch(times[:_PAST], values[:_PAST]), Stretch(times[_PAST:], values[_PAST:])


@pytest.mark.parametrize("name", ALL)
def test_no_score_depends_on_what_comes_after_it(name: str) -> None:
    values = wave(5)
    other = values.copy()
    other[_PAST + _KEPT :] = np.random.default_rng(2).normal(size=len(values) - _PAST - _KEPT) * 1e3
    told = [ALL[name](*_parts(v), 1.0).scores[:_KEPT] for v in (values, other)]
    np.testing.assert_allclose(told[0], told[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_a_jump_is_stranger_than_what_was_before(name: str) -> None:
    values = wave(5)
    values[_PAST + 200 : _PAST + 210] += 60.0
    judged = ALL[name](*_parts(values), 1.0)
    assert judged.scores[200:210].max() > np.nanquantile(judged.scores[:200], 0.95)
    assert np.all(judged.threshold > 0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "values",
    [
        np.full(1440, 3.0),
        np.where(np.arange(1440) % 50 == 0, 1.0, np.nan),
        np.full(1440, np.nan),
        np.random.default_rng(1).normal(size=1440) * 1e150,
        np.concatenate([np.zeros(1000), wave(2)[:440]]),
    ],
    ids=["constant", "mostly missing", "all missing", "huge", "constant then alive"],
)
@pytest.mark.filterwarnings("ignore")  # libraries warn of what they are given here
def test_hard_series_are_judged(name: str, values: FloatArray) -> None:
    judged = ALL[name](*_parts(values), 1.0)
    assert judged.scores.shape == (len(values) - _PAST,)
    assert not np.isinf(judged.scores).any()


def test_all_peers_take_part_here() -> None:
    assert {"lstm", "autoencoder", "peer:netdata", "peer:grafana", "peer:pyod_iforest"} <= set(ALL)


def halves() -> tuple[Stretch, Stretch]:
    """A noisy wave of 800 points with a spike in its second half."""
    values = np.sin(np.arange(800) / 6.0) + 0.1 * np.random.default_rng(0).normal(size=800)
    values[600] = 9.0
    moments = 1_700_000_000_000_000 + 60_000_000 * np.arange(800, dtype=np.int64)
    return Stretch(moments[:400], values[:400]), Stretch(moments[400:], values[400:])


@NETWORKS
def test_a_network_finds_a_spike_over_the_threshold_that_it_set_itself(judge: Judge) -> None:
    judged = judge(*halves(), 1.0)
    assert 200 <= int(np.nanargmax(judged.scores)) < 216  # while it is in the window
    assert judged.scores[200] > judged.threshold


@NETWORKS
@pytest.mark.parametrize("package", ["torch", "onnxruntime"])
def test_where_a_package_is_missing_a_network_does_not_take_part(
    judge: Judge, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking._session.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    assert networks() == {}
    with pytest.raises(Unavailable) as refusal:
        judge(*halves(), 1.0)
    assert refusal.value.code == "missing_package"
