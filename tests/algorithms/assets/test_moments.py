"""Readings at steps of their own, early, late, seldom or never, come onto common moments."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.assets.moments import MOST_HELD, NEVER, Pace, moments
from atalaia.core.points import Group

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
MANY = 100_000


def read(seconds, values=None):
    """Return readings of one sensor, so many seconds after the start."""
    stamps = START + (np.asarray(seconds, np.float64) * SECOND).astype(np.int64)
    return stamps, np.arange(len(stamps), dtype=np.float64) if values is None else np.asarray(values, np.float64)


def brought(*sensors, most=MANY):
    group = Group.of(sensors)
    pace = Pace.of(group)
    times, values = moments(group, pace, most)
    return pace, (times - START) / SECOND, values


def test_sensors_read_together_keep_their_readings():
    pace, times, values = brought(read(range(5)), read(range(5), [9, 8, 7, 6, 5]))
    assert (pace.step_us, pace.spans.tolist(), pace.holds.tolist()) == (SECOND, [1, 1], [1, 1])
    assert times.tolist() == [0, 1, 2, 3, 4]
    assert values.T.tolist() == [[0, 1, 2, 3, 4], [9, 8, 7, 6, 5]]


def test_readings_a_bit_early_or_late_stay_at_their_moment():
    seconds = 60.0 * np.arange(200) + np.random.default_rng(3).uniform(-20.0, 20.0, 200)
    pace, times, values = brought(read(60.0 * np.arange(200)), read(seconds))
    assert abs(pace.step_us - 60 * SECOND) < SECOND
    assert values[:, 1].tolist() == list(range(200))
    assert len(times) == 200


def test_of_two_steps_the_shorter_counts_and_the_slow_one_is_held():
    pace, _, values = brought(read(range(40)), read(range(0, 40, 10)))
    assert (pace.step_us, pace.spans.tolist(), pace.holds.tolist()) == (SECOND, [1, 10], [1, 10])
    assert values[:, 1].tolist() == np.repeat([0.0, 1.0, 2.0, 3.0], 10).tolist()


def test_of_several_readings_at_one_moment_the_mean_counts():
    fast = read(np.arange(0, 30, 0.25))
    pace, _, values = brought(fast, read(range(30)), read(range(30)))
    assert (pace.step_us, pace.spans.tolist()) == (SECOND, [0, 1, 1])
    inner = values[1:-1, 0]
    assert np.allclose(np.diff(inner), 4.0)


def test_a_gap_is_bridged_for_as_long_as_a_reading_holds_and_no_longer():
    kept = [s for s in range(60) if not 20 <= s < 40]
    _, times, values = brought(read(range(60)), read(kept))
    missing = times[np.isnan(values[:, 1])]
    assert missing.tolist() == list(range(21, 40))


def test_moments_without_any_reading_are_none():
    seconds = [*range(10), *range(86_400 * 300, 86_400 * 300 + 10)]
    _, times, values = brought(read(seconds), read(seconds))
    assert times.tolist() == seconds
    assert not np.isnan(values).any()


def test_a_sensor_that_is_hardly_ever_read_makes_no_moment_for_itself():
    rng = np.random.default_rng(1)
    seldom = np.sort(rng.choice(10_000, 100, replace=False))
    pace, times, values = brought(read(range(10_000)), read(seldom))
    assert pace.step_us == SECOND
    assert pace.holds.tolist() == [1, MOST_HELD]
    assert len(times) == 10_000
    assert 0.85 < np.isnan(values[:, 1]).mean() < 0.95


@pytest.mark.parametrize("sensors", [[], [read([])], [read([]), read([])]])
def test_of_nothing_there_are_no_moments(sensors):
    pace, times, values = brought(*sensors)
    assert (len(times), values.shape) == (0, (0, len(sensors)))
    assert pace.last_us.tolist() == [NEVER] * len(sensors)
    pace.check()


def test_one_reading_is_one_moment():
    pace, times, values = brought(read([3.0], [7.0]), read([]))
    assert times.tolist() == [3.0]
    assert values[0, 0] == 7.0
    assert np.isnan(values[0, 1])
    pace.check()


def test_what_is_no_number_is_no_reading():
    _, _, values = brought(read(range(4), [1, np.nan, np.inf, 4]), read(range(4)))
    assert values[:, 0].tolist()[:2] == [1, 1]
    assert np.isnan(values[2, 0])
    assert values[3, 0] == 4


def test_only_the_newest_moments_are_returned():
    _, times, values = brought(read(range(100)), read(range(100)), most=7)
    assert times.tolist() == list(range(93, 100))
    assert values[:, 0].tolist() == list(range(93, 100))


@pytest.mark.parametrize(
    "change",
    [
        {"step_us": 0},
        {"step_us": 2**60},
        {"origin_us": -1},
        {"origin_us": SECOND},
        {"spans": np.array([-1])},
        {"holds": np.array([0])},
        {"holds": np.array([MOST_HELD + 1])},
        {"last_us": np.array([-2])},
    ],
)
def test_what_is_no_pace_is_refused(change):
    ones = np.ones(1, np.int64)
    given: dict[str, Any] = {"step_us": SECOND, "origin_us": 0, "spans": ones, "holds": ones, "last_us": ones}
    Pace(**given).check()
    with pytest.raises(ValueError, match="no step|no time"):
        Pace(**(given | change)).check()


STAMPS = st.lists(st.integers(0, 2**51), unique=True, max_size=30).map(sorted)


@given(st.lists(STAMPS, max_size=4), st.integers(1, 50))
def test_whatever_the_times_each_reading_counts_once(sensors, most):
    group = Group.of((np.array(s, np.int64), np.ones(len(s))) for s in sensors)
    pace = Pace.of(group)
    pace.check()
    times, values = moments(group, pace, most)
    assert len(times) <= most
    assert values.shape == (len(times), len(sensors))
    assert (np.diff(times) > 0).all()
    assert (np.diff(times) % pace.step_us == 0).all()
    assert not np.isnan(values).all(axis=1).any()
    assert set(np.unique(values[~np.isnan(values)]).tolist()) <= {1.0}
    if len(group.timestamps):
        assert abs(times[-1] - group.timestamps.max()) <= pace.step_us
