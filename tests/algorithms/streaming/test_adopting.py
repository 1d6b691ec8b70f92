"""What a new series begins with, where its peers have something in common and where they have not."""

from dataclasses import dataclass

import numpy as np
import pytest

from atalaia.algorithms.checks import check_detector
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.core.points import Group

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
MONDAY = 1_709_510_400_000_000
DETECTOR = StreamingProfile()


def times(days, start=MONDAY, step=5):
    return start + np.arange(int(days * 1440 // step), dtype=np.int64) * step * MINUTE


def shop(timestamps, level, seed, peak=14):
    """Sales that are three times as high at a time of day, in proportion to a level, with noise."""
    hour = timestamps % DAY / HOUR
    wave = 1.0 + 0.5 * np.cos((hour - peak) / 24 * 2 * np.pi)
    return level * (wave + 0.02 * np.random.default_rng(seed).normal(size=len(timestamps)))


def peers(days=10, series=8, peak=14, spread=0):
    """The states of shops of all sizes, whose peaks lie `spread` hours apart."""
    t = times(days)
    return DETECTOR.fit(Group.of((t, shop(t, 10.0**i, i, peak + spread * i)) for i in range(series)))


def adopted(known):
    state = DETECTOR.empty(1)
    DETECTOR.adopt(state, 0, known)
    return state


def advance(state, timestamps, values):
    return DETECTOR.advance(state, np.zeros(len(timestamps), np.int64), timestamps, values)


START = MONDAY + 20 * DAY + 6 * HOUR


def newcomer(days=3.0, level=37.0, seed=99):
    t = times(days, START)
    return t, shop(t, level, seed)


def test_a_new_shop_expects_the_afternoon_on_its_first_morning():
    state = adopted(peers())
    t, values = newcomer(1.0)
    morning = t < START + HOUR
    advance(state, t[morning], values[morning])
    noon = np.array([START + 8 * HOUR])
    told = DETECTOR.score(state, np.zeros(1, np.int64), noon, np.array([37.0 * 1.5]))
    assert told.expected[0] == pytest.approx(37.0 * 1.5, rel=0.1)
    assert DETECTOR.parts[int(told.part[0])] == "season_day"
    alone = DETECTOR.empty(1)
    advance(alone, t[morning], values[morning])
    assert DETECTOR.score(alone, np.zeros(1, np.int64), noon, np.array([0.0])).expected[0] < 37.0


def test_after_one_hour_it_finds_what_a_shop_without_peers_misses():
    t, values = newcomer(1.0)
    at = int(6 * HOUR / (5 * MINUTE))
    values[at : at + 12] -= 37.0 * 0.35  # as if it were night
    told = advance(adopted(peers()), t, values)
    assert told.onset[at : at + 12].any()
    assert not told.onset[:at].any()
    assert not advance(DETECTOR.empty(1), t, values).onset[at : at + 12].any()


def test_on_its_first_days_it_alarms_no_more_than_it_should():
    t, values = newcomer(3.0)
    assert not advance(adopted(peers()), t, values).onset.any()


def test_peers_whose_days_differ_give_no_season_to_use():
    state = adopted(peers(spread=3))
    assert int(state["part"][0]) == 0
    assert float(np.abs(state["day"]).max()) > 0.0  # remembered all the same
    assert int(adopted(peers())["part"][0]) == 1


def test_its_own_points_take_over_within_days():
    """Peers have their peak at 14, it has its own at 2."""
    state = adopted(peers())
    t = times(6, START)
    advance(state, t, shop(t, 37.0, 5, peak=2))
    moment = int(t[-1]) + 5 * MINUTE
    hours = moment - moment % DAY + DAY + np.array([2, 14]) * HOUR
    told = DETECTOR.score(state, np.zeros(2, np.int64), hours, np.zeros(2))
    assert told.expected[0] > told.expected[1]


def test_an_outage_that_begins_with_the_series_is_a_level_like_any_other():
    t = times(0.5, START)
    told = advance(adopted(peers()), t, np.zeros(len(t)))
    assert np.isfinite(told.scores.score[10:]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_value_is_none_of_the_first_points(value):
    t, values = newcomer(0.1)
    plain, holed = adopted(peers()), adopted(peers())
    advance(plain, t[1:], values[1:])
    values[0] = value
    advance(holed, t, values)
    for name, array in plain.items():
        np.testing.assert_array_equal(array, holed[name], err_msg=name)


@dataclass(frozen=True)
class Meddling(StreamingProfile):
    """Changes the row beside, counts what peers give as points, and takes from those who know nothing."""

    def adopt(self, state, row, peers):
        found = super().adopt(state, row, peers)
        state["points"][row] += 1
        state["levels"][row - 1] += 1.0
        return max(found, 1)


def test_the_laws_find_a_detector_that_meddles():
    failed = set()
    for name, run in check_detector(Meddling()):
        if "adopt" in name or "peers" in name:
            try:
                run()
            except AssertionError:
                failed.add(name)
    assert {"who adopts changes one row only", "peers that know nothing give nothing"} <= failed
