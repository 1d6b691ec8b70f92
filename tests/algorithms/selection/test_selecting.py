from typing import ClassVar

import numpy as np
import pytest

from atalaia.algorithms.detectors import DETECTORS
from atalaia.algorithms.detectors.protocol import State
from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.algorithms.selection.selecting import CALM, MOST_SERIES, sample, select
from atalaia.core.errors import Unavailable
from atalaia.core.points import Group
from tests.algorithms.selection.histories import daily, noise, past_of

MIB = 1 << 20


def still() -> float:
    return 0.0


class Elsewhere(ZScore):
    """A detector whose package is not there."""

    name: ClassVar[str] = "elsewhere"

    def fit(self, group: Group) -> State:
        raise ImportError("No module named 'elsewhere'")


class Late(ZScore):
    """One that notices it only when there is something to learn."""

    name: ClassVar[str] = "late"

    def fit(self, group: Group) -> State:
        if len(group.values):
            raise ImportError("No module named 'late'")
        return super().fit(group)


@pytest.mark.parametrize("series", [1, 10_000])
def test_a_strong_daily_season_gets_a_detector_that_knows_seasons(series):
    choice = select([past_of(daily(seed=seed)) for seed in range(3)], series, 64 * MIB, still)
    assert choice.algorithm in ("seasonal_profile", "streaming", "memory_bank")
    assert (choice.series, choice.points) == (3, 3 * 2_880)
    assert {one.name for one in choice.tried} == set(DETECTORS)


@pytest.mark.parametrize("points", [400, 3_000])
def test_white_noise_gets_a_cheap_one(points):
    choice = select([past_of(noise(points))], 1, 64 * MIB, still)
    assert choice.algorithm in ("statistical", "robust_zscore")
    assert "nothing costlier is worth it" in choice.reason


def test_a_large_fleet_gets_nothing_heavy_unless_there_is_room_for_it():
    pasts = [past_of(daily())]
    small = select(pasts, 10_000, 64 * MIB, still)
    assert small.algorithm != "memory_bank"
    assert "memory_bank would keep 1," in small.reason
    large = select(pasts, 10_000, 1 << 40, still)
    assert all(one.figures for one in large.tried)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (noise(57), "57 points are too few, 140 are needed"),
        (np.full(2_000, 3.0), "hardly ever change"),
        (np.where(np.arange(3_000) % 4 == 0, noise(), np.nan), "most of its points are missing"),
        (np.empty(0), "0 points are too few"),
        (np.full(500, np.inf), "0 points are too few"),
    ],
    ids=["short", "constant", "missing", "empty", "infinite"],
)
def test_a_history_that_says_nothing_gets_who_goes_on_learning(values, why):
    choice = select([past_of(values)], 1, 64 * MIB, still)
    assert choice.algorithm == CALM
    assert choice.reason.startswith("streaming, which goes on learning")
    assert why in choice.reason
    assert all(one.figures is None and one.left_out for one in choice.tried)


def test_no_history_at_all_says_so():
    assert "there are no points" in select([], 1, MIB, still).reason


def test_the_same_histories_make_the_same_choice():
    pasts = [past_of(daily()), past_of(np.cumsum(noise() - 50.0))]
    assert select(pasts, 2, 64 * MIB, still) == select(pasts, 2, 64 * MIB, still)


def test_a_detector_that_cannot_be_used_is_left_out_with_the_reason_and_a_new_one_joins():
    registry = {"statistical": ZScore, "elsewhere": Elsewhere, "late": Late}
    choice = select([past_of(daily())], 1, MIB, still, registry=registry)
    assert choice.algorithm == "statistical"
    assert "elsewhere cannot be used here: No module named 'elsewhere'" in choice.reason
    assert "late cannot be used here: No module named 'late'" in choice.reason
    short = select([past_of(noise(9))], 1, MIB, still, registry=registry)  # without who goes on learning
    assert short.algorithm == "statistical"
    for name, kind in (("elsewhere", Elsewhere), ("late", Late)):
        with pytest.raises(Unavailable):
            select([past_of(daily())], 1, MIB, still, registry={name: kind})


def test_progress_is_told_up_to_the_end():
    heard: list[float] = []
    select([past_of(daily(600))], 1, 64 * MIB, still, heard.append)
    assert heard == sorted(heard)
    assert len(heard) == len(DETECTORS)
    assert heard[-1] == 1.0


def test_a_fleet_is_sampled_and_always_alike():
    assert sample(3) == [0, 1, 2]
    picked = sample(10_000)
    assert picked == sample(10_000) == sorted(set(picked))
    assert len(picked) == MOST_SERIES
    assert max(picked) < 10_000
    assert picked != sample(10_000, seed=1)
