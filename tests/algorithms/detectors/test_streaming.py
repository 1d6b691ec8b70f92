from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.core.clock import to_us
from atalaia.core.points import Group

MINUTE = 60_000_000
DAY = 1440 * MINUTE
# A Monday, midnight UTC.
MONDAY = 1_709_510_400_000_000
DETECTOR = StreamingProfile()


def times(days, step=5, start=MONDAY):
    return start + np.arange(int(days * 1440 // step), dtype=np.int64) * step * MINUTE


def noise(count, seed=1):
    return np.random.default_rng(seed).normal(size=count)


def office(timestamps, weekend=True):
    """100 from 9 to 17 o'clock, 10 otherwise; quiet on days off."""
    hour = timestamps % DAY // (60 * MINUTE)
    day = (timestamps - MONDAY) // DAY % 7
    busy = (hour >= 9) & (hour < 17) & (weekend | (day < 5))
    return np.where(busy, 100.0, 10.0) + noise(len(timestamps))


def learn(timestamps, values, detector=DETECTOR):
    return detector.fit(Group.of([(timestamps, values)]))


def advance(state, timestamps, values, detector=DETECTOR):
    values = np.broadcast_to(np.asarray(values, np.float64), timestamps.shape)
    return detector.advance(state, np.zeros(len(timestamps), np.int64), timestamps, values)


def judge(state, moment, value, detector=DETECTOR):
    return detector.score(state, np.zeros(1, np.int64), np.array([moment]), np.array([value]))


def part(state):
    return DETECTOR.parts[int(state["part"][0])]


def steady(days=7, step=5):
    """The state of a series that scatters by 1 around 10, and the moment behind it."""
    t = times(days, step)
    return learn(t, 10.0 + noise(len(t))), int(t[-1]) + step * MINUTE


class TestWhatIsLearnt:
    def test_the_same_value_is_normal_by_day_and_strange_by_night(self):
        t = times(7)
        state = learn(t, office(t))
        assert part(state) == "season_day"
        assert judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0).score[0] < 1.0
        assert judge(state, MONDAY + 7 * DAY + 180 * MINUTE, 100.0).score[0] > 5.0

    def test_a_stream_alone_teaches_the_same_without_any_history(self):
        t = times(7)
        state = DETECTOR.empty(1)
        advance(state, t, office(t))
        assert part(state) == "season_day"
        assert judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0).score[0] < 1.0
        assert judge(state, MONDAY + 7 * DAY + 180 * MINUTE, 100.0).score[0] > 1.0

    def test_weeks_teach_the_difference_between_saturday_and_monday(self):
        t = times(35, step=30)
        state = learn(t, office(t, weekend=False))
        assert part(state) == "season_week"
        noon = 35 * DAY + 720 * MINUTE
        assert judge(state, MONDAY + noon, 100.0).score[0] < 1.0
        assert judge(state, MONDAY + 5 * DAY + noon, 100.0).score[0] > 1.0
        assert judge(state, MONDAY + 5 * DAY + noon, 10.0).score[0] < 1.0

    @pytest.mark.parametrize("step", [1, 5, 60])
    def test_steps_of_minutes_and_hours_are_learnt_alike(self, step):
        t = times(14, step)
        state = learn(t, office(t))
        assert part(state) == "season_day"
        assert judge(state, MONDAY + 14 * DAY + 720 * MINUTE, 10.0).score[0] > 1.0

    def test_a_series_without_a_season_is_judged_by_its_level(self):
        state, _ = steady(14)
        assert part(state) == "level"

    def test_a_season_that_has_gone_is_dropped(self):
        t = times(7)
        state = learn(t, office(t))
        later = times(14, start=MONDAY + 7 * DAY)
        advance(state, later, 55.0 + noise(len(later)))
        assert part(state) == "level"

    def test_office_hours_stay_in_place_when_the_clocks_change(self):
        zone = "America/New_York"
        detector = replace(DETECTOR, timezone=zone)
        # Clocks there went forward on 10 March 2024; the history ends before.
        t = times(8, start=MONDAY - 3 * DAY)
        state = learn(t, office(t - 5 * 60 * MINUTE), detector)
        morning = to_us(datetime(2024, 3, 12, 9, 15, tzinfo=ZoneInfo(zone)))
        assert judge(state, morning, 100.0, detector).score[0] < 1.0
        assert judge(state, morning, 100.0, replace(DETECTOR, timezone="Etc/GMT+5")).score[0] > 1.0

    def test_the_level_follows_a_slow_drift_without_alarm(self):
        state, after = steady()
        t = times(10, start=after)
        advanced = advance(state, t, 10.0 + np.linspace(0.0, 20.0, len(t)) + noise(len(t), 2))
        assert advanced.onset.sum() == 0
        assert abs(judge(state, int(t[-1]), 30.0).expected[0] - 30.0) < 3.0

    def test_a_gap_of_a_month_costs_nothing(self):
        state, after = steady()
        advance(state, np.array([after + 30 * DAY]), 11.0)
        assert abs(judge(state, after, 10.0).expected[0] - 10.0) < 0.5

    def test_an_outage_in_the_history_does_not_teach_the_profile(self):
        t = times(7)
        values = office(t)
        values[600:800] = 1e7
        state = learn(t, values)
        assert part(state) == "season_day"
        assert abs(judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0).expected[0] - 100.0) < 5.0

    def test_huge_and_tiny_units_fit_into_the_state(self):
        t = times(7)
        for factor in (1e-9, 1e90):
            state = learn(t, office(t) * factor)
            assert judge(state, MONDAY + 7 * DAY + 720 * MINUTE, 100.0 * factor).score[0] < 1.0
            assert judge(state, MONDAY + 7 * DAY + 180 * MINUTE, 100.0 * factor).score[0] > 1.0

    def test_what_fills_a_third_of_each_day_is_no_alarm_for_long(self):
        state, after = steady()
        t = times(14, start=after)
        advanced = advance(state, t, office(t))
        assert advanced.onset[: 3 * 288].sum() > 0
        assert advanced.alarm[9 * 288 :].sum() == 0


class TestThreshold:
    @pytest.mark.parametrize("draw", ["normal", "laplace", "standard_t"])
    def test_it_follows_the_tail_of_the_series(self, draw):
        rng = np.random.default_rng(5)
        t = times(28, 1)
        values = getattr(rng, draw)(*([4.0] if draw == "standard_t" else []), size=len(t))
        detector = replace(DETECTOR, threshold_sigma=2.5, rarity_points=1000.0)
        state = learn(t, values, detector)
        late = times(14, 1, start=int(t[-1]) + MINUTE)
        fresh = getattr(rng, draw)(*([4.0] if draw == "standard_t" else []), size=len(late))
        share = (advance(state, late, fresh, detector).scores.score > 1.0).mean()
        # Normal noise is rarely beyond the 4 scales where the tail begins.
        assert (0.02 if draw == "normal" else 0.1) < share * 1000.0 < 4.0

    def test_a_series_that_alarms_often_gets_a_higher_one(self):
        state, after = steady()
        before = judge(state, after, 10.0).upper[0]
        t = times(7, start=after)
        values = 10.0 + noise(len(t), 3)
        values[::50] += 8.0
        advance(state, t, values)
        assert judge(state, int(t[-1]), 10.0).upper[0] > before + 1.0

    def test_it_is_never_less_than_the_least_one(self):
        _, after = steady()
        for sigma in (6.0, 12.0):
            detector = replace(DETECTOR, threshold_sigma=sigma, rarity_points=2.0)
            t = times(7)
            band = judge(learn(t, 10.0 + noise(len(t)), detector), after, 10.0, detector)
            assert band.upper[0] - band.expected[0] == pytest.approx(sigma, rel=0.15)


class TestAlarms:
    def test_an_outage_has_one_onset_and_lasts_until_quiet_points_came(self):
        state, after = steady()
        t = times(1, start=after)[:40]
        values = 10.0 + noise(40, 4)
        values[10:20] = 500.0
        advanced = advance(state, t, values)
        assert np.flatnonzero(advanced.onset).tolist() == [10]
        assert np.flatnonzero(advanced.alarm).tolist() == list(range(10, 24))
        assert state["times"][0, 2] == t[10]

    def test_a_lasting_new_level_is_accepted_after_a_day(self):
        state, after = steady()
        t = times(3, start=after)
        advanced = advance(state, t, 500.0 + noise(len(t), 4))
        assert advanced.onset.sum() == 1
        assert 288 <= advanced.alarm.sum() < 300
        assert abs(judge(state, int(t[-1]), 500.0).expected[0] - 500.0) < 2.0
        assert judge(state, int(t[-1]), 10.0).score[0] > 1.0

    def test_what_was_learnt_from_few_points_is_believed_for_as_few(self):
        state = DETECTOR.empty(1)
        t = times(1)[:80]
        values = np.where(np.arange(80) < 20, 10.0, 500.0) + noise(80)
        advanced = advance(state, t, values)
        assert advanced.onset[20]
        assert advanced.alarm.sum() < 40
        assert not advanced.alarm[-1]

    def test_nothing_is_learnt_during_an_alarm(self):
        state, after = steady()
        advance(state, np.array([after]), 500.0)
        kept = {name: state[name].copy() for name in ("day", "week")}
        level = state["levels"][0, 0]
        advance(state, after + np.arange(1, 50) * MINUTE, 500.0)
        assert state["levels"][0, 0] == level
        for name, array in kept.items():
            assert array.tobytes() == state[name].tobytes()

    def test_two_of_three_points_may_be_asked_for(self):
        detector = replace(DETECTOR, open_points=2, open_window=3)
        t = times(7)
        state = learn(t, 10.0 + noise(len(t)), detector)
        later = times(1, start=int(t[-1]) + 5 * MINUTE)[:20]
        values = np.full(20, 10.0)
        values[[3, 10, 12]] = 500.0
        assert np.flatnonzero(advance(state, later, values, detector).onset).tolist() == [12]

    def test_a_window_that_is_too_short_is_as_long_as_it_must_be(self):
        detector = replace(DETECTOR, open_points=3, open_window=1)
        t = times(7)
        state = learn(t, 10.0 + noise(len(t)), detector)
        later = times(1, start=int(t[-1]) + 5 * MINUTE)[:5]
        assert np.flatnonzero(advance(state, later, 500.0, detector).onset).tolist() == [2]

    def test_late_missing_and_infinite_points_are_scored_and_leave_the_alarm_as_it_is(self):
        state, after = steady()
        advance(state, np.array([after]), 500.0)
        kept = {name: array.copy() for name, array in state.items()}
        t = np.array([after, after - MINUTE, after + MINUTE, after + 2 * MINUTE])
        advanced = advance(state, t, [500.0, 10.0, np.nan, np.inf])
        assert (advanced.scores.score[[0, 3]] > 1.0).all()
        assert advanced.scores.score[1] < 1.0
        assert np.isnan(advanced.scores.score[2])
        assert advanced.alarm.all()
        assert not advanced.onset.any()
        for name, array in kept.items():
            assert array.tobytes() == state[name].tobytes()


class TestWhatTheLastPointsSay:
    """Of a series that scatters by 1: no value alone is strange before it is 20 scales off."""

    WATCHFUL = replace(DETECTOR, threshold_sigma=20.0, rarity_points=10.0)

    def follow(self, deviations):
        t = times(7)
        state = learn(t, 10.0 + noise(len(t)), self.WATCHFUL)
        later = times(1, start=int(t[-1]) + 5 * MINUTE)[: len(deviations)]
        return state, later, advance(state, later, 10.0 + np.asarray(deviations), self.WATCHFUL)

    @pytest.mark.parametrize(
        ("part", "deviations"),
        [
            ("shift", 6.0 + 0.5 * noise(20, 4)),
            ("jump", 6.0 * (-1.0) ** np.arange(20)),
            ("spread", 4.0 * noise(20, 4)),
        ],
    )
    def test_points_that_are_strange_together_alarm_where_none_is_alone(self, part, deviations):
        _, _, advanced = self.follow(deviations)
        strange = advanced.scores.score > 1.0
        assert advanced.onset.sum() >= 1
        assert part in {DETECTOR.parts[one] for one in advanced.scores.part[strange]}
        assert set(advanced.scores.part[~strange]) == {0}

    def test_a_value_that_is_strange_alone_is_not_told_of_the_others(self):
        _, _, advanced = self.follow([5.0, 5.0, 5.0, 500.0])
        assert DETECTOR.parts[advanced.scores.part[-1]] == "level"

    def test_they_narrow_the_band_and_never_close_it(self):
        _, _, advanced = self.follow([*noise(5, 4), *np.full(30, 1e9), *noise(30, 5)])
        widths = advanced.scores.upper - advanced.scores.lower
        assert (widths[7:40] < 0.5 * widths[0]).all()
        assert (widths > 0.1 * widths[0]).all()
        expected = advanced.scores.expected
        state, later, _ = self.follow([*noise(5, 4), *np.full(30, 1e9)])
        assert judge(state, int(later[-1]) + 5 * MINUTE, expected[35], self.WATCHFUL).score[0] < 1.0

    def test_they_are_forgotten_after_a_gap_and_do_not_count_for_points_before_them(self):
        state, later, _ = self.follow(np.full(10, 5.0))

        def width(moment):
            band = judge(state, moment, 10.0, self.WATCHFUL)
            return band.upper[0] - band.lower[0]

        soon, wide = width(int(later[-1]) + 5 * MINUTE), width(int(later[-1]) + DAY)
        assert soon < 0.5 * wide
        assert width(int(later[-1])) == wide

    def test_what_is_expected_follows_the_last_hour(self):
        state, later, _ = self.follow(np.full(24, 3.0))
        assert judge(state, int(later[-1]) + 5 * MINUTE, 10.0).expected[0] > 11.0
        assert judge(state, int(later[-1]) + DAY, 10.0).expected[0] < 10.6

    def test_a_series_that_always_jumps_is_used_to_it(self):
        t = times(14)
        values = 10.0 + 4.0 * (-1.0) ** np.arange(len(t)) + noise(len(t))
        state = learn(t, values, self.WATCHFUL)
        later = times(1, start=int(t[-1]) + 5 * MINUTE)
        usual = advance(
            state, later, 10.0 + 4.0 * (-1.0) ** np.arange(len(later)) + noise(len(later), 2), self.WATCHFUL
        )
        assert usual.onset.sum() <= 1


def test_a_state_from_before_there_were_views_goes_on_and_gets_them():
    state, after = steady()
    state["views"][...] = 0.0
    assert judge(state, after, 10.0).score[0] < 1.0
    assert judge(state, after, 30.0).score[0] > 1.0
    t = times(1, start=after)
    advanced = advance(state, t, 10.0 + noise(len(t), 2))
    assert not advanced.alarm.any()
    assert (state["views"][0, [0, 1, 2, 3, 16]] > 0.0).all()


MOMENTS = st.integers(-3, 200_000).map(lambda minutes: minutes * MINUTE)
VALUES = st.one_of(
    st.floats(-10, 10), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e100, -1e100, 1e300]), st.floats()
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), MOMENTS, VALUES), max_size=80),
    st.lists(st.integers(0, 80), max_size=5),
    st.booleans(),
)
def test_however_a_stream_is_cut_states_and_answers_are_the_same_to_the_last_bit(points, cuts, in_time):
    points = sorted(points, key=lambda point: point[1]) if in_time else points
    rows = np.array([point[0] for point in points], np.int64)
    timestamps = np.array([MONDAY + point[1] for point in points], np.int64)
    values = np.array([point[2] for point in points], np.float64)
    whole, parts = DETECTOR.empty(3), DETECTOR.empty(3)
    at_once = DETECTOR.advance(whole, rows, timestamps, values)
    edges = sorted({0, len(points), *(min(cut, len(points)) for cut in cuts)})
    answers = [
        DETECTOR.advance(parts, rows[low:high], timestamps[low:high], values[low:high])
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    for name, array in whole.items():
        assert array.tobytes() == parts[name].tobytes()
        assert not np.isnan(array).any()
    for name in ("score", "expected", "lower", "upper", "part"):
        joined = [getattr(answer.scores, name) for answer in answers] or [np.empty(0)]
        np.testing.assert_array_equal(np.concatenate(joined), getattr(at_once.scores, name))
    for name in ("onset", "alarm"):
        joined = [getattr(answer, name) for answer in answers] or [np.empty(0)]
        np.testing.assert_array_equal(np.concatenate(joined), getattr(at_once, name))


@pytest.mark.parametrize(("minutes", "expected"), [(10, 2002), (30, 1234), (60, 1042)])
def test_a_series_takes_as_many_bytes_as_the_documentation_says(minutes, expected):
    state = replace(DETECTOR, bucket_minutes=minutes).empty(10)
    assert sum(array.nbytes for array in state.values()) == 10 * expected


@pytest.mark.parametrize("row", [-1, 1])
def test_a_row_that_is_no_series_is_refused(row):
    state, after = steady()
    points = np.array([row]), np.array([after]), np.array([1.0])
    with pytest.raises(IndexError, match="not the position"):
        DETECTOR.score(state, *points)
    with pytest.raises(IndexError, match="not the position"):
        DETECTOR.advance(state, *points)


def test_a_history_is_learnt_in_parts_as_it_is_at_once(monkeypatch):
    t = times(2)
    group = Group.of((t[:count], office(t[:count])) for count in (0, 576, 20, 5, 300, 0))
    whole = DETECTOR.fit(group)
    monkeypatch.setattr("atalaia.algorithms.detectors.streaming._FIT_POINTS", 100)
    for name, array in DETECTOR.fit(group).items():
        assert array.tobytes() == whole[name].tobytes()
    assert whole["points"].tolist() == [0, 576, 20, 5, 300, 0]
