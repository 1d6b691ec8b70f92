from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from atalaia.algorithms.detectors.seasonal import SeasonalProfile
from atalaia.core.clock import to_us
from atalaia.core.points import Group

MINUTE = 60_000_000
DAY = 1440 * MINUTE
# A Monday, midnight UTC.
MONDAY = 1_709_510_400_000_000
DETECTOR = SeasonalProfile(threshold_sigma=4.0)


def times(days, step=5):
    return MONDAY + np.arange(days * 1440 // step, dtype=np.int64) * step * MINUTE


def office(timestamps, weekend=True):
    """100 from 9 to 17 o'clock, 10 otherwise; quiet on days off."""
    hour = timestamps % DAY // (60 * MINUTE)
    day = (timestamps - MONDAY) // DAY % 7
    busy = (hour >= 9) & (hour < 17) & (weekend | (day < 5))
    return np.where(busy, 100.0, 10.0) + np.random.default_rng(1).normal(size=len(timestamps))


def learn(timestamps, values, detector=DETECTOR):
    return detector.fit(Group.of([(timestamps, values)]))


def judge(state, moment, value, detector=DETECTOR):
    return detector.score(state, np.zeros(1, np.int64), np.array([moment]), np.array([value]))


def part(state):
    return DETECTOR.parts[int(state["season"][0])]


def test_the_same_value_is_normal_by_day_and_strange_by_night():
    t = times(7)
    state = learn(t, office(t))
    assert part(state) == "season_day"
    assert judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0).score[0] < 1.0
    assert judge(state, MONDAY + 7 * DAY + 180 * MINUTE, 100.0).score[0] > 10.0


def test_a_missing_rush_hour_is_strange():
    t = times(7)
    assert judge(learn(t, office(t)), MONDAY + 8 * DAY + 720 * MINUTE, 10.0).score[0] > 10.0


def test_two_weeks_teach_the_difference_between_saturday_and_monday():
    t = times(14)
    state = learn(t, office(t, weekend=False))
    assert part(state) == "season_week"
    noon = 14 * DAY + 720 * MINUTE
    assert judge(state, MONDAY + noon, 100.0).score[0] < 1.0
    assert judge(state, MONDAY + 5 * DAY + noon, 10.0).score[0] < 1.0
    assert judge(state, MONDAY + 5 * DAY + noon, 100.0).score[0] > 1.0


def test_less_than_two_weeks_teach_no_week_and_less_than_three_days_no_day():
    t = times(14)
    values = office(t, weekend=False)
    assert part(learn(t[:-1], values[:-1])) == "season_day"
    assert part(learn(t[: 3 * 288], values[: 3 * 288])) == "season_day"
    assert part(learn(t[: 3 * 288 - 1], values[: 3 * 288 - 1])) == "level"


def test_a_series_without_a_season_is_judged_by_its_level():
    t = times(14)
    values = np.random.default_rng(1).normal(5.0, 1.0, len(t))
    state = learn(t, values)
    assert part(state) == "level"
    assert not state["day"].any()
    assert (state["day_scale"] == 1.0).all()


def test_each_time_of_day_has_its_own_scale():
    t = times(14)
    noise = np.random.default_rng(1).normal(size=len(t))
    night = t % DAY < 6 * 60 * MINUTE
    state = learn(t, np.where(night, 10.0 + 0.1 * noise, 50.0 + 5.0 * noise))
    assert judge(state, MONDAY + 15 * DAY + 180 * MINUTE, 20.0).score[0] > 1.0
    assert judge(state, MONDAY + 15 * DAY + 720 * MINUTE, 60.0).score[0] < 1.0


def test_an_outage_in_the_history_does_not_teach_the_profile():
    t = times(7)
    values = office(t)
    values[600:900] = 1e7
    state = learn(t, values)
    assert part(state) == "season_day"
    assert abs(judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0).expected[0] - 100.0) < 3.0


def test_a_time_of_day_that_was_never_seen_lies_between_its_neighbours():
    t = times(7)
    values = office(t)
    seen = (t % DAY < 600 * MINUTE) | (t % DAY >= 660 * MINUTE)
    state = learn(t[seen], values[seen])
    assert abs(judge(state, MONDAY + 8 * DAY + 630 * MINUTE, 100.0).expected[0] - 100.0) < 3.0


def test_office_hours_stay_in_place_when_the_clocks_change():
    zone = "America/New_York"
    detector = replace(DETECTOR, timezone=zone)
    # Clocks there went forward on 10 March 2024; the history ends before.
    t = times(5) - 2 * DAY
    local = t - 5 * 60 * MINUTE
    state = learn(t, office(local), detector)
    morning = to_us(datetime(2024, 3, 12, 9, 15, tzinfo=ZoneInfo(zone)))
    assert judge(state, morning, 100.0, detector).score[0] < 1.0
    assert judge(state, morning, 100.0, DETECTOR).expected[0] != judge(state, morning, 1.0, detector).expected[0]


@pytest.mark.parametrize("minutes", [10, 60, 240])
def test_the_state_takes_the_bytes_that_the_docstring_says(minutes):
    t = times(4)
    state = learn(t, office(t), SeasonalProfile(bucket_minutes=minutes))
    assert sum(array.nbytes for array in state.values()) == 24 + 1 + 4 * 168 + 8 * 1440 // minutes


def test_values_that_fit_no_profile_of_32_bits_are_survived():
    t = times(7)
    state = learn(t, office(t) * 1e100)
    score = judge(state, MONDAY + 7 * DAY, 1e101)
    assert np.isfinite([score.score[0], score.expected[0]]).all()


def test_tiny_values_are_survived():
    t = times(7)
    state = learn(t, office(t) * 1e-120)
    assert np.isfinite(judge(state, MONDAY + 7 * DAY, 0.0).score[0])
