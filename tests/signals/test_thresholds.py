"""Where thresholds lie: budgets of fleets, and what people said."""

import numpy as np
import pytest

from atalaia.core.anomalies import FeedbackKind
from atalaia.core.errors import Conflict, Missing
from atalaia.signals import thresholds as module
from atalaia.signals.rules import per_series_week
from atalaia.signals.statistics import StatisticsColumns
from atalaia.signals.store import thresholds as store
from atalaia.signals.store.anomalies import AnomalyRow

MINUTE = 60
DAY = 86_400


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Thresholds are found anew in every round."""
    monkeypatch.setattr(module, "_FIND_S", 0.0)
    monkeypatch.setattr(module, "_READ_S", 0.0)
    monkeypatch.setattr(module, "_SHARE", 1e9)


def spike(place, name, minute, value):
    place.send(
        (name, minute * MINUTE, 0.0), (name, (minute + 1) * MINUTE, value), (name, (minute + 2) * MINUTE, 0.0)
    )
    place.drain()


def say(place, kind, place_in_list=0):
    anomaly = place.anomalies()[place_in_list]
    with place.database.write() as session:
        return anomaly, place.signals.anomalies.give_feedback(session, anomaly.anomaly_id, kind, "")[1]


def told(place, name="a"):
    with place.database.read() as session:
        row = place.signals.catalogue.row(session, name)
        columns, _ = place.signals.memory.statistics(session)
        return place.signals.thresholds.of(session, row.number, row.fleet_id, columns)


def undo(place, change, name="a"):
    with place.database.write() as session:
        row = place.signals.catalogue.row(session, name)
        place.signals.thresholds.undo(session, row.number, name, change)


def test_noise_raises_the_threshold_so_that_the_same_does_not_come_again(open_place):
    place = open_place(close_after_points=1)
    spike(place, "a", 0, 13.0)
    one, change = say(place, FeedbackKind.NOISE)
    assert one.peak_score == pytest.approx(1.3)
    assert told(place).factor == pytest.approx(1.02 * 1.3)
    spike(place, "a", 10, 13.0)
    assert len(place.anomalies()) == 1
    spike(place, "b", 10, 13.0)  # nobody said anything of this one
    assert len(place.anomalies()) == 2
    undo(place, change)
    assert told(place).in_force == 1.0
    spike(place, "a", 20, 13.0)
    assert len(place.anomalies()) == 3


def test_useful_lowers_it_and_expected_does_not_move_it(open_place):
    place = open_place(close_after_points=1)
    spike(place, "a", 0, 13.0)
    assert say(place, FeedbackKind.EXPECTED)[1] is None
    assert told(place).factor == 1.0
    say(place, FeedbackKind.USEFUL)
    assert told(place).factor == pytest.approx(0.93)
    spike(place, "a", 10, 9.5)
    assert len(place.anomalies()) == 2


def test_who_says_otherwise_later_means_that(open_place):
    place = open_place(close_after_points=1)
    spike(place, "a", 0, 13.0)
    say(place, FeedbackKind.NOISE)
    _, change = say(place, FeedbackKind.USEFUL)
    assert told(place).factor == pytest.approx(0.93)
    assert [row.undone_at is None for row in told(place).changes] == [False, True]
    assert told(place).changes[1].id == change


def test_however_much_is_said_the_threshold_stays_within_bounds(open_place):
    place = open_place(close_after_points=1)
    for minute in range(0, 200, 10):
        spike(place, "a", minute, 5000.0)
        say(place, FeedbackKind.NOISE)
    assert told(place).in_force == 4.0
    with place.database.write() as session:
        row = place.signals.catalogue.row(session, "a")
        place.signals.thresholds.set_factor(session, row.number, "a", 0.5)
    assert told(place).factor == pytest.approx(0.5)


def test_an_unknown_change_and_one_that_was_taken_back_are_refused(open_place):
    place = open_place(close_after_points=1)
    spike(place, "a", 0, 13.0)
    _, change = say(place, FeedbackKind.NOISE)
    undo(place, change)
    with pytest.raises(Conflict):
        undo(place, change)
    with pytest.raises(Missing):
        undo(place, change + 1)
    spike(place, "b", 0, 13.0)
    _, other = say(place, FeedbackKind.NOISE)
    with pytest.raises(Missing):  # it is of another series
        undo(place, other)


def fill(place, names, days, per_day, peak, start=0.0):
    """Let series have so many episodes a day of a height."""
    points = []
    for day in range(days):
        for minute in range(0, 1440, 10):
            is_high = minute % (1440 // per_day) == 0 and minute > 0
            points += [(name, start + day * DAY + minute * MINUTE, peak if is_high else 0.1) for name in names]
    place.send(*points)
    place.drain()


def budget(place, fleet, **asked):
    with place.database.write() as session:
        columns, _ = place.signals.memory.statistics(session)
        of = (asked.get("per_day"), asked.get("sensitivity"))
        place.signals.thresholds.set_budget(session, fleet, *of, columns)
    with place.database.read() as session:
        return place.signals.thresholds.budget(session, fleet, columns)


def fleet(place, name, *series):
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, name, series)


def test_a_budget_moves_the_thresholds_of_its_fleet_alone(open_place):
    place = open_place(close_after_points=1)
    fill(place, ["a", "b", "c"], 6, 12, 8.0)
    fleet(place, "pumps", "a", "b")
    asked = budget(place, "pumps", per_day=0.02)
    assert (asked.per_day, asked.series_count, asked.sensitivity) == (0.02, 2, None)
    place.drain()
    found = place.scorer.thresholds
    assert found[1] == found[2] > 2.0
    assert (found[3:] == 1.0).all()
    assert told(place, "a").in_force == pytest.approx(found[1])
    assert told(place, "a").per_week == pytest.approx(0.07)
    assert told(place, "c").per_week is None
    spike(place, "a", 100_000, 15.0)
    assert place.anomalies() == []
    spike(place, "c", 100_000, 15.0)
    assert len(place.anomalies()) == 1


def test_a_sensitivity_is_so_many_alarms_a_series_and_week(open_place):
    assert per_series_week(0.8) == pytest.approx(1.0)
    assert per_series_week(1.0) == pytest.approx(10.0)
    assert per_series_week(0.2) == pytest.approx(0.001)
    place = open_place()
    place.send(*((name, 0, 0.0) for name in "abcdefg"))
    place.drain()
    fleet(place, "pumps", *"abcdefg")
    assert budget(place, "pumps", sensitivity=0.8).per_day == pytest.approx(1.0)


def test_a_setting_promises_for_all_that_have_no_budget(open_place):
    place = open_place(false_alarms_per_week=0.05)
    fill(place, ["a", "b"], 6, 12, 8.0)
    place.drain()
    assert place.scorer.thresholds[1] > 2.0
    assert told(place, "b").per_week == 0.05


def test_the_follower_that_takes_over_and_those_who_only_read_have_the_same_thresholds(open_place):
    place = open_place()
    fill(place, ["a", "b"], 6, 12, 8.0)
    fleet(place, "pumps", "a", "b")
    budget(place, "pumps", per_day=0.02)
    place.send(("a", 20 * DAY, 0.0))
    place.drain()
    before = place.scorer.thresholds
    place.store()
    place.begin_again()
    place.scorer.thresholds = np.ones(0)
    place.signals.share()
    np.testing.assert_allclose(place.scorer.thresholds, before)
    place.scorer.thresholds = np.ones(0)
    place.begin_again()
    place.send(("a", 21 * DAY, 0.0))
    place.drain()
    np.testing.assert_allclose(place.scorer.thresholds, before, rtol=0.05)


def test_too_many_alarms_move_the_thresholds_of_the_fleet_day_by_day_until_they_are_as_promised(open_place):
    place = open_place(close_after_points=1)
    place.send(("a", 0, 0.0))
    place.drain()
    fleet(place, "pumps", "a")
    budget(place, "pumps", per_day=1.0)
    corrections = []
    for day in range(12):
        fill(place, ["a"], 1, 24, 40.0, start=MINUTE + day * DAY)
        with place.database.read() as session:
            corrections.append(session.get_one(store.BudgetRow, "pumps").correction)
    assert corrections == sorted(corrections)
    assert 1.2 < corrections[-1] <= 4.0
    with place.database.read() as session:
        columns, _ = place.signals.memory.statistics(session)
        shown = place.signals.thresholds.budget(session, "pumps", columns)
    assert shown.days == 7
    assert shown.alarms == pytest.approx(7 * 23, abs=3)
    (line,) = [
        line for line in place.telemetry.render().decode().splitlines() if line.startswith("alarm_budget_re")
    ]
    assert float(line.split()[1]) == pytest.approx(shown.alarms / 7)


def test_alarms_that_were_useful_are_not_counted_against_the_budget(open_place):
    place = open_place(close_after_points=1)
    place.send(("a", 0, 0.0))
    place.drain()
    fleet(place, "pumps", "a")
    budget(place, "pumps", per_day=1.0)
    for minute in (10, 30, 50):
        spike(place, "a", minute, 60.0)
    place.send(("a", 2 * DAY, 0.0))
    place.drain()
    say(place, FeedbackKind.USEFUL)
    say(place, FeedbackKind.NOISE, 1)
    with place.database.read() as session:
        columns, _ = place.signals.memory.statistics(session)
        assert place.signals.thresholds.budget(session, "pumps", columns).alarms == 2
    with place.database.write() as session:
        session.query(AnomalyRow).order_by(AnomalyRow.opened_at).first().part = "flat"
    with place.database.read() as session:
        assert place.signals.thresholds.budget(session, "pumps", columns).alarms == 1


def test_a_budget_that_goes_gives_the_detectors_their_own_thresholds_back(open_place):
    place = open_place()
    assert b"alarm_budget_realised_ratio NaN" in place.telemetry.render()
    fill(place, ["a"], 6, 12, 8.0)
    fleet(place, "pumps", "a")
    budget(place, "pumps", per_day=0.01)
    place.drain()
    assert place.scorer.thresholds[1] > 2.0
    with place.database.write() as session:
        place.signals.thresholds.drop_budget(session, "pumps")
    place.drain()
    assert (place.scorer.thresholds == 1.0).all()
    with place.database.write() as session, pytest.raises(Missing):
        place.signals.thresholds.drop_budget(session, "pumps")


def test_tails_come_back_from_pages_and_are_forgotten_with_a_series(place):
    fill(place, ["a"], 2, 12, 8.0)
    columns = place.signals.memory.live
    assert columns.tails.episodes[1] > 10
    back = StatisticsColumns()
    back.put_page(0, columns.page_bytes(0))
    assert [column[1] for column in back.tails] == [column[1] for column in columns.tails]
    columns.blank(np.array([1], np.int32))
    assert all(column[1] == 0 for column in columns.tails)
