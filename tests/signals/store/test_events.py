import pytest

from atalaia.core.clock import from_us
from atalaia.core.events import EventKind, EventScope, HolidayCalendar, Recurs
from atalaia.signals.store import events as store
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


def row(number, **more):
    given = {"scope": {"everything": True}, "repeats": {}, "starts_at": 1, "ends_at": 2, "until": None, **more}
    return store.EventRow(id=f"evt_{number}", kind="deploy", title="t", created_at=5, **given)


@pytest.mark.parametrize(
    "scope",
    [
        EventScope(everything=True),
        EventScope(fleet_id="f"),
        EventScope(numbers=(1, 2)),
        EventScope(labels={"a": "b"}),
    ],
)
def test_a_scope_is_kept_as_it_is(scope):
    assert store.scope_of(store.scope_columns(scope)) == scope


def test_an_event_is_kept_as_it_is(database):
    place = {"country": "BR", "subdivision": None, "zone": "UTC"}
    with database.write() as session:
        session.add(row(1, repeats={"rrule": "FREQ=DAILY", "zone": "UTC"}, until=9))
        session.add(row(2, repeats=place, ends_at=None))
    with database.read() as session:
        first, second = map(store.event_of, store.every(session))
        assert [one.id for one in store.page(session, before=None, limit=5)] == ["evt_2", "evt_1"]
        assert [one.id for one in store.page(session, before="evt_2", limit=5)] == ["evt_1"]
        assert store.count(session) == 2
    assert (first.kind, first.recurs, first.until) == (EventKind.DEPLOY, Recurs("FREQ=DAILY", "UTC"), from_us(9))
    assert (second.ends_at, second.holidays) == (None, HolidayCalendar("BR", None, "UTC"))


def test_the_revision_changes_with_events_and_with_series_once_there_was_one(database):
    def revision():
        with database.read() as session:
            return store.revision(session)

    def after(act):
        with database.write() as session:
            act(session)
        return revision()

    assert revision() == after(store.touch) == 0
    assert [after(store.changed), after(store.changed), after(store.touch)] == [1, 2, 3]
