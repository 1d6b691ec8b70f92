import pytest
from sqlalchemy import insert

from atalaia.core.anomalies import AnomalyState, FeedbackKind
from atalaia.core.clock import from_us
from atalaia.core.scores import Explanation, ModelRef
from atalaia.signals.store import anomalies as store
from atalaia.signals.store.catalogue import SeriesRow
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    with database.write() as session:
        session.execute(
            insert(SeriesRow), [{"series_id": f"s{i}", "labels": {}, "created_at": 0} for i in range(3)]
        )
    yield database
    database.close()


def row(name, state, opened_at=1, number=1):
    interval = {"opened_at": opened_at, "last_at": opened_at + 5, "strange": 2, "quiet": 0}
    interval |= {"peak_at": opened_at, "peak_score": 2.0}
    peak = store.columns_of_peak(
        Explanation(None, None, None, "none", "?"), ModelRef("series:s", "v1", "plain"), 3.0
    )
    return store.AnomalyRow(id=name, number=number, series_id="s", state=state, **interval, **peak)


def page(session, before=None, **filters):
    wanted = {"number": None, "from_us": None, "to_us": None, "state": None, **filters}
    return [found.id for found in store.anomalies_page(session, before=before, limit=2, **wanted)]


def test_only_open_and_pending_intervals_grow(database):
    with database.write() as session:
        session.add_all(
            [row("a", "open", number=1), row("b", store.PENDING, number=2), row("c", "closed", number=3)]
        )
    with database.read() as session:
        growing = store.growing(session)
        assert {number: found.id for number, found in growing.items()} == {1: "a", 2: "b"}


def test_anomalies_with_a_word_are_found_once_each_in_order(database):
    with database.write() as session:
        session.add_all([row("a", "closed", 9), row("b", "open", 1), row("c", "closed", 5)])
        session.add_all([row("d", "closed", 5, number=2), row("e", store.PENDING, 5, number=3)])
        for name in ("a", "b", "b", "d", "e"):
            session.flush()
            session.add(store.FeedbackRow(anomaly_id=name, kind="noise", note="", created_at=0))
    with database.read() as session:
        assert [one.id for one in store.judged(session, [1, 3], 0, 100)] == ["b", "a"]
        assert [one.id for one in store.judged(session, [1, 2], 6, 9)] == ["b", "d"]  # each ends 5 later
        assert [one.id for one in store.judged(session, [1], 7, 9)] == []
        assert store.judged(session, [], 0, 100) == []


def test_a_page_ends_where_the_next_begins_even_at_one_time(database):
    with database.write() as session:
        session.add_all(
            [row(name, "closed", at) for name, at in (("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3))]
        )
        session.add(row("p", store.PENDING, 4))
    with database.read() as session:
        assert page(session) == ["e", "d"]
        assert page(session, (2, "d")) == ["c", "b"]
        assert page(session, (2, "b")) == ["a"]
        assert page(session, (1, "a")) == []


def test_an_open_anomaly_reaches_into_every_later_range(database):
    with database.write() as session:
        session.add_all([row("a", "closed", 1), row("b", "open", 1)])
    with database.read() as session:
        assert page(session, from_us=6) == ["b", "a"]
        assert page(session, from_us=7) == ["b"]
        assert page(session, to_us=1) == []
        assert page(session, state=AnomalyState.CLOSED) == ["a"]


def test_a_row_becomes_an_anomaly_with_what_was_said(database):
    with database.write() as session:
        session.add(row("a", "closed", 1))
        session.add(store.FeedbackRow(anomaly_id="a", kind="noise", note="n", created_at=7))
    with database.read() as session:
        said = store.feedback_of(session, ["a", "b"])
        found = store.anomaly_of(session.get_one(store.AnomalyRow, "a"), said["a"])
    assert list(said) == ["a"]
    assert [(one.kind, one.note, one.created_at) for one in found.feedback] == [
        (FeedbackKind.NOISE, "n", from_us(7))
    ]
    assert (found.closed_at, found.last_at, found.points) == (from_us(6), from_us(6), 2)
    assert found.explanation.expected is None
