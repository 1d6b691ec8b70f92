import numpy as np
import pytest

from atalaia.algorithms.selection.injecting import KINDS
from atalaia.algorithms.selection.trials import (
    LEAST_POINTS,
    MOST_COPIES,
    MOST_POINTS,
    WANTED_EVENTS,
    is_white,
    prepare,
    season_of,
    unfit,
)
from tests.algorithms.selection.histories import daily, noise, past_of


def test_the_last_part_is_judged_and_the_first_learnt():
    past = past_of(noise(1_000))
    (trial,) = prepare([past])
    assert np.concatenate([trial.learnt[1], trial.values]).tobytes() == past.values.tobytes()
    assert len(trial.learnt[1]) == 700
    assert trial.learnt[0][-1] < trial.timestamps[0]
    assert trial.days == pytest.approx(300 * 300 / 86_400)


def test_a_long_history_is_cut_to_its_newest_points():
    past = past_of(noise(MOST_POINTS + 500))
    (trial,) = prepare([past])
    assert trial.learnt[1][0] == past.values[500]
    assert len(trial.learnt[1]) + len(trial.values) == MOST_POINTS


@pytest.mark.parametrize(("series", "points"), [(1, 3_000), (1, 300), (5, 1_000), (20, 500)])
def test_there_are_about_as_many_anomalies_however_many_series(series, points):
    trials = prepare([past_of(daily(points, seed)) for seed in range(series)])
    kinds = [event.kind for trial in trials for copy in trial.copies for event in copy.events]
    assert 20 <= len(kinds) <= 3 * WANTED_EVENTS or points == 300
    assert len(kinds) >= 10
    assert max(len(trial.copies) for trial in trials) <= MOST_COPIES
    assert set(kinds) >= set(KINDS) - {"season"}


def test_the_same_histories_give_the_same_trials():
    pasts = [past_of(daily(1_000)), past_of(noise(400))]
    for a, b in zip(prepare(pasts), prepare(pasts), strict=True):
        assert [c.values.tobytes() for c in a.copies] == [c.values.tobytes() for c in b.copies]
    other = prepare(pasts, seed=1)
    assert other[0].copies[0].values.tobytes() != prepare(pasts)[0].copies[0].values.tobytes()


def test_a_season_is_seen_where_there_is_one():
    past = past_of(daily())
    assert season_of(past.timestamps, past.values) == 288
    assert season_of(past_of(noise()).timestamps, noise()) == 0


def test_white_noise_is_told_from_what_has_a_memory():
    walk = np.cumsum(noise() - 50.0)
    assert is_white(noise())
    assert is_white(np.where(np.arange(3_000) == 1_500, 1e9, noise()))
    assert not is_white(walk)
    assert not is_white(daily())


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (noise(LEAST_POINTS - 1), f"{LEAST_POINTS - 1} points are too few, {LEAST_POINTS} are needed"),
        (np.empty(0), f"0 points are too few, {LEAST_POINTS} are needed"),
        (np.full(3_000, 3.0), "its values hardly ever change"),
        (np.where(np.arange(3_000) % 3 == 0, noise(), np.nan), "missing"),
        (np.full(3_000, np.nan), "too few"),
        (np.full(3_000, 1e300), "too few"),  # no measurements
    ],
    ids=["short", "empty", "constant", "missing", "all missing", "absurd"],
)
def test_a_history_that_teaches_nothing_says_why_and_is_left_out(values, why):
    assert why in unfit(past_of(values))
    assert prepare([past_of(values)]) == []


def test_huge_values_and_lone_infinities_are_no_hindrance():
    values = daily() * 1e130
    values[[5, 700, 2_870]] = np.inf, -np.inf, np.nan
    (trial,) = prepare([past_of(values)])
    assert all(np.isfinite(copy.values).all() for copy in trial.copies)
    assert any(copy.events for copy in trial.copies)


def test_timestamps_that_stand_still_are_no_hindrance():
    past = past_of(noise(500), step_s=0)
    assert unfit(past) == ""
    (trial,) = prepare([past])
    assert trial.days == 0.0
