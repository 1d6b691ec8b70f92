from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from atalaia.core.clock import from_us
from atalaia.core.events import EventKind, HolidayCalendar, KnownEvent, Recurs
from atalaia.core.events import EventScope as Scope
from atalaia.signals.calendar import Calendar, times_of
from atalaia.signals.events import AskedScope, KnownEvents
from atalaia.signals.store import events as store
from tests.signals.builders import signals_in, us
from tests.signals.known_events import MINUTE, add, of_series

DAY = 86_400


def known(place, *points, calendar=None):
    """Return which of the points (series number, minute) are known."""
    numbers = np.array([number for number, _ in points], np.int32)
    stamps = np.array([us(minute * MINUTE) for _, minute in points], np.int64)
    found = (calendar or place.signals.calendar).known(numbers, stamps)
    return None if found is None else found.tolist()


@contextmanager
def counted(database):
    """Count the statements of a block."""
    seen: list[str] = []

    def note(connection, cursor, statement, *rest):
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def series(place, *names):
    place.send(*((name, 0, 1.0) for name in names))


def test_without_events_a_look_is_one_number(place):
    series(place, "a")
    with counted(place.database) as seen:
        assert known(place, (1, 0)) is None
    assert [statement for statement in seen if "SELECT" in statement.upper()] == [
        statement for statement in seen if "known_events_revision" in statement
    ]
    assert len(seen) <= 2
    assert known(place) is None


def test_an_end_is_not_part_of_an_event(place):
    series(place, "a")
    add(place, 10, 20)
    assert known(place, (1, 9.99), (1, 10), (1, 19.99), (1, 20)) == [False, True, True, False]
    assert known(place, (1, 5), (1, 30)) is None


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (AskedScope(everything=True), [True, True, True]),
        (of_series("b"), [False, True, False]),
        (AskedScope(fleet_id="f"), [True, True, False]),
        (AskedScope(labels=["site:north"]), [True, False, True]),
        (AskedScope(labels=["site:north", "hall:2"]), [False, False, True]),
        (AskedScope(labels=["site:south"]), None),
    ],
)
def test_an_event_covers_its_scope_alone(place, scope, covered):
    series(place, "a", "b", "c")
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["a", "b"])
        place.signals.label(session, "a", {"site": "north"})
        place.signals.label(session, "c", {"site": "north", "hall": "2"})
    add(place, scope=scope)
    assert known(place, (1, 5), (2, 5), (3, 5)) == covered


def test_who_joins_later_is_covered_and_who_leaves_is_not(place):
    series(place, "a", "b")
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["a"])
    add(place, scope=AskedScope(fleet_id="f"))
    add(place, scope=AskedScope(labels=["site:north"]))
    assert known(place, (1, 5), (2, 5)) == [True, False]
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, "f", ["b"])
    assert known(place, (1, 5), (2, 5)) == [False, True]
    with place.database.write() as session:
        place.signals.label(session, "a", {"site": "north"})
    assert known(place, (1, 5), (2, 5)) == [True, True]


def test_a_series_that_is_new_is_covered_at_once(open_place):
    place = open_place(fleet_rules=[{"match": "pump*", "fleet": "pumps"}])
    series(place, "pump 1")
    add(place, scope=AskedScope(fleet_id="pumps"))
    assert known(place, (1, 5)) == [True]
    series(place, "fan", "pump 2")
    assert known(place, (1, 5), (2, 5), (3, 5)) == [True, False, True]


def test_another_process_sees_what_changed(place):
    series(place, "a")
    other = Calendar(place.database)
    assert known(place, (1, 5), calendar=other) is None
    added = add(place)
    assert known(place, (1, 5), calendar=other) == [True]
    events = KnownEvents(place.signals)
    with place.database.write() as session:
        events.change(session, added.event_id, title=None, until_us=us(5 * MINUTE))
    assert known(place, (1, 4), (1, 5), calendar=other) == [True, False]
    with place.database.write() as session:
        events.remove(session, added.event_id)
    assert known(place, (1, 4), calendar=other) is None


def test_a_recurrence_covers_each_of_its_times_until_it_is_ended(place):
    series(place, "a")
    day = 24 * 60
    added = add(place, 0, 60, recurs=Recurs("FREQ=DAILY", "UTC"))
    moments = [(1, -1), (1, 30), (1, 61), (1, day + 30), (1, 400 * day + 59), (1, 400 * day + 60)]
    assert known(place, *moments) == [False, True, False, True, True, False]
    with place.database.write() as session:
        KnownEvents(place.signals).change(session, added.event_id, title=None, until_us=us((day + 10) * MINUTE))
    assert known(place, (1, 30), (1, day + 5), (1, day + 30), (1, 2 * day)) == [True, True, False, False]


def test_holidays_cover_whole_days_from_their_start_on(place):
    series(place, "a")
    calendar = HolidayCalendar("BR", "SP", "America/Sao_Paulo")  # the start is 2023-11-14 22:13:20Z
    add(place, 0, None, kind=EventKind.HOLIDAY, holidays=calendar)
    proclamation = (us(0) // 86_400_000_000 + 1) * 24 * 60 + 3 * 60 - us(0) / 60e6  # the 15th begins at 03:00Z
    inside = [(1, proclamation + 1), (1, proclamation + 24 * 60 - 1)]
    assert known(place, *inside, (1, proclamation - 1), (1, proclamation + 24 * 60 + 1)) == [
        True,
        True,
        False,
        False,
    ]


def test_who_covers_a_moment_is_told(place):
    series(place, "a", "b")
    first = add(place, 0, 60)
    second = add(place, 30, 40, scope=of_series("b"))
    with place.database.read() as session:
        covering = place.signals.calendar.covering

        def told(number, minute):
            return [one.event.event_id for one in covering(session, number, us(minute * MINUTE))]

        assert told(1, 35) == [first.event_id]
        assert told(2, 35) == [first.event_id, second.event_id]
        assert told(2, 70) == []
        (one,) = covering(session, 1, us(35 * MINUTE))
        assert (one.start_us, one.end_us) == (us(0), us(3600))
        assert place.signals.calendar.active(session, us(35 * MINUTE)) == {first.event_id, second.event_id}


@pytest.mark.parametrize(
    "repeats",
    [
        {"rrule": "FREQ=DAILY", "zone": "Mars/Olympus"},
        {"rrule": "FREQ=NEVER", "zone": "UTC"},
        {"country": "XX", "subdivision": None, "zone": "UTC"},
    ],
)
def test_an_event_that_cannot_be_read_does_not_stop_the_others(place, repeats):
    series(place, "a")
    with place.database.write() as session:
        row = {"kind": "other", "title": "", "scope": {"everything": True}, "starts_at": 0, "created_at": 0}
        session.add(store.EventRow(id="evt_0", repeats=repeats, ends_at=10**9, **row))
        store.changed(session)
    assert known(place, (1, 5)) is None
    add(place)
    assert known(place, (1, 5)) == [True]


EVENTS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20), st.sampled_from([0, 1, 2])), max_size=5)
POINTS = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 50)), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(EVENTS, POINTS)
def test_a_point_is_known_when_any_event_of_its_series_holds_it(tmp_path_factory, events, points):
    with signals_in(tmp_path_factory.mktemp("place")) as place:
        series(place, "a", "b")
        for start, lasting, whom in events:
            add(place, start, start + lasting, scope=of_series("ab"[whom - 1]) if whom else of_series("a", "b"))
        expected = [
            any(whom in (0, number) and start <= minute < start + lasting for start, lasting, whom in events)
            for number, minute in points
        ]
        assert known(place, *points) == (expected if any(expected) else None)


def test_the_times_of_an_event_end_where_it_was_ended():
    event = KnownEvent(
        "evt_1", EventKind.OTHER, "", Scope(everything=True), from_us(10), from_us(20), from_us(15), from_us(0)
    )
    found = times_of(event).within(0, 100)
    assert (found.starts.tolist(), found.ends.tolist()) == ([10], [15])
