"""Series that fall silent or flat, at moments that the test names."""

import numpy as np
import pytest

from atalaia.algorithms.artifacts import pack, unpack
from atalaia.core.clock import from_us
from atalaia.core.errors import Stale
from atalaia.signals import lapses as module
from atalaia.signals.explaining import Explaining
from atalaia.signals.explanation_schemas import AnomalyExplanationOut
from atalaia.signals.statistics import PAGE, StatisticsColumns
from tests.signals.builders import owner_of, us
from tests.signals.known_events import MINUTE, add, of_series
from tests.signals.test_explaining import PlainJudge

NOISE = np.random.default_rng(5).normal(0, 1, 5_000)


class Watch:
    """Signals whose clock the test sets, in minutes after the start; points arrive as they are measured."""

    def __init__(self, place, monkeypatch):
        self.place, self.minute = place, 0
        monkeypatch.setattr(module, "now_us", lambda: us(self.minute * MINUTE))
        monkeypatch.setattr(module, "_LOOK_S", 1e9)  # the test looks itself

    @property
    def lapses(self):
        return self.place.signals.scoring.lapses

    def send(self, start, values, *names):
        self.minute = start + len(values) - 1
        self.place.send(*((n, (start + i) * MINUTE, float(v)) for n in names for i, v in enumerate(values)))
        self.place.drain()

    def look(self, minute):
        self.minute = minute
        self.lapses.examine(owner_of(self.place.database), us(minute * MINUTE))
        return self.brief()

    def brief(self):
        found = [(a.series_id, a.explanation.part, a.state.value) for a in self.place.anomalies()]
        return sorted(found)


@pytest.fixture
def watch(place, monkeypatch):
    return Watch(place, monkeypatch)


def usual(watch, *names, minutes=300):
    for start in range(0, minutes, 5):
        watch.send(start, NOISE[start : start + 5], *names)


def test_a_series_that_stops_is_an_anomaly_until_it_sends_again(watch):
    usual(watch, "a", "b")
    assert watch.look(305) == []
    watch.send(300, NOISE[:40], "b")
    assert watch.look(339) == [("a", "missing", "open")]
    assert watch.look(345) == [("a", "missing", "open")]
    (anomaly,) = watch.place.anomalies()
    assert (anomaly.opened_at, anomaly.model.algorithm, anomaly.model.model_id) == (
        from_us(us(299 * MINUTE)),
        "habits",
        "catalogue",
    )
    assert "one comes every 0:01:00" in anomaly.explanation.text
    assert anomaly.peak_score > 1
    watch.send(345, [0.5], "a", "b")
    assert watch.look(346) == [("a", "missing", "closed")]
    assert watch.place.anomalies()[0].closed_at == from_us(us(345 * MINUTE))
    watch.place.outbox.deliver()
    assert [fact.name for fact in watch.place.told] == ["AnomalyOpened", "AnomalyClosed"]


def test_when_nobody_sends_it_is_one_notice_and_no_anomaly(watch):
    names = [f"s{i}" for i in range(50)]
    usual(watch, *names, minutes=220)
    assert watch.look(280) == []
    assert (watch.lapses.silent, watch.lapses.watched, watch.lapses.is_held) == (50, 50, True)
    watch.send(281, NOISE[:2], *names)
    assert (watch.look(283), watch.lapses.is_held, watch.lapses.silent) == ([], False, 0)


def test_those_that_stay_away_when_the_others_are_back_are_anomalies(watch):
    names = [f"s{i}" for i in range(50)]
    usual(watch, *names, minutes=220)
    watch.look(280)
    for start in range(281, 321, 2):
        watch.send(start, NOISE[:2], *names[2:])
    assert watch.look(321) == [("s0", "missing", "open"), ("s1", "missing", "open")]


def test_a_known_event_silences_the_silence(watch):
    usual(watch, "a", "b")
    add(watch.place, 310, 400, scope=of_series("a"))
    assert watch.look(340) == [("b", "missing", "open")]
    add(watch.place, 345, 400, scope=of_series("b"))
    assert watch.look(350) == [("b", "missing", "closed")]
    assert watch.look(401) == [("a", "missing", "open"), ("b", "missing", "closed"), ("b", "missing", "open")]


def test_an_import_of_long_ago_is_not_silent(watch):
    watch.minute = 100_000
    watch.place.send(*(("a", i * MINUTE, value) for i, value in enumerate(NOISE[:400].tolist())))
    watch.place.drain()
    assert watch.look(200_000) == []
    assert watch.lapses.watched == 0


def test_a_series_that_is_gone_for_good_is_let_go(watch):
    usual(watch, "a")
    assert watch.look(400) == [("a", "missing", "open")]
    assert watch.look(300 + 8 * 24 * 60) == [("a", "missing", "closed")]


def test_our_own_absence_is_nobodys_silence(watch):
    usual(watch, "a", "b")
    watch.place.store()
    watch.minute = 3_000
    watch.place.begin_again()
    watch.place.drain()
    assert watch.look(3_005) == []
    assert watch.lapses.watched == 2
    assert watch.look(3_020) == [("a", "missing", "open"), ("b", "missing", "open")]


def test_a_value_that_stands_still_is_an_anomaly_until_it_moves(watch):
    watch.send(0, NOISE, "a", "b", "c")
    assert watch.look(5_000) == []
    watch.send(5_000, np.full(62, 3.25), "a")
    watch.send(5_000, NOISE[:62], "b", "c")
    assert watch.look(5_061) == [("a", "flat", "open")]
    (anomaly,) = watch.place.anomalies()
    assert (anomaly.opened_at, anomaly.seen) == (from_us(us(5_000 * MINUTE)), 3.25)
    assert "3.25 came 62 times in a row" in anomaly.explanation.text
    watch.send(5_062, [3.25, 3.25, 1.0], "a")
    assert watch.look(5_065) == [("a", "flat", "closed")]


def test_what_a_model_scores_does_not_touch_a_lapse(watch):
    watch.send(0, NOISE, "a")
    watch.send(5_000, np.full(62, 3.25), "a")
    watch.look(5_061)
    watch.send(5_062, np.full(30, 3.25), "a")
    assert watch.look(5_091) == [("a", "flat", "open")]
    watch.send(5_092, [99.0], "a")
    assert watch.look(5_093) == [("a", "flat", "closed"), ("a", "level", "open")]


def test_when_all_stand_still_at_once_nothing_opens(watch):
    names = [f"s{i}" for i in range(30)]
    watch.send(0, NOISE[:2_500], *names)
    watch.send(2_500, np.full(100, 3.25), *names)
    assert watch.look(2_600) == []


@pytest.mark.parametrize("setting", ["watch_silence", "watch_flat"])
def test_either_look_can_be_turned_off(open_place, monkeypatch, setting):
    watch = Watch(open_place(**{setting: False}), monkeypatch)
    watch.send(0, NOISE, "a", "b")
    watch.send(5_000, np.full(62, 3.25), "a")
    found = {part for _, part, _ in watch.look(5_200)}
    assert found == ({"flat"} if setting == "watch_silence" else {"missing"})


def test_who_does_not_follow_any_more_opens_nothing(watch):
    usual(watch, "a")
    with pytest.raises(Stale):
        watch.lapses.examine("somebody else", us(400 * MINUTE))
    assert watch.brief() == []


def test_pages_of_before_are_read_and_learn_their_habits_anew():
    columns = StatisticsColumns()
    numbers = np.ones(10, np.int32)
    columns.receive(numbers)
    columns.learn(numbers, np.arange(10, dtype=np.int64) * 60_000_000, np.arange(10.0))
    columns.arrive(numbers, 5, 0)
    header, members = unpack(columns.page_bytes(0))
    later = ("unsteady", "gap_us", "flat", "flat_since", "flat_usual", "arrived_us", "wait_us")
    known = [name for name in members if name not in later and not name.startswith("tail_")]
    kept = {name: members[name].array(columns_of(name), (PAGE,)) for name in known}
    old = StatisticsColumns()
    old.put_page(0, pack(header, kept))
    assert (old.of(1).count, old.of(1).step_us) == (10, 60_000_000)
    assert (old.running.gap_us[1], old.arrived_us[1]) == (0.0, 0)
    whole = StatisticsColumns()
    whole.put_page(0, columns.page_bytes(0))
    assert (whole.running.gap_us[1], whole.arrived_us[1]) == (60_000_000, 5)


def columns_of(name):
    return "<f8" if name in ("mean", "m2", "last_value", "step_us") else "<i8"


def test_the_follower_looks_by_itself_once_nothing_waits(watch, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    usual(watch, "a")
    watch.minute = 400
    watch.place.drain()
    assert watch.brief() == [("a", "missing", "open")]


@pytest.mark.parametrize("part", ["missing", "flat"])
def test_a_lapse_is_explained_as_other_anomalies_are(watch, part):
    watch.send(0, NOISE, "a", "b")
    watch.send(5_000, np.full(62, 3.25) if part == "flat" else [1.0], "a")
    watch.send(5_062, NOISE[:20], "b")
    watch.look(5_082 if part == "missing" else 5_061)
    (anomaly,) = watch.place.anomalies(series_id="a")
    told = Explaining(watch.place.signals, PlainJudge()).anomaly(anomaly.anomaly_id)
    assert told.anomaly.explanation.part == part
    assert AnomalyExplanationOut.of(told).view.endswith("of the series")
