import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.explaining.rarity import Rarity, rarity, rarity_text

MINUTE = 60_000_000
DAY = 1440 * MINUTE


def found(strange, inside, *, step=MINUTE, apart=5 * MINUTE):
    n = len(strange)
    mask = np.zeros(n, np.bool_)
    mask[inside] = True
    return rarity(np.arange(n) * step, np.array(strange, np.float64), mask, apart)


def surely(strange, inside, **more):
    said = found(strange, inside, **more)
    assert said is not None
    return said


def test_nothing_as_strange_is_not_seen():
    said = surely([0.1] * 20 + [3.0, 4.0] + [0.2] * 20, slice(20, 22))
    assert (said.strength, said.points, said.as_strange, said.episodes) == (4.0, 40, 0, 0)
    assert said.once_in_days is None
    assert said.share == 0.0


def test_strange_points_near_each_other_are_one_episode():
    strange = [0.0] * 100
    for place in (10, 12, 14, 40, 80):
        strange[place] = 5.0
    said = surely(strange, slice(80, 81), step=DAY // 10, apart=DAY // 2)
    assert (said.as_strange, said.episodes) == (4, 2)
    assert said.once_in_days == pytest.approx(9.9 / 3)


@pytest.mark.parametrize(("other", "expected"), [(2.0, 1), (1.99, 0), (9.0, 1)])
def test_half_as_strange_counts(other, expected):
    assert surely([0.0, other, 0.0, 4.0], slice(3, 4)).episodes == expected


def test_points_without_an_opinion_are_not_looked_at():
    said = surely([np.nan] * 50 + [0.5] * 10 + [2.0], slice(60, 61))
    assert said.points == 10
    assert said.days == pytest.approx(10 / 1440)


@pytest.mark.parametrize("strange", [[np.nan] * 5, []])
def test_without_an_opinion_on_the_stretch_nothing_is_known(strange):
    assert found(strange, slice(0, 2)) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "too little history to tell"),
        (Rarity(2.0, 0, 0.0, 0, 0), "too little history to tell"),
        (
            Rarity(2.0, 8063, 28.0, 0, 0),
            "not seen in the 28 days known: nothing half as strange among 8,063 other points",
        ),
        (
            Rarity(2.0, 8063, 28.0, 9, 3),
            "once in 7 days: half as strange or more 3 other times in the 28 days known (8,063 other points)",
        ),
        (
            Rarity(2.0, 60, 0.25, 1, 1),
            "once in 3 hours: half as strange or more 1 other time in the 6 hours known (60 other points)",
        ),
        (
            Rarity(2.0, 60, 0.0, 0, 0),
            "not seen in the 0 minutes known: nothing half as strange among 60 other points",
        ),
    ],
)
def test_rarity_is_said_with_what_it_rests_on(said, expected):
    assert rarity_text(said) == expected


SCORES = st.lists(st.floats(0, 100) | st.just(float("nan")), min_size=2, max_size=60)


@given(SCORES, st.integers(0, 59), st.floats(0, 200))
def test_the_stranger_the_rarer(strange, place, more):
    place %= len(strange)
    said = found(strange, place)
    if said is None:
        assert np.isnan(strange[place])
        return
    assert 0 <= said.episodes <= said.as_strange <= said.points < len(strange)
    assert said.once_in_days is None or 0 <= said.once_in_days <= said.days
    stranger = found([*strange[:place], strange[place] + more, *strange[place + 1 :]], place)
    assert stranger is not None
    assert stranger.as_strange <= said.as_strange
