"""Contestants: none of them may look ahead, and each says something about hard series."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.contest import Judge, Stretch, fleet, strong
from atalaia.algorithms.evaluation.peers.causal import CAUSAL_PEERS
from atalaia.algorithms.evaluation.peers.libraries import causal_libraries
from atalaia.core.points import FloatArray
from tests.algorithms.evaluation.builders import STEP_US, wave

ALL: dict[str, Judge] = {"fleet": fleet, "strong": strong, **CAUSAL_PEERS, **causal_libraries()}
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
    assert judged.threshold > 0


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
    assert {"peer:netdata", "peer:grafana", "peer:pyod_iforest"} <= set(ALL)
