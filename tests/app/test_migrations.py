"""The schema that the migrations make is the one that the code has, however often they run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from atalaia.app import migrations
from atalaia.app.migrations import migrate
from atalaia.app.migrations.tables import METADATA
from atalaia.core.errors import Unavailable
from atalaia.core.points import Points
from atalaia.kit.arrow import points_to_ipc, points_to_parquet
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.signatures import BEFORE
from atalaia.signals.store.history import manifest
from tests.app.conftest import BuildOne
from tests.kit.fakes import logged

FOLDER = Path(migrations.__file__).parent


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'atalaia.db'}")
    yield database
    database.close()


def is_ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Whether a table belongs to the code; the tests of the kit have some of their own."""
    return not (kind == "table" and (name or "").startswith("test_"))


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def schema(database: Database) -> dict[str, str]:
    with database.read() as session:
        rows = session.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).tuples()
        return {name: " ".join(sql.split()) for name, sql in rows}


def test_from_nothing_to_the_newest_is_what_the_code_has(database: Database) -> None:
    migrate(database)
    assert differences(database) == []
    assert {name for name in METADATA.tables if not name.startswith("test_")} <= tables(database)


def test_a_difference_is_seen(database: Database) -> None:
    migrate(database)
    with database.write() as session:
        session.execute(text("ALTER TABLE series ADD COLUMN colour TEXT"))
        session.execute(text("DROP INDEX ix_scored_hours_hour"))
    assert len(differences(database)) == 2


def test_a_second_run_changes_nothing(database: Database) -> None:
    migrate(database)
    before = schema(database)
    with database.write() as session:
        session.execute(text("INSERT INTO fleets VALUES ('pumps', 'hand', 1)"))
    migrate(database)
    assert schema(database) == before
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM fleets")) == 1


def test_back_to_the_beginning_leaves_nothing(database: Database) -> None:
    migrate(database)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.downgrade(config, "base")
    assert tables(database) <= {"alembic_version", "sqlite_sequence"}
    migrate(database)
    assert differences(database) == []


@pytest.mark.parametrize(("series", "bucket"), [(4_095, 0), (4_096, -1)])
def test_blocks_of_the_first_release_hold_all_series(database: Database, series: int, bucket: int) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "0001")
        session.execute(text("INSERT INTO blocks VALUES ('history/a.parquet', 7, 10, 20, 5, 99, 'sha', 1)"))
        columns = "number, series_id, labels, created_at, received, count, mean, m2"
        session.execute(text(f"INSERT INTO series ({columns}) VALUES ({series}, 'a', '{{}}', 1, 0, 0, 0, 0)"))  # noqa: S608
    migrate(database)
    with database.read() as session:
        (held,) = manifest(session)
    assert (held.key, held.bucket, held.sequence, held.rows) == ("history/a.parquet", bucket, 7, 5)
    assert held.first_series == 0
    assert held.last_series >= series


def test_points_of_an_earlier_release_are_learnt_anew_from_blocks_and_tail(
    tmp_path: Path, build_one: BuildOne
) -> None:
    folder = tmp_path / "data"
    blobs = Blobs(folder / "blobs")
    block = blobs.put("history/blk_1.parquet", points_to_parquet(minutes(0, 3)))
    database = Database(f"sqlite:///{folder / 'atalaia.db'}")
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "0002")
        columns = "number, series_id, labels, created_at, received, count, mean, m2"
        session.execute(text(f"INSERT INTO series ({columns}) VALUES (1, 'a', '{{}}', 1, 9, 9, 9, 9)"))  # noqa: S608
        held = {"key": block.key, "bucket": 0, "sequence": 1, "first_series": 1, "last_series": 1, "first_ts": 0}
        insert(session, "blocks", **held, last_ts=2, rows=3, size_bytes=1, sha256=block.sha256, created_at=1)
        for start, scored in ((3, True), (5, True), (7, False)):
            points = points_to_ipc(minutes(start, start + 2))
            insert(session, "tail", received_at=1, rows=2, first_ts=0, last_ts=9, scored=scored, points=points)
    database.close()
    signals = build_one().signals
    while signals.scoring.drain():
        pass
    with signals.database.read() as session:
        series = signals.series(session, "a")
    assert (series.received, series.statistics.count, series.statistics.mean) == (9, 9, 4.0)
    assert signals.history.read([1], 0, 1 << 62).values.tolist() == list(range(9))


def test_versions_of_an_earlier_release_say_that_they_are_not_signed(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "0005")
        insert(session, "models", key="series:a", latest=1, revision=0, created_at=1)
        kept = {"stage": "Staging", "algorithm": "a", "hyperparameters": "{}", "metrics": "{}", "series_count": 1}
        more = {"sha256": "s", "size_bytes": 1, "run_id": "r", "job_id": "j", "learnt": "{}", "created_at": 1}
        insert(session, "model_versions", key="series:a", number=1, **kept, **more)
    migrate(database)
    with database.read() as session:
        found = session.execute(text("SELECT signature, signed_by FROM model_versions")).one()
    assert found == (None, BEFORE)


def minutes(start: int, end: int) -> Points:
    at = np.arange(start, end)
    return Points(np.ones(len(at), np.int32), at * 60_000_000, at.astype(np.float64))


def insert(session: Session, table: str, **values: Any) -> None:
    marks = ", ".join(f":{name}" for name in values)
    session.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"), values)  # noqa: S608


def test_there_is_one_line_of_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def fail_late(*given: Any) -> None:
        upgrade(*given)
        raise RuntimeError("the power went")

    monkeypatch.setattr(command, "upgrade", fail_late)
    with pytest.raises(RuntimeError, match="power"):
        migrate(database)
    assert tables(database) == set()


def test_a_database_of_a_later_release_that_added_is_used_as_it_is(database: Database) -> None:
    migrate(database)
    with database.write() as session:
        session.execute(text("CREATE TABLE later (number integer)"))
        session.execute(text("ALTER TABLE series ADD COLUMN later integer"))
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = schema(database)
    with logged("schema_of_a_later_release", revision="9999"):
        migrate(database)
    assert schema(database) == before
    assert last_id_after_two(database, "series") == 2


@pytest.mark.parametrize("revision", ["minus-labels", "99999", "999", "0009x"])
def test_a_database_of_a_release_that_took_away_is_left_alone(database: Database, revision: str) -> None:
    migrate(database)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    before = schema(database)
    with pytest.raises(Unavailable, match="another release") as refused:
        migrate(database)
    assert refused.value.code == "database_unavailable"
    assert schema(database) == before


@pytest.mark.parametrize("table", ["tail", "outbox", "series"])
def test_ids_that_were_deleted_are_not_given_again(database: Database, table: str) -> None:
    """A follower that remembers the last id it saw must not miss a row because an id came back."""
    migrate(database)
    assert last_id_after_two(database, table) == 2
    with database.write() as session:
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    assert last_id_after_two(database, table) == 4


def last_id_after_two(database: Database, table: str) -> int:
    columns = [
        column for column in METADATA.tables[table].columns if not column.primary_key and not column.nullable
    ]
    names = ", ".join(column.name for column in columns)
    with database.write() as session:
        for turn in range(2):
            values = {column.name: value_of(column, turn) for column in columns}
            marks = ", ".join(f":{column.name}" for column in columns)
            session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)  # noqa: S608
        return session.scalar(text("SELECT last_insert_rowid()")) or 0


def value_of(column: Any, turn: int) -> Any:
    kind = column.type.python_type
    return f"{turn}" if kind is str else b"" if kind is bytes else "{}" if kind is dict else turn


def test_a_folder_with_odd_characters_holds_a_database(tmp_path: Path) -> None:
    folder = tmp_path / "dados #1 %20 água"
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'atalaia.db'}")
    migrate(database)
    database.close()
    assert (folder / "atalaia.db").exists()
