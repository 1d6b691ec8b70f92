"""The same schema on every twin, however often it is made and by however many at once."""

import threading
import time
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from atalaia.app import migrations
from atalaia.app.migrations import migrate
from atalaia.app.migrations.tables import METADATA
from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database
from tests.contracts.conftest import Open
from tests.kit.fakes import in_threads


def differences(database: Database) -> list[Any]:
    def is_ours(_thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        return not (kind == "table" and (name or "").startswith("test_"))

    with database.engine.connect() as connection:
        options = {"compare_type": True, "include_object": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def test_the_schema_is_what_the_code_has_and_a_second_run_changes_nothing(open_database: Open) -> None:
    database = open_database()
    for _ in range(2):
        migrate(database)
        assert differences(database) == []


def test_many_that_start_at_once_make_one_schema(open_database: Open) -> None:
    databases = [open_database() for _ in range(4)]
    in_threads(4, lambda number: migrate(databases[number]))
    assert differences(databases[0]) == []
    with databases[0].read() as session:
        assert session.scalar(text("SELECT count(*) FROM alembic_version")) == 1


def test_a_step_does_not_wait_long_for_a_table_in_use_and_is_tried_again(
    open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, other = open_database(), open_database()
    if database.is_sqlite:
        return
    monkeypatch.setattr(migrations, "_TABLE_S", 1)
    with other.write() as session:
        session.execute(text("CREATE TABLE series (number integer)"))
        session.execute(text("DROP TABLE series"))
        done = threading.Event()

        def start() -> None:
            migrate(database)
            done.set()

        thread = threading.Thread(target=start, daemon=True)
        thread.start()
        time.sleep(1.5)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()
    assert differences(database) == []


def test_a_database_of_a_later_release_is_used_unless_it_took_away(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(database)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'minus-labels'"))
    with pytest.raises(Unavailable, match="another release"):
        migrate(database)


def test_nothing_is_left_of_a_schema_that_could_not_be_made(
    open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database()
    upgrade = migrations.command.upgrade

    def fail_late(*given: Any) -> None:
        upgrade(*given)
        raise RuntimeError("the power went")

    monkeypatch.setattr(migrations.command, "upgrade", fail_late)
    with pytest.raises(RuntimeError, match="power"):
        migrate(database)
    assert inspect(database.engine).get_table_names() == []
