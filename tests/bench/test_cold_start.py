import numpy as np
import pytest

from atalaia.algorithms.evaluation.labelled import Labelled
from bench.cold_start import PHASES, STARTS, alike, beginnings, figures, learnt, others, told

MINUTE_US = 60_000_000


def labelled(number: int, *, days: int = 16, strange: bool = False) -> Labelled:
    at = 1_700_006_400_000_000 + np.arange(days * 288, dtype=np.int64) * 5 * MINUTE_US
    rng = np.random.default_rng(number)
    peak = 14 if number < 3 else 2
    wave = 1.0 + 0.5 * np.cos((at / 3.6e9 - peak) / 24 * 2 * np.pi)
    values = 10.0 ** (1 + number % 3) * (wave + 0.02 * rng.normal(size=len(at)))
    labels = np.zeros(len(at), np.bool_)
    if strange:
        labels[len(at) // 2 :][::200] = True
        values[labels] *= 5.0
    return Labelled(f"s{number}", "set", ("value",), values[:, None], labels, timestamps=at)


def test_a_series_begins_in_its_second_half_as_it_is_or_with_anomalies_put_in():
    one = labelled(0)
    found = beginnings(0, one, np.random.default_rng(1))
    assert len(found) == STARTS
    for number, begun in enumerate(found):
        assert begun.timestamps[0] >= one.moments[len(one) // 2]
        same = np.isin(begun.timestamps, one.moments)
        assert same.all()
        assert bool(begun.events) == (number % 2 == 0)
        assert (begun.before[0] < begun.timestamps[0]).all()


def test_peers_are_those_with_the_same_day_and_never_the_series_itself():
    state = learnt([labelled(i) for i in range(6)])
    assert set(alike(state)[0][:2].tolist()) == {1, 2}
    assert set(alike(state)[3][:2].tolist()) == {4, 5}
    for one, drawn in enumerate(others(6)):
        assert sorted([one, *drawn.tolist()]) == list(range(6))


def test_what_is_found_and_what_is_false_is_counted_by_phase():
    series = [labelled(i, strange=i == 0) for i in range(3)]
    state = learnt(series)
    starts = beginnings(0, series[0], np.random.default_rng(1))
    peers = alike(state)[0]
    from_peers = figures([(one, told(one, state, peers, knows=False)) for one in starts])
    alone = figures([(one, told(one, state, None, knows=True)) for one in starts])
    assert list(from_peers) == [f"{start}-{end}h" for start, end in PHASES]
    for found in (from_peers, alone):
        assert found["1-24h"]["put_in"] > 0
        assert found["24-72h"]["labelled"] > 0
        assert found["24-72h"]["labelled_found"] >= 0.5
    assert from_peers["1-24h"]["false_alarms_a_day"] < 1.0


def test_a_false_alarm_is_one_that_nothing_explains():
    one = labelled(0)
    begun = beginnings(0, one, np.random.default_rng(1))[1]
    begun.values[150] *= 9.0
    state = learnt([one])
    found = figures([(begun, told(begun, state, None, knows=True))])
    assert found["1-24h"]["false_alarms_a_day"] == pytest.approx(24 / 23)
    assert found["1-24h"]["quiet"] == 0.0
