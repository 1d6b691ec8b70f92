from typing import Any

import pytest

from atalaia.core.clock import from_us
from atalaia.core.errors import Conflict, Invalid, Missing
from atalaia.core.events import EventKind, HolidayCalendar, Recurs
from atalaia.kit.erasures import Subject
from atalaia.kit.notes import AuditEventRow
from atalaia.signals.erasure import SeriesErasure
from atalaia.signals.events import AskedScope, KnownEvents
from tests.signals.builders import signals_in, us
from tests.signals.known_events import MINUTE, add, of_series


@pytest.fixture
def series(place):
    place.send(("a", 0, 1.0), ("b", 0, 1.0))
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["a"])
        place.signals.label(session, "b", {"site": "north"})
    return place


def refused(place, *args, **more):
    with pytest.raises((Invalid, Missing)) as caught:
        add(place, *args, **more)
    return caught.value.code, [fault.pointer for fault in caught.value.faults]


def listed(place, **filters: Any) -> tuple[list[str], str | None]:
    wanted: dict[str, Any] = {"active_at_us": None, "series_id": None, "cursor": None, "limit": 100, **filters}
    with place.database.read() as session:
        items, following = KnownEvents(place.signals).page(session, **wanted)
    return [event.event_id for event in items], following


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"end": 0.0}, "invalid_event", "/to"),
        ({"end": -5.0}, "invalid_event", "/to"),
        ({"end": None}, "invalid_event", "/to"),
        ({"scope": AskedScope()}, "invalid_event", "/scope"),
        ({"scope": AskedScope(everything=True, fleet_id="f")}, "invalid_event", "/scope"),
        ({"scope": of_series()}, "invalid_event", "/scope/series_ids"),
        ({"scope": of_series("a", "nobody")}, "unknown_series", "/scope/series_ids/1"),
        ({"scope": AskedScope(labels=[])}, "invalid_event", "/scope/labels"),
        ({"scope": AskedScope(labels=["site:north", "north"])}, "invalid_event", "/scope/labels/1"),
        ({"scope": AskedScope(labels=["site:"])}, "invalid_event", "/scope/labels/0"),
        ({"scope": AskedScope(labels=["site:a", "site:b"])}, "invalid_event", "/scope/labels/1"),
        ({"recurs": Recurs("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "UTC")}, "invalid_event", "/recurrence/rrule"),
        ({"recurs": Recurs("FREQ=DAILY", "Mars")}, "unknown_zone", "/recurrence/zone"),
        ({"holidays": HolidayCalendar("XX", None, "UTC")}, "unknown_country", "/holidays/country"),
        ({"holidays": HolidayCalendar("BR", "ZZ", "UTC")}, "unknown_country", "/holidays/subdivision"),
        (
            {"recurs": Recurs("FREQ=DAILY", "UTC"), "holidays": HolidayCalendar("BR", None, "UTC")},
            "invalid_event",
            "/holidays",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_where(series, changed, code, pointer):
    assert refused(series, **changed) == (code, [pointer])
    assert listed(series) == ([], None)


def test_a_fleet_that_there_is_not_is_refused(series):
    assert refused(series, scope=AskedScope(fleet_id="g"))[0] == "unknown_fleet"


def test_a_deploy_lasts_half_an_hour_unless_it_says_otherwise(series):
    assert add(series, end=None, kind=EventKind.DEPLOY).ends_at == from_us(us(1800))
    assert add(series, end=5, kind=EventKind.DEPLOY).ends_at == from_us(us(300))


def test_there_are_only_so_many_events(open_place):
    place = open_place(max_known_events=2)
    add(place)
    add(place)
    with pytest.raises(Conflict, match="2 known events"):
        add(place)


def test_events_are_listed_by_time_by_series_and_page_by_page(series):
    ids = [add(series, 0, 10).event_id, add(series, 5, 20, scope=of_series("a")).event_id]
    ids.append(add(series, 5, 20, scope=AskedScope(labels=["site:north"])).event_id)
    assert listed(series) == (ids[::-1], None)
    assert listed(series, active_at_us=us(15 * MINUTE)) == (ids[:0:-1], None)
    assert listed(series, series_id="a") == ([ids[1], ids[0]], None)
    assert listed(series, series_id="b", active_at_us=us(15 * MINUTE)) == ([ids[2]], None)
    first, cursor = listed(series, limit=2)
    assert (first, listed(series, limit=2, cursor=cursor)) == (ids[:0:-1], ([ids[0]], None))
    with pytest.raises(Missing):
        listed(series, series_id="nobody")


def test_an_event_is_ended_renamed_and_deleted(series):
    event = add(series, 0, 60)
    events = KnownEvents(series.signals)
    with series.database.write() as session:
        changed = events.change(session, event.event_id, title="done", until_us=us(600))
        assert (changed.title, changed.until) == ("done", from_us(us(600)))
        with pytest.raises(Invalid) as caught:
            events.change(session, event.event_id, title=None, until_us=us(0))
        assert caught.value.faults[0].pointer == "/until"
        assert events.get(session, event.event_id).until == from_us(us(600))
        events.remove(session, event.event_id)
    for asked in (event.event_id, "evt_x", "x" * 10_000):
        with series.database.read() as session, pytest.raises(Missing):
            events.get(session, asked)


def test_what_people_did_to_events_is_in_the_audit_trail(series):
    event = add(series, 0, 60)
    events = KnownEvents(series.signals)
    with series.database.write() as session:
        events.change(session, event.event_id, title=None, until_us=us(600))
    with series.database.write() as session:
        events.remove(session, event.event_id)
    with series.database.read() as session:
        told = session.query(AuditEventRow).filter_by(subject=event.event_id).order_by(AuditEventRow.sequence).all()
    assert [row.action for row in told] == ["event_added", "event_changed", "event_deleted"]
    assert '"title":"pump change"' in told[0].detail


RULES = [
    {"where": "labels", "match": "user", "action": "hash"},
    {"where": "labels", "match": "home", "action": "mask"},
    {"where": "labels", "match": "phone", "action": "drop"},
    {"where": "series_id", "match": "watch*", "action": "hash"},
    {"where": "notes", "match": "email", "action": "mask"},
]


def test_what_is_hidden_is_hidden_in_events_too(tmp_path):
    with signals_in(tmp_path, rules=RULES) as place:
        hidden = place.signals.privacy.series_id("watch 1")
        place.send((hidden, 0, 1.0))
        with place.database.write() as session:
            place.signals.label(session, hidden, {"user": "ada"})
        one = add(place, scope=AskedScope(labels=["user:ada"]), title="call ada@example.org")
        assert (one.scope.labels["user"][:5], one.title) == ("anon-", "call ***")
        two = add(place, scope=of_series("watch 1"))
        assert listed(place, series_id=hidden)[0] == [two.event_id, one.event_id]
        for label in ("home:here", "phone:123"):
            assert refused(place, scope=AskedScope(labels=[label])) == ("invalid_event", ["/scope/labels/0"])


def erase(place, kind, value):
    told = {}
    SeriesErasure(place.signals).bury(Subject(kind, value), lambda s, series, counts, ids, old: told.update(counts))
    return told["events_erased"], told["event_titles_erased"]


def test_an_erased_series_is_in_no_event_and_in_no_title(series):
    shared = add(series, scope=of_series("a", "b"), title="a and b")
    add(series, scope=of_series("a"))
    add(series, scope=AskedScope(fleet_id="f"))
    stays = add(series, title="about")
    assert erase(series, "series_id", "a") == (2, 1)
    assert listed(series)[0] == [stays.event_id, shared.event_id]
    with series.database.read() as session:
        left = KnownEvents(series.signals).get(session, shared.event_id)
    assert (left.scope.numbers, left.title) == ((2,), "(erased)")


def test_events_of_an_erased_label_go(series):
    add(series, scope=AskedScope(labels=["site:north"]))
    stays = add(series, scope=AskedScope(labels=["site:south"]))
    assert erase(series, "label", "site:north") == (1, 0)
    assert listed(series)[0] == [stays.event_id]
