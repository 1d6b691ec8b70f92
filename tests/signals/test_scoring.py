import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.anomalies import AnomalyState
from atalaia.core.clock import from_us
from atalaia.core.facts import AnomalyClosed, AnomalyOpened
from atalaia.core.points import Group
from atalaia.core.scores import ModelRef
from atalaia.kit.database import Database
from atalaia.signals import scoring as module
from atalaia.signals.store.anomalies import PENDING, AnomalyRow
from tests.signals.builders import ThresholdScorer, free_lease, us
from tests.signals.scorers import Failing, Interrupted, OneModel

MINUTE = 60


def run(name, values, start=0):
    """Return one point a minute."""
    return [(name, (start + i) * MINUTE, float(value)) for i, value in enumerate(values)]


def brief(anomaly):
    first, last = (
        (moment - from_us(us(0))).total_seconds() / MINUTE for moment in (anomaly.opened_at, anomaly.last_at)
    )
    return anomaly.series_id, anomaly.state.value, first, last, anomaly.points


def rows(place):
    with place.database.read() as session:
        return session.query(AnomalyRow).all()


# statistics


def test_statistics_are_those_of_numpy_however_the_points_arrive(place):
    values = np.random.default_rng(3).normal(1e6, 0.5, 300)
    for part in np.array_split(np.arange(300), 7):
        place.send(*(("a", int(i) * MINUTE, values[i]) for i in part))
        place.drain()
    said = place.series("a")
    assert said.received == said.statistics.count == 300
    assert said.statistics.mean == pytest.approx(values.mean(), rel=1e-12)
    assert said.statistics.std == pytest.approx(values.std(ddof=1), rel=1e-6)
    assert said.statistics.last_value == values[-1]
    assert said.step_s == pytest.approx(MINUTE)
    assert (said.first_at, said.last_at) == (from_us(us(0)), from_us(us(299 * MINUTE)))


def test_a_single_point_has_no_spread_and_no_step(place):
    place.send(("a", 0, 5.0))
    assert place.series("a").first_at is None
    place.drain()
    said = place.series("a")
    assert (said.statistics.count, said.statistics.std, said.step_s) == (1, 0.0, None)


def test_the_largest_numbers_leave_finite_statistics(place):
    place.send(("a", 0, 1e100), ("a", 1, -1e100), ("a", 2, 1e100))
    place.drain()
    said = place.series("a").statistics
    assert math.isfinite(said.mean)
    assert said.std == pytest.approx(np.std([1e100, -1e100, 1e100], ddof=1))


def test_a_time_at_the_very_beginning_counts(place):
    place.send(("a", -us(0) / 1e6, 1.0))
    place.drain()
    assert place.series("a").first_at == from_us(0)
    place.send(("a", -us(0) / 1e6, 2.0))
    place.drain()
    assert place.series("a").statistics.count == 1


def test_late_and_repeated_points_raise_no_alarm_and_teach_nothing(place):
    place.send(*run("a", [1, 2, 3, 4]))
    place.drain()
    before = place.series("a")
    place.send(("a", 1 * MINUTE, 99.0), ("a", 3 * MINUTE, 99.0), ("a", 0.5 * MINUTE, 99.0))
    place.drain()
    after = place.series("a")
    assert after.statistics == before.statistics
    assert (after.received, after.last_at) == (7, before.last_at)
    assert place.anomalies() == []
    points = place.signals.history.read([after.number], 0, us(1e6))
    assert points.values.tolist() == [1.0, 99.0, 99.0, 3.0, 99.0]


def test_late_points_teach_nothing_even_if_they_wait_beside_those_they_are_late_for(place):
    place.send(*run("a", [1, 2, 3, 4]))
    place.send(("a", 1 * MINUTE, 99.0), ("a", 3 * MINUTE, 99.0))
    place.drain()
    assert place.series("a").statistics.mean == 2.5
    assert place.anomalies() == []


def test_inside_a_batch_order_means_nothing_and_the_last_of_the_same_point_wins(place):
    place.send(("a", 120, 3.0), ("a", 0, 99.0), ("a", 60, 2.0), ("a", 0, 1.0))
    place.drain()
    said = place.series("a")
    assert (said.statistics.count, said.statistics.mean, said.statistics.last_value) == (3, 2.0, 3.0)
    assert said.received == 4
    assert place.anomalies() == []


# anomalies


def test_an_anomaly_opens_grows_and_closes_across_drains(open_place):
    place = open_place(close_after_points=3)
    seen = []
    for start, values in ((0, [1, 20]), (2, [30, 2, 25]), (5, [1, 1]), (7, [1, 1])):
        place.send(*run("a", values, start))
        place.drain()
        seen.append([brief(one) for one in place.anomalies()])
    assert seen == [
        [("a", "open", 1, 1, 1)],
        [("a", "open", 1, 4, 3)],
        [("a", "open", 1, 4, 3)],
        [("a", "closed", 1, 4, 3)],
    ]
    (one,) = place.anomalies()
    assert one.closed_at == one.last_at
    assert len(rows(place)) == 1


def test_what_an_anomaly_says_is_of_its_peak(place):
    place.send(*run("a", [20]))
    place.drain()
    place.send(*run("a", [-35, 15], 1))
    place.drain()
    place.send(*run("a", [12], 3))
    place.drain()
    (one,) = place.anomalies()
    assert (one.peak_at, one.peak_score, one.seen) == (from_us(us(MINUTE)), 3.5, -35.0)
    assert (one.explanation.expected, one.explanation.lower, one.explanation.upper) == (0.0, -10.0, 10.0)
    assert (one.explanation.part, one.explanation.text) == ("level", "-35 is far from 0")
    assert one.model == ModelRef("fleet:all", "v1", "plain")
    assert one.anomaly_id.startswith("anm_")


def test_several_anomalies_fit_into_one_drain(open_place):
    place = open_place(close_after_points=2)
    place.send(*run("a", [20, 0, 0, 30, 0, 0, 40]))
    place.send(*run("b", [0, 50, 0, 0]))
    place.drain()
    assert [brief(one) for one in place.anomalies()] == [
        ("a", "open", 6, 6, 1),
        ("a", "closed", 3, 3, 1),
        ("b", "closed", 1, 1, 1),
        ("a", "closed", 0, 0, 1),
    ]


def test_a_series_without_a_model_has_no_anomalies_but_statistics(open_place):
    place = open_place(ThresholdScorer(strangers=frozenset({1})))
    place.send(*run("a", [99, 99]), *run("b", [99]))
    place.drain()
    assert [one.series_id for one in place.anomalies()] == ["b"]
    assert place.series("a").statistics.count == 2


def test_an_open_anomaly_waits_while_no_model_has_an_opinion(open_place):
    place = open_place(close_after_points=1)
    place.send(*run("a", [99]))
    place.drain()
    place.begin_again(ThresholdScorer(strangers=frozenset({1})))
    place.send(*run("a", [0, 0, 0], 1))
    place.drain()
    assert [one.state for one in place.anomalies()] == [AnomalyState.OPEN]


def test_facts_are_told_once_and_in_order(open_place):
    place = open_place(close_after_points=1)
    place.send(*run("a", [20, 30]))
    place.drain()
    place.send(*run("a", [25, 0, 40, 0], 2))
    place.drain()
    later, first = (one.anomaly_id for one in place.anomalies())
    assert place.told == [
        AnomalyOpened(first, "a", 3.0),
        AnomalyClosed(first, "a", 3.0),
        AnomalyOpened(later, "a", 4.0),
        AnomalyClosed(later, "a", 4.0),
    ]
    assert place.outbox.deliver() == 0
    assert b"anomalies_opened_total 2.0" in place.telemetry.render()


# intervals too short to be an anomaly yet


def test_a_pending_interval_outlives_the_process_and_opens_with_its_first_point(open_place):
    place = open_place(open_after_points=3)
    place.send(*run("a", [50, 20]))
    place.drain()
    assert (place.anomalies(), place.told) == ([], [])
    assert [row.state for row in rows(place)] == [PENDING]
    place.begin_again()
    place.send(*run("a", [30], 2))
    place.drain()
    (one,) = place.anomalies()
    assert brief(one) == ("a", "open", 0, 2, 3)
    assert (one.peak_score, one.seen, one.explanation.text) == (5.0, 50.0, "50 is far from 0")
    assert place.told == [AnomalyOpened(one.anomaly_id, "a", 5.0)]


def test_a_pending_interval_fizzles_out_without_a_trace(open_place):
    place = open_place(open_after_points=3)
    place.send(*run("a", [50, 20]))
    place.drain()
    place.send(*run("a", [0], 2))
    place.drain()
    assert (rows(place), place.told) == ([], [])


def test_a_pending_interval_that_fizzles_makes_way_for_the_next(open_place):
    place = open_place(open_after_points=2, close_after_points=1)
    place.send(*run("a", [50]))
    place.drain()
    place.send(*run("a", [0, 20, 30, 0, 40], 1))
    place.drain()
    (one,) = place.anomalies()
    assert brief(one) == ("a", "closed", 2, 3, 2)
    assert (one.seen, one.peak_score) == (30.0, 3.0)
    assert sorted(row.state for row in rows(place)) == ["closed", PENDING]
    assert [type(fact) for fact in place.told] == [AnomalyOpened, AnomalyClosed]


# exactly once


def test_a_second_drain_finds_nothing_to_do(place):
    place.send(*run("a", [99]))
    assert place.signals.lag() == 1
    assert place.signals.scoring.drain()
    assert not place.signals.scoring.drain()
    assert place.signals.lag() == 0
    assert (len(place.anomalies()), len(place.told)) == (1, 1)


def test_of_two_processes_that_score_at_once_one_is_too_late_and_nothing_doubles(place):
    place.send(*run("a", [1, 99, 1]))
    other = Database(place.database.url)

    def overtake():
        free_lease(place.database)
        place.drain()

    slow = place.scoring(other, Interrupted(overtake))
    place.send(*run("a", [2], 3))
    assert slow.drain()
    assert not slow.drain()
    other.close()
    said = place.series("a")
    assert (said.received, said.statistics.count) == (4, 4)
    assert (len(place.anomalies()), len(place.told)) == (1, 1)


def test_what_arrives_while_a_drain_scores_waits_for_the_next(place):
    place.send(*run("a", [1]))
    place.begin_again(Interrupted(lambda: place.send(*run("a", [99], 1))))
    assert place.signals.scoring.drain()
    assert place.signals.lag() == 1
    assert place.signals.scoring.drain()
    assert place.series("a").statistics.count == 2
    assert len(place.anomalies()) == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_scorer_that_breaks_leaves_everything_as_it_was(place, late):
    place.send(*run("a", [1, 99]), *run("b", [99]))
    place.begin_again(Failing(late))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            place.signals.scoring.drain()
        said = place.series("a")
        assert (said.received, said.statistics.count) == (0, 0)
        assert (place.signals.lag(), rows(place), place.told) == (1, [], [])
    place.begin_again(ThresholdScorer())
    place.drain()
    assert len(place.anomalies()) == 2
    assert place.series("a").statistics.count == 2


def test_a_long_tail_is_scored_in_parts(place, monkeypatch):
    monkeypatch.setattr(module, "DRAIN_POINTS", 5)
    for part in range(4):
        place.send(*run("a", [1, 1, 1], part * 3))
    assert place.signals.scoring.drain()
    assert place.signals.lag() == 3
    place.drain()
    assert [len(block) for block in place.scorer.blocks] == [3, 3, 3, 3]
    place.send(*run("a", [1] * 9, 12))
    assert place.signals.scoring.drain()
    assert place.signals.lag() == 0


def test_many_series_are_scored_together(place):
    names = [f"s{i}" for i in range(2_000)]
    place.send(*((name, MINUTE, 99.0 if i % 100 == 0 else 1.0) for i, name in enumerate(names)))
    place.send(*((name, 2 * MINUTE, 1.0) for name in reversed(names)))
    place.drain()
    assert len(place.scorer.blocks) == 1
    assert {one.series_id for one in place.anomalies()} == set(names[::100])
    assert place.series("s1999").statistics.count == 2


# with a real model


def test_a_trained_model_finds_a_shift_and_explains_it(open_place):
    rng = np.random.default_rng(5)
    times = np.arange(500) * MINUTE * 1_000_000
    histories = [(times, rng.normal(level, 1.0, 500)) for level in (1000.0, 10.0)]
    detector = make_detector("statistical", {"threshold_sigma": 4.0})
    place = open_place(OneModel(FleetModel.fit(detector, ["b", "a"], Group.of(histories))))
    place.send(*run("b", 1000 + rng.normal(0, 1, 50)), *run("a", [*(10 + rng.normal(0, 1, 20)), 25, 30, 10, 10]))
    place.drain()
    (one,) = place.anomalies()
    assert brief(one) == ("a", "open", 20, 21, 2)
    assert one.seen == 30.0
    assert one.peak_score == pytest.approx(5.0, rel=0.1)
    assert one.explanation.expected == pytest.approx(10.0, abs=0.2)
    assert one.explanation.lower < 10 < one.explanation.upper
    assert "30 is above the expected" in one.explanation.text
    assert one.model == ModelRef("fleet:pumps", "v1", "statistical")


# when it happens does not matter

BATCHES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.sampled_from([0.0, 5.0, 20.0, 40.0])),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=6,
)


def outcome(place, prefix, batches, drain_each):
    """Send the batches under names of their own; return what became of them."""
    for points in batches:
        place.send(*((prefix + name, minute, value) for name, minute, value in points))
        if drain_each:
            place.drain()
    place.drain()
    series = [place.series(name) for name in sorted({prefix + name for points in batches for name, *_ in points})]
    exact = [(s.statistics.count, s.statistics.last_value, s.received, s.last_at) for s in series]
    rounded = [value for s in series for value in (s.statistics.mean, s.statistics.std)]
    seen = [one for s in series for one in place.anomalies(series_id=s.series_id)]
    whole = [(*brief(one)[1:], one.seen, one.peak_at, one.closed_at) for one in seen]
    told = [type(fact) for s in series for fact in place.told if fact.series_id == s.series_id]
    return rounded, (exact, whole, told)


def test_it_does_not_matter_when_batches_are_scored(open_place):
    place = open_place(open_after_points=2, close_after_points=2)
    examples = count()

    @hypothesis_settings(max_examples=25)
    @given(BATCHES)
    def check(batches):
        example = next(examples)
        rounded, exact = outcome(place, f"{example} one by one ", batches, True)
        rounded_at_once, exact_at_once = outcome(place, f"{example} at once ", batches, False)
        assert exact == exact_at_once
        assert rounded == pytest.approx(rounded_at_once)

    check()
