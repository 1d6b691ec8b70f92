import numpy as np
import pytest
from sqlalchemy import delete

from atalaia.core.anomalies import AnomalyState, FeedbackKind
from atalaia.core.clock import from_us
from atalaia.core.errors import Invalid, Missing
from atalaia.core.facts import FeedbackGiven
from atalaia.signals import service as module
from atalaia.signals.store import anomalies as store
from atalaia.signals.store.history import TailPointsRow, TailRow
from tests.signals.builders import NO_FILTER, us

MINUTE = 60
WEEK = 7 * 86_400
EVERY_SERIES = {"fleet_id": None, "prefix": None, "labels": ()}


def pages(read, limit):
    """Return the pages of a list, following its cursors."""
    found, cursor = [], None
    while True:
        items, cursor = read(cursor, limit)
        found.append(items)
        if cursor is None:
            return found


def in_session(place, method, **filters):
    def read(cursor, limit):
        with place.database.read() as session:
            return method(session, cursor=cursor, limit=limit, **filters)

    return read


def series_ids(place, limit=100, **filters):
    wanted = {**EVERY_SERIES, **filters}
    found = pages(in_session(place, place.signals.list_series, **wanted), limit)
    return [series.series_id for page in found for series in page]


def label(place, series_id, **labels):
    with place.database.write() as session:
        place.signals.catalogue.label(session, series_id, labels)


def spikes(place, name, *minutes):
    """Let a series have one closed anomaly at each of the minutes."""
    for minute in minutes:
        place.send((name, minute * MINUTE, 99.0), (name, (minute + 0.5) * MINUTE, 0.0))
    place.drain()


# ingest


def test_ingest_counts_points_series_and_new_series(place):
    assert place.send(("a", 0, 1.0), ("b", 0, 1.0), ("a", 1, 1.0)) == (3, 2, 2)
    assert place.send(("c", 0, 1.0), ("b", 1, 1.0)) == (2, 2, 1)
    assert place.signals.lag() == 2
    assert b"points_received_total 5.0" in place.telemetry.render()
    assert b"scoring_lag_rows 2.0" in place.telemetry.render()


def test_the_follower_scores_what_was_ingested(place):
    place.signals.follower.start()
    try:
        place.send(("a", 0, 99.0))
        for _ in range(500):
            if place.told:
                break
            place.signals.follower.wake()
            place.signals.follower._stopping.wait(0.01)
    finally:
        place.signals.follower.stop()
    assert [fact.name for fact in place.told] == ["AnomalyOpened"]


# lists


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_series_are_listed_in_order_page_by_page(place, limit):
    names = ["a", "B", "b/1", "b/2", "é", "日本"]
    place.send(*((name, 0, 1.0) for name in names))
    assert series_ids(place, limit) == sorted(names)
    sizes = [len(page) for page in pages(in_session(place, place.signals.list_series, **EVERY_SERIES), limit)]
    assert all(size == limit for size in sizes[:-1])
    assert 0 < sizes[-1] <= limit


def test_no_series_are_one_empty_page(place):
    assert pages(in_session(place, place.signals.list_series, **EVERY_SERIES), 5) == [[]]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("pump", ["pump 1", "pump_2"]),
        ("Pump", ["Pump 3"]),
        ("pump_", ["pump_2"]),
        ("%", ["%x"]),
        ("zz", []),
        ("", 4),
    ],
)
def test_a_prefix_is_taken_literally(place, prefix, expected):
    place.send(*((name, 0, 1.0) for name in ("pump 1", "pump_2", "Pump 3", "%x")))
    found = series_ids(place, prefix=prefix)
    assert found == expected if isinstance(expected, list) else len(found) == expected


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_label_is_found_across_pages(place, monkeypatch, limit):
    monkeypatch.setattr(module, "_LABEL_ROWS", 3)
    names = [f"s{i:02}" for i in range(20)]
    place.send(*((name, 0, 1.0) for name in names))
    wanted = ["s00", "s07", "s08", "s19"]
    for name in wanted:
        label(place, name, asset="7:a")
    label(place, "s03", asset="8")
    label(place, "s04", other="7:a")
    label(place, "s07", other="b")
    assert series_ids(place, limit, labels=["asset:7:a"]) == wanted
    assert series_ids(place, limit, labels=["asset:9"]) == []
    assert series_ids(place, limit, labels=["asset:8"], prefix="s0") == ["s03"]
    assert series_ids(place, limit, labels=["asset:7:a", "other:b"]) == ["s07"]


@pytest.mark.parametrize("text", ["asset", ":7", "asset 7"])
def test_a_label_filter_needs_a_name_and_a_value(place, text):
    with pytest.raises(Invalid) as caught:
        series_ids(place, labels=[text])
    assert (caught.value.code, caught.value.faults[0].pointer) == ("invalid_request", "/label")


def test_series_of_a_fleet_are_listed(place):
    place.send(*((name, 0, 1.0) for name in "abcd"))
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["d", "a"])
    assert series_ids(place, 1, fleet_id="f") == ["a", "d"]
    assert series_ids(place, fleet_id="nothing") == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_fleets_are_listed_in_order_page_by_page(place, limit):
    place.send(*((name, 0, 1.0) for name in "abc"))
    for fleet, members in (("z", ["a"]), ("a", ["b", "c"]), ("m", [])):
        with place.database.write() as session:
            place.signals.catalogue.set_fleet(session, fleet, members)
    found = pages(in_session(place, place.signals.list_fleets), limit)
    fleets = [(fleet.fleet_id, fleet.series_count, fleet.source) for page in found for fleet in page]
    assert fleets == [("a", 2, "hand"), ("m", 0, "hand"), ("z", 1, "hand")]


def test_a_fleet_is_shown_with_its_members(place):
    place.send(("a", 0, 1.0))
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["a"])
    with place.database.read() as session:
        fleet, members = place.signals.fleet(session, "f")
        assert (fleet.source, fleet.series_count, members) == ("hand", 1, ["a"])
        with pytest.raises(Missing):
            place.signals.fleet(session, "g")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_anomalies_are_listed_newest_first_page_by_page(open_place, limit):
    place = open_place(close_after_points=1)
    spikes(place, "a", 1, 3, 5)
    spikes(place, "b", 1, 3)
    read = in_session(place, place.signals.anomalies.page, **NO_FILTER)
    found = [one for page in pages(read, limit) for one in page]
    assert [one.opened_at for one in found] == sorted((one.opened_at for one in found), reverse=True)
    assert len({one.anomaly_id for one in found}) == len(found) == 5


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, None, 3),
        (1, None, 3),
        (1.1, None, 2),
        (None, 1, 0),
        (None, 1.01, 1),
        (3, 3.1, 1),
        (3.1, 4.9, 0),
        (5.5, 99, 1),
    ],
)
def test_a_range_chooses_the_anomalies_that_overlap_it(open_place, low, high, expected):
    place = open_place(close_after_points=1)
    spikes(place, "a", 1, 3)
    place.send(("a", 5 * MINUTE, 99.0))
    place.drain()
    limits = {name: None if at is None else us(at * MINUTE) for name, at in (("from_us", low), ("to_us", high))}
    assert len(place.anomalies(**limits)) == expected


def test_anomalies_are_chosen_by_series_and_state(open_place):
    place = open_place(close_after_points=1)
    spikes(place, "a", 1)
    place.send(("b", 0, 99.0))
    place.drain()
    assert [one.series_id for one in place.anomalies(series_id="a")] == ["a"]
    assert [one.series_id for one in place.anomalies(state=AnomalyState.OPEN)] == ["b"]
    assert [one.series_id for one in place.anomalies(state=AnomalyState.CLOSED)] == ["a"]
    with pytest.raises(Missing):
        place.anomalies(series_id="nobody")


@pytest.mark.parametrize("cursor", ["", "x", "WyJhIl0x", "W10", "Im5vIg", "é"])
def test_a_cursor_of_another_list_is_refused(place, cursor):
    with pytest.raises(Invalid) as caught:
        place.anomalies(cursor=cursor)
    assert caught.value.code == "bad_cursor"


# anomalies and feedback


def test_feedback_is_kept_told_and_shown(place):
    spikes(place, "a", 1)
    (one,) = place.anomalies()
    for kind, note in ((FeedbackKind.USEFUL, "the bearing"), (FeedbackKind.NOISE, "")):
        with place.database.write() as session:
            said, _ = place.signals.anomalies.give_feedback(session, one.anomaly_id, kind, note)
        assert (said.kind, said.note) == (kind, note)
    with place.database.read() as session:
        shown = place.signals.anomalies.get(session, one.anomaly_id)
    assert [(said.kind.value, said.note) for said in shown.feedback] == [("useful", "the bearing"), ("noise", "")]
    assert place.anomalies() == [shown]
    assert place.told[-2:] == [FeedbackGiven(one.anomaly_id, "a", kind) for kind in ("useful", "noise")]


def test_what_people_said_is_handed_to_others_by_series_and_time(open_place):
    place = open_place(close_after_points=1)
    spikes(place, "a", 1, 3, 5)
    spikes(place, "b", 1)
    for one in place.anomalies():
        with place.database.write() as session:
            place.signals.anomalies.give_feedback(session, one.anomaly_id, FeedbackKind.USEFUL, "")
    spikes(place, "a", 7)  # nobody said anything of it
    told = place.signals.anomalies.judged(["a", "never seen"], us(0), us(10 * MINUTE))
    assert [one.opened_at for one in told] == [from_us(us(minute * MINUTE)) for minute in (1, 3, 5)]
    assert all(one.feedback[-1].kind is FeedbackKind.USEFUL for one in told)
    within = place.signals.anomalies.judged(["a", "b"], us(3 * MINUTE), us(5 * MINUTE))
    assert [one.series_id for one in within] == ["a"]
    assert place.signals.anomalies.judged([], us(0), us(9)) == []


def test_an_anomaly_that_nobody_sees_yet_is_missing(open_place):
    place = open_place(open_after_points=2)
    place.send(("a", 0, 99.0))
    place.drain()
    with place.database.read() as session:
        (pending,) = session.query(store.AnomalyRow).all()
    for anomaly_id in (pending.id, "anm_0", ""):
        with place.database.write() as session:
            with pytest.raises(Missing):
                place.signals.anomalies.get(session, anomaly_id)
            with pytest.raises(Missing):
                place.signals.anomalies.give_feedback(session, anomaly_id, FeedbackKind.NOISE, "")


# points


def test_points_come_from_the_last_week_that_has_any(place):
    place.send(("a", 0, 1.0), ("a", WEEK - 1, 2.0), ("a", WEEK + 5, 3.0))
    place.drain()
    start, end, points = place.signals.points("a", None, None)
    assert points.values.tolist() == [2.0, 3.0]
    assert (start, end) == (us(5) + 1, us(WEEK + 5) + 1)


def test_points_that_wait_to_be_scored_are_found_at_once(place):
    place.send(("a", 0, 1.0))
    assert place.signals.points("a", None, None)[2].values.tolist() == [1.0]
    place.drain()
    place.send(("a", 2 * WEEK, 2.0), ("b", 3 * WEEK, 2.0))
    assert place.signals.points("a", None, None)[2].values.tolist() == [2.0]


def test_a_series_whose_points_never_came_has_none(place):
    place.send(("a", 0, 1.0))
    with place.database.write() as session:
        session.execute(delete(TailPointsRow))
        session.execute(delete(TailRow))
    start, end, points = place.signals.points("a", None, None)
    assert (len(points), end - start) == (0, WEEK * 1_000_000)


def test_points_of_a_range_hold_its_start_but_not_its_end(place):
    place.send(*(("a", second, float(second)) for second in range(5)))
    assert place.signals.points("a", us(1), us(3))[2].values.tolist() == [1.0, 2.0]
    place.drain()
    assert place.signals.points("a", us(3), None)[2].values.tolist() == [3.0, 4.0]
    assert place.signals.points("a", None, us(3))[2].values.tolist() == [0.0, 1.0, 2.0]


def test_a_range_that_ends_before_it_begins_is_refused(place):
    place.send(("a", 0, 1.0))
    for low, high in ((5, 5), (6, 5)):
        with pytest.raises(Invalid) as caught:
            place.signals.points("a", us(low), us(high))
        assert (caught.value.code, caught.value.faults[0].pointer) == ("invalid_time", "/from")


def test_a_range_behind_the_newest_point_is_empty(place):
    place.send(("a", 0, 1.0))
    place.drain()
    start, end, points = place.signals.points("a", us(100), None)
    assert (len(points), start < end) == (0, True)
    assert len(place.signals.buckets("a", us(100), None, 5)[2]) == 0


def test_points_are_aggregated_into_buckets(place):
    place.send(*(("a", second, float(second)) for second in range(10)))
    start, end, found = place.signals.buckets("a", us(0), us(10), 5)
    assert (start, end) == (us(0), us(10))
    assert found.count.tolist() == [2] * 5
    assert found.max.tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_points_of_an_unknown_series_are_missing(place):
    with pytest.raises(Missing):
        place.signals.points("nobody", None, None)


# what other slices ask for


def test_a_group_is_in_the_order_that_was_asked_for(place):
    place.send(("b", 0, 1.0), ("a", 1, 2.0), ("a", 0, 3.0), ("c", 5, 4.0))
    group = place.signals.group(["a", "nobody", "b", "c"], us(0), us(5))
    assert group.counts.tolist() == [2, 0, 1, 0]
    np.testing.assert_array_equal(group.values, [3.0, 2.0, 1.0])
    assert len(place.signals.group([], us(0), us(5))) == 0


def test_the_newest_point_of_several_series_is_known_at_once(place):
    for step in range(2):
        place.send(("a", 0, 1.0), ("b", 7 + step, 1.0))
        for _ in range(2):
            assert place.signals.newest(["a", "b"]) == us(7 + step)
            assert place.signals.newest(["a"]) == us(0)
            place.drain()
    assert place.signals.newest([]) is None
    with pytest.raises(Missing):
        place.signals.newest(["a", "nobody"])


def test_series_are_described_by_their_labels(place):
    place.send(("a", 0, 1.0), ("b", 0, 1.0), ("c", 0, 1.0))
    with place.database.write() as session:
        place.signals.label(session, "a", {"site": "north", "axis": "x"})
        place.signals.label(session, "c", {"site": "north"})
        place.signals.catalogue.set_fleet(session, "f", ["a", "b"])
    assert place.signals.described(["c", "nothing", "b"]) == {"c": {"site": "north"}, "b": {}}
    assert place.signals.described([]) == {}
    north = {"a": {"site": "north", "axis": "x"}, "c": {"site": "north"}}
    assert place.signals.matching(None, ["site:north"], 10) == north
    assert place.signals.matching("f", ["site:north"], 10) == {"a": north["a"]}
    assert list(place.signals.matching("f", [], 10)) == ["a", "b"]
    assert list(place.signals.matching(None, [], 2)) == ["a", "b"]
    with pytest.raises(Missing, match="no fleet"):
        place.signals.matching("g", [], 10)
    with pytest.raises(Invalid, match="name:value"):
        place.signals.matching(None, ["site"], 10)


def test_members_and_statistics_are_told(place):
    place.send(("a", 0, 1.0), ("a", 1, 3.0))
    place.drain()
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["a"])
    assert place.signals.members("f") == ["a"]
    assert place.signals.statistics("a").mean == 2.0
    assert place.signals.statistics("nobody") is None
