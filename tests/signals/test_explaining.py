from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import event

from atalaia.core.anomalies import FeedbackKind
from atalaia.core.errors import Missing, Unavailable
from atalaia.core.scores import Confidence, Explanation, ModelRef
from atalaia.signals.explaining import Explaining
from tests.signals.builders import THRESHOLD, us
from tests.signals.known_events import add

MINUTE = 60


class PlainJudgement:
    """Says what `ThresholdScorer` says."""

    model = ModelRef("fleet:all", "v1", "plain")
    confidence = Confidence.HIGH
    learnt, needed = 1000, 10
    is_replayed = is_accepted = False

    def __init__(self, values):
        self.score = np.abs(values) / THRESHOLD
        self.alarm = self.score > 1.0

    def explain(self, index):
        return Explanation(0.0, -THRESHOLD, THRESHOLD, "level", f"{10 * self.score[index]:g} is far from 0")


class PlainJudge:
    def __init__(self, fault=None, *, knows=True):
        self.fault, self.knows, self.asked = fault, knows, []

    def judge(self, series_id, fleet_id, timestamps, values, learn, threshold):
        self.asked.append((series_id, fleet_id, len(values), learn))
        if self.fault:
            raise self.fault
        return PlainJudgement(values) if self.knows else None


@pytest.fixture
def judge():
    return PlainJudge()


@pytest.fixture
def explaining(place, judge):
    return Explaining(place.signals, judge)


def wave(place, name, minutes=600, bumps=(), size=60.0, every=MINUTE):
    rng = np.random.default_rng(sum(name.encode()))
    values = rng.normal(0.0, 1.0, minutes)
    for bump in bumps:
        values[bump : bump + 6] += size
    place.send(*((name, i * every, value) for i, value in enumerate(values.tolist())))
    place.drain()


def label(place, series_id, **labels):
    with place.database.write() as session:
        place.signals.catalogue.label(session, series_id, labels)


def judge_as(place, anomaly_id, kind):
    with place.database.write() as session:
        place.signals.anomalies.give_feedback(session, anomaly_id, FeedbackKind(kind), "")


@contextmanager
def statements(database):
    """Count the statements that the database is asked."""
    seen = []

    def note(_connection, _cursor, statement, *_more):
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


# anomalies


def test_an_anomaly_that_is_alone_was_not_seen_before(place, explaining, judge):
    wave(place, "a", bumps=[400])
    (anomaly,) = place.anomalies()
    told = explaining.anomaly(anomaly.anomaly_id)
    assert told.anomaly == anomaly
    assert (told.rarity_basis, told.rarity.episodes, told.rarity.points) == ("model", 0, 594)
    assert told.looked.points == 600
    assert told.hindsight.stranger_than > 0.9
    assert (told.together, told.similar, told.compared, told.labels) == ([], [], 0, [])
    assert judge.asked == [("a", None, 600, 150)]


def test_earlier_episodes_are_counted_and_the_most_alike_comes_first(place, explaining):
    wave(place, "a", bumps=[100, 500])
    place.send(*(("a", minute * MINUTE + 7, -80.0) for minute in range(601, 604)))
    place.drain()
    newest, alike, first = place.anomalies()
    assert newest.seen == -80.0
    judge_as(place, first.anomaly_id, "noise")
    told = explaining.anomaly(alike.anomaly_id)
    assert [one.anomaly.anomaly_id for one in told.similar] == [first.anomaly_id]
    assert told.similar[0].likeness > 0.8
    assert told.similar[0].anomaly.feedback[0].kind is FeedbackKind.NOISE
    assert told.rarity.episodes >= 1
    assert "1 noise" in told.what_next[0]
    other_way = explaining.anomaly(newest.anomaly_id)
    assert max(one.likeness for one in other_way.similar) < 0.6


def test_few_own_episodes_are_filled_up_from_series_with_the_same_label(place, explaining):
    wave(place, "a", bumps=[400])
    wave(place, "b", bumps=[200])
    wave(place, "c", bumps=[200])
    for name, pump in (("a", "7"), ("b", "7"), ("c", "8")):
        label(place, name, pump=pump, site="north")
    anomaly = next(one for one in place.anomalies() if one.series_id == "a")
    told = explaining.anomaly(anomaly.anomaly_id)
    assert [one.anomaly.series_id for one in told.similar] == ["b"]
    assert told.similar[0].likeness > 0.8


def test_what_was_open_with_it_and_their_labels_are_named(place, explaining):
    for name in "abcd":
        wave(place, name, bumps=[400])
    for name in "efghij":
        wave(place, name)
    for name in "abc":
        label(place, name, hall="2", site="north")
    for name in "defghij":
        label(place, name, hall="3", site="north")
    anomaly = next(one for one in place.anomalies() if one.series_id == "a")
    told = explaining.anomaly(anomaly.anomaly_id)
    assert {one.anomaly.series_id: one.labels for one in told.together} == {
        "b": {"hall": "2", "site": "north"},
        "c": {"hall": "2", "site": "north"},
        "d": {"site": "north"},
    }
    assert told.together[-1].anomaly.series_id == "d"
    assert told.together_count == 3
    assert not told.together_more
    (shared,) = told.labels
    assert (shared.label, shared.strange, shared.strange_total, shared.series, shared.series_total) == (
        ("hall", "2"), 3, 4, 3, 10,
    )  # fmt: skip
    assert shared.lift == pytest.approx(2.5)


def test_labels_of_any_name_are_no_trouble(place, explaining):
    wave(place, "a", bumps=[400])
    label(place, "a", **{'x"y': "1", "x\\y": "2", "$.a[0]": "3", "日本 ' ; --": "4", "%s": "5", "": "6"})
    (anomaly,) = place.anomalies()
    assert explaining.anomaly(anomaly.anomaly_id).labels == []


@pytest.mark.parametrize(
    ("judge", "basis"), [(PlainJudge(knows=False), "hindsight"), (PlainJudge(Unavailable("x", "y")), "hindsight")]
)
def test_without_a_model_one_looks_back(place, judge, basis):
    wave(place, "a", bumps=[400])
    (anomaly,) = place.anomalies()
    told = Explaining(place.signals, judge).anomaly(anomaly.anomaly_id)
    assert told.rarity_basis == basis
    assert told.rarity is not None
    assert told.rarity.points == 594


def test_with_a_handful_of_points_nothing_is_said_to_be_rare(place):
    place.send(("a", 0, 99.0))
    place.drain()
    (anomaly,) = place.anomalies()
    told = Explaining(place.signals, PlainJudge(knows=False)).anomaly(anomaly.anomaly_id)
    assert (told.rarity, told.rarity_basis, told.hindsight) == (None, "none", None)


@pytest.mark.parametrize("name", ["", "nothing", "anm_" + "x" * 5000, "'; --"])
def test_an_anomaly_that_is_not_there_is_missing(explaining, name):
    with pytest.raises(Missing) as caught:
        explaining.anomaly(name)
    assert caught.value.code == "unknown_anomaly"


@pytest.mark.parametrize("most", [100, 400])
def test_no_more_points_are_read_than_allowed(open_place, judge, most):
    place = open_place(explain_max_points=most)
    wave(place, "a", minutes=3000, bumps=[2000])
    (anomaly,) = place.anomalies()
    told = Explaining(place.signals, judge).anomaly(anomaly.anomaly_id)
    assert told.looked.points <= most
    assert told.looked.from_us <= us(2000 * MINUTE) <= told.looked.to_us
    assert told.rarity is not None
    assert told.rarity.episodes == 0


def test_a_burst_of_points_does_not_lead_to_reading_all(open_place, judge, monkeypatch):
    place = open_place(explain_max_points=100)
    wave(place, "a", minutes=50, every=3600)
    for i in range(20):
        wave(place, "b", minutes=50, every=7200)
        place.send(*(("a", 50 * 3600 + 600 * i + second, 1.0) for second in range(600)))
    place.send(("a", 50 * 3600 + 12_100, 99.0))
    place.drain()
    with place.database.write() as session:
        place.signals.history.compaction()(session)
    sizes = []
    read = place.signals.history.read
    monkeypatch.setattr(place.signals.history, "read", lambda *at: sizes.append(len(found := read(*at))) or found)
    anomaly = place.anomalies(series_id="a")[0]
    assert Explaining(place.signals, judge).anomaly(anomaly.anomaly_id).looked.points <= 100
    assert 0 < max(sizes) < 12_000 / 2


def test_the_statements_do_not_grow_with_the_anomalies(place, explaining):
    for name in ("a", "b"):
        wave(place, name, bumps=[300])
        label(place, name, site="north")
    with statements(place.database) as few:
        explaining.anomaly(place.anomalies()[0].anomaly_id)
    for i in range(12):
        wave(place, f"other {i}", bumps=[100, 200, 300])
        label(place, f"other {i}", site="north")
    newest = next(one for one in place.anomalies() if one.series_id == "a")
    with statements(place.database) as many:
        explaining.anomaly(newest.anomaly_id)
    assert 5 < len(many) <= len(few) + 5
    assert len(many) < 35


# moments


def codes(told):
    return [reason.code for reason in told.reasons]


def test_a_quiet_moment_says_how_far_it_was(place, explaining):
    wave(place, "a", bumps=[400])
    place.send(("a", 700 * MINUTE, 4.0))
    place.drain()
    told = explaining.point("a", None)
    assert (told.value, told.score, told.alarmed) == (4.0, 0.4, None)
    assert codes(told) == ["inside"]
    assert told.at_us == told.point_us == us(700 * MINUTE)
    earlier = explaining.point("a", us(100 * MINUTE + 1))
    assert earlier.point_us == us(100 * MINUTE)
    assert earlier.looked.points == 101


def test_a_moment_in_an_anomaly_names_it(place, explaining):
    wave(place, "a", bumps=[400])
    (anomaly,) = place.anomalies()
    told = explaining.point("a", us(402 * MINUTE))
    assert told.alarmed == anomaly
    assert codes(told) == ["alarm"]


def test_while_an_alarm_is_open_quiet_points_belong_to_it(place, explaining):
    wave(place, "a", minutes=408, bumps=[400])
    told = explaining.point("a", None)
    assert codes(told) == ["alarm_is_open"]


def test_a_strange_point_that_waits_says_for_what(open_place, judge):
    place = open_place(open_after_points=3)
    explaining = Explaining(place.signals, judge)
    wave(place, "a")
    place.send(("a", 600 * MINUTE, 99.0))
    assert codes(explaining.point("a", None)) == ["not_scored_yet"]
    place.drain()
    told = explaining.point("a", None)
    assert codes(told) == ["waits_for_more"]
    assert "1 of the 3" in told.reasons[0].text


def test_a_late_point_did_not_alarm(place, explaining):
    wave(place, "a")
    place.send(("a", 100 * MINUTE + 30, 99.0))
    place.drain()
    assert codes(explaining.point("a", us(100 * MINUTE + 30))) == ["not_alarmed_then"]


@pytest.mark.parametrize(
    ("judge", "code"),
    [(PlainJudge(knows=False), "no_model"), (PlainJudge(Unavailable("x", "y")), "model_not_loaded")],
)
def test_without_a_model_nothing_alarms(place, judge, code):
    wave(place, "a")
    told = Explaining(place.signals, judge).point("a", None)
    assert codes(told) == [code]
    assert (told.score, told.model, told.explanation) == (None, None, None)


@pytest.mark.parametrize("moment", [0, us(-1)])
def test_before_the_first_point_there_is_none(place, explaining, moment):
    wave(place, "a")
    told = explaining.point("a", moment)
    assert codes(told) == ["no_points"]
    assert told.looked.points == 0


@pytest.mark.parametrize("moment", [us(10_000 * MINUTE), 4_102_444_800_000_000, 2**62])
def test_after_the_last_point_it_is_missing(place, explaining, moment):
    wave(place, "a")
    told = explaining.point("a", moment)
    assert codes(told) == ["missing_point", "inside"]
    assert told.point_us == us(599 * MINUTE)


def test_a_series_without_points_is_no_trouble(place, explaining):
    with place.database.write() as session:
        place.signals.resolve(session, ["a"])
    assert codes(explaining.point("a", None)) == ["no_points"]


@pytest.mark.parametrize("name", ["", "b", "x" * 300, "\0"])
def test_an_unknown_series_is_missing(place, explaining, name):
    wave(place, "a", minutes=3)
    with pytest.raises(Missing) as caught:
        explaining.point(name, None)
    assert caught.value.code == "unknown_series"


def test_a_known_event_is_the_reason_and_its_points_are_not_what_the_model_knows(place, explaining, judge):
    wave(place, "a", minutes=100)
    event = add(place, 20, 40, title="new bearing")
    told = explaining.point("a", us(30 * MINUTE))
    assert [reason.code for reason in told.reasons] == ["known_event", "inside"]
    for words in ("maintenance 'new bearing'", event.event_id, "2023-11-14T22:33:20Z to 2023-11-14T22:53:20Z"):
        assert words in told.reasons[0].text
    assert told.looked.points == 21  # 20 before the event, and the point in question
    assert [reason.code for reason in explaining.point("a", us(50 * MINUTE)).reasons] == ["inside"]
    assert judge.asked[-1][2] == 31


def test_an_anomaly_that_an_event_covers_later_is_still_explained(place, explaining):
    wave(place, "a", minutes=100, bumps=[50])
    add(place, 45, 60)
    (anomaly,) = place.anomalies()
    told = explaining.anomaly(anomaly.anomaly_id)
    assert (told.looked.points, told.hindsight is not None) == (100 - 15 + 6, True)
