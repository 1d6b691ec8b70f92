"""Series that are hard: every detector scores them, or has no opinion and says how little it has learnt."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.detectors.protocol import Detector, Streaming
from atalaia.algorithms.local_time import DAY_US, HOUR_US, MINUTE_US, to_local
from atalaia.core.points import FloatArray, Group, IntArray

START_US = 1_700_006_400_000_000
NAMES = [name for name in DETECTORS if name not in ("lstm", "autoencoder")]
"""Those with a network meet hard series in `tests/algorithms/evaluation/test_contest.py`."""
FOLLOWING = [name for name in NAMES if hasattr(DETECTORS[name], "advance")]
rng = np.random.default_rng(7)


class Series(NamedTuple):
    """Timestamps and values; the first half is the history."""

    timestamps: IntArray
    values: FloatArray


def steps(points: int, step_us: int = 5 * MINUTE_US) -> IntArray:
    return START_US + step_us * np.arange(points, dtype=np.int64)


def daily(stamps: IntArray) -> FloatArray:
    return 20 + 5 * np.sin(2 * np.pi * (stamps % DAY_US) / DAY_US) + rng.normal(size=len(stamps))


def mostly_missing() -> Series:
    stamps = steps(4000)
    values = daily(stamps)
    values[rng.random(4000) < 0.99] = np.nan
    return Series(stamps, values)


def constant_then_alive() -> Series:
    stamps = steps(4000)
    values = daily(stamps)
    values[:3000] = 7.0
    return Series(stamps, values)


def counter() -> Series:
    return Series(steps(4000), np.mod(np.cumsum(rng.poisson(50, 4000)), 25_000).astype(np.float64))


def at_the_limits() -> Series:
    return Series(steps(2000), rng.choice([-1.0, 1.0], 2000) * np.finfo(np.float64).max)


def hardly_there() -> Series:
    return Series(steps(2000), rng.integers(0, 9, 2000).astype(np.float64) * 5e-324)


def with_infinities() -> Series:
    values = rng.normal(size=2000)
    values[::7], values[3::7] = np.inf, -np.inf
    return Series(steps(2000), values)


def irregular() -> Series:
    stamps = START_US + np.cumsum(rng.exponential(5 * MINUTE_US, 4000)).astype(np.int64)
    return Series(stamps, daily(stamps))


def changing_step() -> Series:
    fast = steps(2000, MINUTE_US)
    stamps = np.concatenate([fast, fast[-1] + 15 * MINUTE_US * np.arange(1, 2001)])
    return Series(stamps, daily(stamps))


def longer_than_the_history() -> Series:
    stamps = steps(4000, MINUTE_US)
    return Series(stamps, 10 * np.sin(2 * np.pi * stamps / (10 * DAY_US)) + rng.normal(size=4000))


def white_noise() -> Series:
    return Series(steps(100_000, MINUTE_US), rng.normal(size=100_000))


HARD: list[Callable[[], Series]] = [
    mostly_missing,
    constant_then_alive,
    counter,
    at_the_limits,
    hardly_there,
    with_infinities,
    irregular,
    changing_step,
    longer_than_the_history,
    white_noise,
]


def judged(detector: Detector, hard: Series) -> tuple[FloatArray, int, int]:
    """Return the scores of the second half, how often an alarm begins, and how many points were learnt."""
    half = len(hard.values) // 2
    state = detector.fit(Group.of([(hard.timestamps[:half], hard.values[:half])]))
    learnt = int(state["points"][0])
    rows = np.zeros(len(hard.values) - half, np.int64)
    at = (rows, hard.timestamps[half:], hard.values[half:])
    if isinstance(detector, Streaming):
        told = detector.advance(state, *at)
        return told.scores.score, int(told.onset.sum()), learnt
    score = detector.score(state, *at).score
    return score, int((np.diff((score > 1).astype(int), prepend=0) > 0).sum()), learnt


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", HARD)
def test_a_hard_series_is_scored_or_was_not_learnt(name: str, make: Callable[[], Series]) -> None:
    detector, hard = make_detector(name, {}), make()
    score, _, learnt = judged(detector, hard)
    assert not np.isinf(score).any()
    is_there = ~np.isnan(hard.values[len(hard.values) // 2 :])
    if learnt >= detector.min_points:
        usable = is_there & (np.abs(hard.values[len(hard.values) // 2 :]) < 1e140)
        assert not np.isnan(score[usable]).any()
    assert np.isnan(score[~is_there]).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [mostly_missing, irregular, longer_than_the_history, hardly_there, changing_step])
def test_what_is_only_hard_does_not_alarm_all_the_time(name: str, make: Callable[[], Series]) -> None:
    score, alarms, _ = judged(make_detector(name, {}), make())
    assert alarms <= 2
    assert np.mean(np.nan_to_num(score) > 1) < 0.005


@pytest.mark.parametrize("name", FOLLOWING)
def test_white_noise_alarms_once_in_a_week_at_most(name: str) -> None:
    _, alarms, _ = judged(make_detector(name, {}), white_noise())
    assert alarms <= 5  # 50,000 minutes are five weeks


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_counter_that_starts_again_alarms_at_each_start_at_most(name: str) -> None:
    hard = counter()
    starts = int((np.diff(hard.values[2000:]) < 0).sum())
    _, alarms, _ = judged(make_detector(name, {}), hard)
    assert alarms <= starts


@pytest.mark.parametrize("name", NAMES)
def test_a_series_that_comes_alive_is_seen_at_once(name: str) -> None:
    score, alarms, _ = judged(make_detector(name, {}), constant_then_alive())
    assert not (score[:1000] > 1).any()
    assert (score[1000:1010] > 1).any()
    assert alarms >= 1


def office_hours(zone: str, first_us: int, days: int) -> Series:
    """A load between 9 and 17 o'clock of a zone."""
    stamps = first_us + 10 * MINUTE_US * np.arange(days * 144, dtype=np.int64)
    hour = to_local(stamps, zone) % DAY_US / HOUR_US
    return Series(stamps, 10.0 + 40.0 * ((hour >= 9) & (hour < 17)) + rng.normal(size=len(stamps)))


ZONED = [name for name in NAMES if "timezone" in make_detector(name, {}).hyperparameters()]


@pytest.mark.parametrize("name", ZONED)
@pytest.mark.parametrize(
    ("zone", "first_us"),
    [
        ("Europe/Lisbon", 1_772_409_600_000_000),  # four weeks before 29 March 2026, when the clocks go forward
        ("America/New_York", 1_759_276_800_000_000),  # a month before 2 November 2025, when they go back
    ],
)
def test_no_alarm_when_the_clocks_change_in_the_zone_of_the_series(name: str, zone: str, first_us: int) -> None:
    hard = office_hours(zone, first_us, 56)
    _, alarms, _ = judged(make_detector(name, {"timezone": zone}), hard)
    assert alarms <= 1


@pytest.mark.parametrize("name", ZONED)
def test_series_of_two_zones_are_learnt_side_by_side(name: str) -> None:
    detector = make_detector(name, {})
    two = [office_hours(zone, 1_780_272_000_000_000, 28) for zone in ("Asia/Tokyo", "America/Los_Angeles")]
    state = detector.fit(Group.of([(one.timestamps[:2016], one.values[:2016]) for one in two]))
    for row, one in enumerate(two):
        at = (np.full(2016, row, np.int64), one.timestamps[2016:], one.values[2016:])
        told = (
            detector.advance(state, *at).scores if isinstance(detector, Streaming) else detector.score(state, *at)
        )
        assert np.mean(told.score > 1) < 0.02
