from dataclasses import replace

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from atalaia.signals.store.catalogue import SeriesRow, known_of_numbers, numbers_of, save_known, series_of
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
        rows = known_of_numbers(session, sorted(found.values(), reverse=True))
    assert len(found) == 1_700
    assert [row.number for row in rows] == sorted(found.values())


def test_nothing_is_found_of_nothing(database):
    with database.read() as session:
        assert numbers_of(session, []) == {}
        assert known_of_numbers(session, []) == []


def test_an_id_stands_for_one_series_only(database):
    fill(database, 1)
    with pytest.raises(IntegrityError):
        fill(database, 1)


def test_what_is_known_is_saved_by_number(database):
    fill(database, 3)
    with database.write() as session:
        first, _, last = known_of_numbers(session, [3, 1, 2])
        changed = [replace(first, received=7, mean=1.5), replace(last, received=9, last_ts=5)]
        save_known(session, changed)
    with database.read() as session:
        found = known_of_numbers(session, [1, 2, 3])
    assert [one.received for one in found] == [7, 0, 9]
    assert [found[0], found[2]] == changed
    assert found[0].series_id == "s0"


def test_a_row_without_points_is_a_series_without_a_past(database):
    fill(database, 1)
    with database.read() as session:
        series = series_of(session.get_one(SeriesRow, 1))
    assert (series.first_at, series.last_at, series.step_s, series.statistics.std) == (None, None, None, 0.0)
