import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from atalaia.core.clock import from_us
from atalaia.signals.statistics import UNKNOWN, SeriesStatistics
from atalaia.signals.store import catalogue as store
from atalaia.signals.store.catalogue import SeriesRow, each_number, highest_number, names_of, numbers_of, series_of
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


def fill(database, count):
    with database.write() as session:
        rows = [{"series_id": f"s{i}", "labels": {}, "created_at": 0} for i in range(count)]
        session.execute(insert(SeriesRow), rows)


def test_more_ids_than_fit_into_one_statement_are_found(database):
    fill(database, 1_700)
    with database.read() as session:
        found = numbers_of(session, [f"s{i}" for i in range(2_000)])
        names = names_of(session, range(2_000))
        assert (dict(each_number(session)), highest_number(session)) == (found, 1_700)
    assert len(found) == 1_700
    assert {name: number for number, name in names.items()} == found


def test_nothing_is_found_of_nothing(database):
    with database.read() as session:
        assert numbers_of(session, []) == {}
        assert names_of(session, []) == {}
        assert (dict(each_number(session)), highest_number(session)) == ({}, 0)


def test_an_id_stands_for_one_series_only(database):
    fill(database, 1)
    with pytest.raises(IntegrityError):
        fill(database, 1)


def fleets(database):
    with database.read() as session:
        return {row.series_id: row.fleet_id for row in session.query(SeriesRow)}


def test_a_range_of_numbers_is_put_into_a_fleet_but_for_those_that_have_one(database):
    fill(database, 7)
    with database.write() as session:
        session.add_all([store.FleetRow(fleet_id=name, source="hand", created_at=0) for name in "fg"])
        session.flush()
        store.assign(session, "g", ["s2"])
        assert store.fleetless_parts(session, 4) == [0, 1]
        store.assign_range(session, "f", 0, 4)
        assert store.fleetless_parts(session, 4) == [1]
        assert store.fleet_ids(session) == ["f", "g"]
    assert [fleets(database)[f"s{i}"] for i in range(7)] == ["f", "f", "g", None, None, None, None]


def test_a_row_without_points_is_a_series_without_a_past(database):
    fill(database, 1)
    with database.read() as session:
        series = series_of(session.get_one(SeriesRow, 1), UNKNOWN)
    assert (series.first_at, series.last_at, series.step_s, series.statistics.std) == (None, None, None, 0.0)
    assert (series.received, series.statistics.count, series.statistics.last_value) == (0, 0, None)


def test_a_row_and_what_is_known_of_its_points_are_a_series(database):
    fill(database, 1)
    known = SeriesStatistics(5, 0, 7_000_000, 3, 1.5, 0.5, 2.0, 60e6)
    with database.read() as session:
        series = series_of(session.get_one(SeriesRow, 1), known)
    assert (series.series_id, series.number, series.received, series.step_s) == ("s0", 1, 5, 60.0)
    assert (series.first_at, series.last_at) == (from_us(0), from_us(7_000_000))
    assert (series.statistics.count, series.statistics.mean, series.statistics.last_value) == (3, 1.5, 2.0)
