"""Points of series that somebody wants erased leave the blocks, and nothing of what was deleted stays legible."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from atalaia.core.errors import Stale, Unavailable
from atalaia.core.points import Points
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.erasures import Subject
from atalaia.signals.history import History
from atalaia.signals.settings import SignalsSettings
from tests.signals.builders import Place, columns, fresh_database, signals_in

FOR_EVER = 1 << 62
SECRET = "ada-lovelace-1815"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = fresh_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def history(tmp_path: Path, database: Database) -> History:
    return History(database, Blobs(tmp_path / "blobs"), SignalsSettings())


def block_of(database: Database, history: History, *points: tuple[int, int, float]) -> None:
    with database.write() as session:
        history.append(session, columns(*points))
        session.execute(text("UPDATE tail SET scored = 1, round = 0"))
    swap = history.compaction()
    assert swap is not None
    with database.write() as session:
        swap(session)


def read(history: History) -> list[tuple[int, int, float]]:
    found: Points = history.read(range(5_000), 0, FOR_EVER)
    return list(zip(found.series.tolist(), found.timestamps.tolist(), found.values.tolist(), strict=True))


def erase(database: Database, history: History, *numbers: int) -> dict[str, object]:
    swap = history.erasure(numbers)
    if swap is None:
        return {}
    with database.write() as session:
        return swap(session)


def test_points_of_a_series_leave_all_blocks_and_their_files_go(
    tmp_path: Path, database: Database, history: History
) -> None:
    block_of(database, history, (1, 10, 1.0), (2, 10, 2.0))
    block_of(database, history, (2, 20, 2.5), (4_200, 20, 3.0))
    block_of(database, history, (2, 30, 2.75))
    block_of(database, history, (3, 30, 4.0))
    before = {file.name for file in (tmp_path / "blobs").rglob("*.parquet")}
    told = erase(database, history, 2)
    assert (told["points_erased"], told["points_rewritten"], told["blocks_rewritten"]) == (3, 2, 3)
    assert read(history) == [(1, 10, 1.0), (3, 30, 4.0), (4_200, 20, 3.0)]
    after = {file.name for file in (tmp_path / "blobs").rglob("*.parquet")}
    assert len(after) == 3
    assert len(before & after) == 1  # the block that held none of them is as it was
    assert erase(database, history, 2) == {}


def test_a_value_of_an_erased_series_is_in_no_file(tmp_path: Path, database: Database, history: History) -> None:
    block_of(database, history, (1, 10, 1.0), (2, 10, 123456.789))
    database.scrub()
    unique = struct.pack("<d", 123456.789)
    assert any(unique in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    erase(database, history, 2)
    database.scrub()
    assert not any(unique in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_nothing_to_erase_changes_nothing(database: Database, history: History) -> None:
    block_of(database, history, (1, 10, 1.0))
    assert erase(database, history) == {}
    assert erase(database, history, 7) == {}
    assert read(history) == [(1, 10, 1.0)]


def test_an_erasure_that_is_cut_off_before_the_swap_loses_nothing_and_can_be_done_again(
    tmp_path: Path, database: Database, history: History
) -> None:
    block_of(database, history, (1, 10, 1.0), (2, 10, 2.0))
    assert history.erasure([2]) is not None  # written, and then the power went
    assert read(history) == [(1, 10, 1.0), (2, 10, 2.0)]
    erase(database, history, 2)
    assert read(history) == [(1, 10, 1.0)]


def test_an_erasure_that_was_overtaken_changes_nothing(database: Database, history: History) -> None:
    block_of(database, history, (1, 10, 1.0), (2, 10, 2.0))
    late = history.erasure([2])
    erase(database, history, 1)
    assert late is not None
    with pytest.raises(Stale), database.write() as session:
        late(session)
    assert read(history) == [(2, 10, 2.0)]


# the database


def test_what_was_deleted_is_legible_until_the_database_is_scrubbed(tmp_path: Path, database: Database) -> None:
    insert = "INSERT INTO fleets VALUES (:name, 'hand', 1)"
    with database.write() as session:
        session.execute(text(insert), [{"name": f"{SECRET} {i}"} for i in range(200)])
    with database.write() as session:
        session.execute(text("DELETE FROM fleets"))
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert kept
    database.scrub()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_scrubbing_keeps_what_is_there(database: Database) -> None:
    with database.write() as session:
        session.execute(text("INSERT INTO fleets VALUES ('pumps', 'hand', 1)"))
    database.scrub()
    with database.write() as session:
        session.execute(text("INSERT INTO fleets VALUES ('fans', 'hand', 1)"))
        assert session.scalar(text("SELECT count(*) FROM fleets")) == 2


def test_scrubbing_while_somebody_reads_says_so(tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'atalaia.db'}", busy_timeout_s=0.1)
    fresh_database(tmp_path).close()
    with other.write() as session:
        session.execute(text("INSERT INTO fleets VALUES ('pumps', 'hand', 1)"))
    with other.read() as session:
        session.execute(text("SELECT * FROM fleets")).all()
        with pytest.raises(Unavailable):
            other.scrub()
    other.scrub()
    other.close()


# who is meant


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    rules = [{"where": "labels", "match": "user", "action": "hash"}]
    with signals_in(tmp_path, rules=rules) as place:
        place.send(("a", 0, 1.0), ("b", 0, 1.0), ("c", 0, 1.0), ("user:x", 0, 1.0))
        with place.database.write() as session:
            place.signals.label(session, "a", {"user": SECRET, "site": "north"})
            place.signals.label(session, "b", {"site": "north"})
        yield place


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("label", f"user:{SECRET}", ["a"]),
        ("label", "site:north", ["a", "b"]),
        ("series_id", "c", ["c"]),
        ("series_id", "user:x", ["user:x"]),
        ("label", "user:x", []),
        ("series_id", "nobody", []),
    ],
)
def test_a_subject_is_found_by_label_or_id(place: Place, kind: str, value: str, found: list[str]) -> None:
    with place.database.read() as session:
        assert sorted(place.signals.subject(session, Subject(kind, value))) == found
        pseudonym = Subject("label", f"user:{place.signals.privacy.pseudonym(SECRET)}")
        assert list(place.signals.subject(session, pseudonym)) == ["a"]
