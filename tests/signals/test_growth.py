"""What one round does to the anomalies: only series in alarm, or with an interval that goes on, are touched."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from atalaia.core.facts import AnomalyClosed, AnomalyOpened
from atalaia.signals.growth import Growth
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store.anomalies import PENDING, AnomalyRow
from atalaia.signals.store.catalogue import SeriesRow
from tests.signals.builders import PlainBlock, columns, fresh_database

NAN = float("nan")


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    with database.write() as session:
        rows = [{"series_id": f"s{i}", "labels": {}, "created_at": 0} for i in range(1, 6)]
        session.execute(insert(SeriesRow), rows)
    yield database
    database.close()


class Counted(PlainBlock):
    """Scores that count how often somebody asks why."""

    asked: list[int]

    def explain(self, index):
        self.asked.append(index)
        return super().explain(index)


def grow(database, *points, **settings) -> tuple[list[Any], list[int]]:
    """Let one round of (number, time, score, alarm) happen; return the facts, and which points were explained."""
    arrived = columns(*((number, stamp, score) for number, stamp, score, *_ in points))
    alarm = np.array([point[3] if len(point) > 3 else point[2] > 1 for point in points], np.bool_)
    scored = Counted(arrived, arrived.values, alarm)
    scored.asked = []
    with database.write() as session:
        facts = Growth(
            session, SignalsSettings.model_validate({"close_after_points": 2, **settings}), scored
        ).grow()
    return facts, scored.asked


def rows(database):
    with database.read() as session:
        found = session.query(AnomalyRow).order_by(AnomalyRow.opened_at, AnomalyRow.number)
        return [(row.number, row.state, row.opened_at, row.last_at, row.peak_score, row.strange) for row in found]


def test_a_round_without_alarms_changes_nothing(database):
    assert grow(database, (1, 1, 0.5), (2, 1, NAN), (3, 1, 1.0)) == ([], [])
    assert grow(database) == ([], [])
    assert rows(database) == []


def test_series_are_told_apart_however_their_points_are_mixed(database):
    facts, asked = grow(database, (2, 1, 3.0), (1, 1, 0.1), (2, 2, 0.0), (1, 2, 2.0), (2, 3, 0.0), (1, 3, 4.0))
    assert rows(database) == [(2, "closed", 1, 1, 3.0, 1), (1, "open", 2, 3, 4.0, 2)]
    assert [(type(fact), fact.series_id) for fact in facts] == [
        (AnomalyOpened, "s1"),
        (AnomalyOpened, "s2"),
        (AnomalyClosed, "s2"),
    ]
    assert asked == [5, 0]


def test_the_alarm_decides_and_not_the_score(database):
    grow(database, (1, 1, 9.0, False), (2, 1, 0.2, True))
    assert rows(database) == [(2, "open", 1, 1, 0.2, 1)]


def test_what_goes_on_is_followed_without_another_alarm(database):
    grow(database, (1, 1, 2.0), (2, 1, 2.0))
    facts, asked = grow(database, (1, 2, 0.0), (1, 3, 0.0), (2, 2, NAN), (3, 1, 0.0))
    assert rows(database) == [(1, "closed", 1, 1, 2.0, 1), (2, "open", 1, 1, 2.0, 1)]
    assert ([fact.name for fact in facts], asked) == (["AnomalyClosed"], [])


def test_a_pending_interval_leaves_no_trace_when_it_fizzles_out(database):
    assert grow(database, (1, 1, 2.0), open_after_points=2)[0] == []
    assert rows(database) == [(1, PENDING, 1, 1, 2.0, 1)]
    assert grow(database, (1, 2, 0.0), open_after_points=2)[0] == []
    assert rows(database) == []


def test_points_of_a_number_that_names_no_series_do_not_stop_the_round(database):
    facts, _ = grow(database, (99, 1, 5.0), (1, 1, 5.0))
    assert [fact.series_id for fact in facts] == ["s1"]
    assert [number for number, *_ in rows(database)] == [1]


def test_a_later_peak_takes_over_what_is_said(database):
    grow(database, (1, 1, 2.0))
    assert grow(database, (1, 2, 1.5))[1] == []
    assert grow(database, (1, 3, 7.0))[1] == [0]
    with database.read() as session:
        (row,) = session.query(AnomalyRow).all()
    assert (row.seen, row.text, row.peak_at) == (7.0, "7 is far from 0", 3)


def test_the_first_point_inside_a_known_event_closes_what_is_open_and_forgets_what_is_not(database):
    grow(database, (1, 1, 2.0), (2, 1, 3.0), open_after_points=1)
    grow(database, (3, 1, 2.0), open_after_points=2)
    arrived = columns((1, 2, 9.0), (2, 2, 0.0), (3, 2, 9.0), (1, 3, 9.0), (1, 4, 5.0))
    known = np.array([True, False, True, True, False])
    alarm = np.array([False, False, False, False, True])
    scored = PlainBlock(arrived, np.where(known, NAN, arrived.values), alarm)
    with database.write() as session:
        facts = Growth(session, SignalsSettings(), scored, known).grow()
    assert [(fact.name, getattr(fact, "series_id", None)) for fact in facts] == [
        ("AnomalyClosed", "s1"),
        ("AnomalyOpened", "s1"),
    ]
    assert rows(database) == [(1, "closed", 1, 1, 2.0, 1), (2, "open", 1, 1, 3.0, 1), (1, "open", 4, 4, 5.0, 1)]
