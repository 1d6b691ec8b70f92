"""The memory bank: shapes that were never seen alarm, those that come every day do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.local_time import to_local
from atalaia.algorithms.memory.columns import FILLED
from atalaia.core.points import FloatArray, Group, IntArray

_STEP_US = 300_000_000
_DAY = 288


def _days(days: int, seed: int = 1, noise: float = 0.5) -> FloatArray:
    """A wave of a day with a peak at noon, which a level alone would call strange."""
    t = np.arange(days * _DAY)
    rng = np.random.default_rng(seed)
    peak = 30.0 * (np.abs(t % _DAY - _DAY // 2) < 6)
    return 50.0 + 10.0 * np.sin(2 * np.pi * t / _DAY) + peak + rng.normal(size=len(t)) * noise


def _times(points: int) -> IntArray:
    return 1_700_006_400_000_000 + _STEP_US * np.arange(points, dtype=np.int64)


def _alarms(
    values: FloatArray, learnt: int, **hyperparameters: float
) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.int16]]:
    """Scores, the points at which alarms begin, and what decided, behind the first `learnt` points."""
    detector = MemoryBank(windows=500, **hyperparameters)  # pyright: ignore[reportArgumentType]
    times = _times(len(values))
    state = detector.fit(Group.of([(times[:learnt], values[:learnt])]))
    told = detector.advance(state, np.zeros(len(values) - learnt, np.int64), times[learnt:], values[learnt:])
    return told.scores.score, np.flatnonzero(told.onset), told.scores.part


def test_the_daily_peak_does_not_alarm_and_a_peak_at_another_time_does() -> None:
    values = _days(14)
    values[13 * _DAY + 40 : 13 * _DAY + 52] += 30.0
    score, onsets, _ = _alarms(values, 10 * _DAY)
    assert onsets.tolist() == [3 * _DAY + 40]
    assert score[3 * _DAY + 40 : 3 * _DAY + 52].max() > 1.5


def test_a_peak_that_does_not_come_alarms_though_its_values_are_usual() -> None:
    values = _days(14)
    at = 13 * _DAY + _DAY // 2
    values[at - 6 : at + 6] -= 30.0 * (np.abs(np.arange(-6, 6)) < 6)
    _, onsets, part = _alarms(values, 10 * _DAY)
    assert onsets.tolist()
    assert all(3 * _DAY + 130 < onset < 3 * _DAY + 160 for onset in onsets)
    assert MemoryBank.parts[part[onsets[0]]].startswith(("same_time", "shape", "level", "season"))


def test_an_outage_is_not_learnt_and_alarms_again_the_next_week() -> None:
    values = _days(20)
    for day in (12, 17):
        values[day * _DAY + 100 : day * _DAY + 112] = 0.0
    _, onsets, _ = _alarms(values, 10 * _DAY)
    assert {onset // _DAY for onset in onsets} == {2, 7}


def test_more_false_alarms_are_allowed_by_a_lower_threshold() -> None:
    values = _days(30, noise=2.0)
    few = _alarms(values, 10 * _DAY, false_alarms_per_week=0.01)[1]
    many = _alarms(values, 10 * _DAY, false_alarms_per_week=20.0)[1]
    assert len(few) <= 1
    assert 10 <= len(many) <= 120


def test_the_promise_is_kept_on_noise() -> None:
    rng = np.random.default_rng(3)
    realised = [len(_alarms(rng.normal(size=40 * _DAY), 10 * _DAY, false_alarms_per_week=2.0)[1]) for _ in range(6)]
    promised = 6 * 2.0 * 30 / 7
    assert 0.4 * promised < sum(realised) < 1.6 * promised


def test_levels_scales_and_offsets_do_not_matter() -> None:
    values = _days(12)
    values[11 * _DAY + 50] += 40.0
    score = _alarms(values, 10 * _DAY)[0]
    moved = _alarms(values * 2.0**20 - 2.0**30, 10 * _DAY)[0]
    assert np.corrcoef(score, moved)[0, 1] > 0.999


def test_a_gap_keeps_days_in_step() -> None:
    values, times = _days(16), _times(16 * _DAY)
    keep = np.ones(len(values), np.bool_)
    keep[11 * _DAY + 17 : 11 * _DAY + 77] = False
    detector = MemoryBank(windows=500)
    learnt = 10 * _DAY
    state = detector.fit(Group.of([(times[:learnt], values[:learnt])]))
    keep[:learnt] = False
    told = detector.advance(state, np.zeros(int(keep.sum()), np.int64), times[keep], values[keep])
    assert told.onset.sum() <= 1


@pytest.mark.parametrize(
    "values",
    [
        np.concatenate([np.full(2000, 7.0), np.random.default_rng(1).normal(size=2000)]),
        np.where(np.arange(4000) % 100 == 0, 1.0, np.nan),
        np.cumsum(np.ones(4000)) % 500,
        np.random.default_rng(2).choice([0.0, 1.0], 4000),
        np.random.default_rng(2).normal(size=4000) * 1e139,
        np.random.default_rng(2).normal(size=4000) * 1e-300,
        1e15 + np.random.default_rng(2).normal(size=4000),
    ],
    ids=[
        "constant then alive",
        "99 % missing",
        "a counter that resets",
        "two values",
        "huge",
        "tiny",
        "far from 0",
    ],
)
def test_hard_series_get_finite_scores(values: FloatArray) -> None:
    score = _alarms(values, 2000)[0]
    known = ~np.isnan(values[2000:])
    assert np.isfinite(score[known]).all() or np.isnan(score).all()
    assert (score[np.isfinite(score)] >= 0).all()


def test_days_of_people_stay_in_step_when_their_clocks_change() -> None:
    # Clocks in Lisbon went back on 29 October 2023 at 01:00 UTC.
    start = 1_697_500_800_000_000
    times = start + _STEP_US * np.arange(20 * _DAY, dtype=np.int64)
    local = to_local(times, "Europe/Lisbon") // _STEP_US % _DAY
    noise = np.random.default_rng(1).normal(size=len(times)) * 0.5
    values = _days(1, noise=0.0)[local] + noise
    learnt = 9 * _DAY
    detector = MemoryBank(windows=500, timezone="Europe/Lisbon")
    state = detector.fit(Group.of([(times[:learnt], values[:learnt])]))
    told = detector.advance(state, np.zeros(11 * _DAY, np.int64), times[learnt:], values[learnt:])
    assert np.isfinite(told.scores.score).all()
    assert told.onset.sum() <= 2


def test_several_series_do_not_touch_each_other() -> None:
    values, times = _days(12), _times(12 * _DAY)
    other = _days(12, seed=5)[::-1].copy()
    detector = MemoryBank(windows=250)
    group = Group.of([(times[: 10 * _DAY], values[: 10 * _DAY]), (times[: 10 * _DAY], other[: 10 * _DAY])])
    state = detector.fit(group)
    rows = np.tile([0, 1], 2 * _DAY)
    both = np.stack([values[10 * _DAY :], other[10 * _DAY :]], axis=1).ravel()
    told = detector.advance(state, rows, np.repeat(times[10 * _DAY :], 2), both)
    alone = detector.fit(Group.of([group.series(1)]))
    lone = detector.advance(alone, np.zeros(2 * _DAY, np.int64), times[10 * _DAY :], other[10 * _DAY :])
    assert told.scores.score[1::2].tobytes() == lone.scores.score.tobytes()


def test_a_line_that_goes_flat_inside_its_band_alarms() -> None:
    values = _days(14)
    values[13 * _DAY + 60 : 13 * _DAY + 120] = values[13 * _DAY + 59]
    _, onsets, part = _alarms(values, 10 * _DAY)
    assert len(onsets) >= 1
    assert 3 * _DAY + 60 < onsets[0] < 3 * _DAY + 120
    assert MemoryBank.parts[part[onsets[0]]].startswith(("shape", "same_time", "spread"))


def test_a_level_that_shifts_by_little_alarms() -> None:
    values = _days(14)
    values[13 * _DAY + 60 :] += 4.0
    _, onsets, _ = _alarms(values, 10 * _DAY)
    assert len(onsets) >= 1
    assert 3 * _DAY + 60 <= onsets[0] < 3 * _DAY + 90


def test_an_artefact_that_claims_more_windows_than_it_has_does_no_harm() -> None:
    detector, times, values = MemoryBank(windows=125), _times(3 * _DAY), _days(3)
    state = detector.fit(Group.of([(times[: 2 * _DAY], values[: 2 * _DAY])]))
    honest = {name: array.copy() for name, array in state.items()}
    state["marks"][0, FILLED] = 2**62
    rows = np.zeros(_DAY, np.int64)
    told = [detector.advance(s, rows, times[2 * _DAY :], values[2 * _DAY :]).scores.score for s in (honest, state)]
    assert told[0].tobytes() == told[1].tobytes()
