"""The trail on a real PostgreSQL: many processes chain one after the other, and nobody changes what is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from atalaia.app.migrations import migrate
from atalaia.core.clock import now_us
from atalaia.kit.audit.export import Exporter
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.audit.trail import Trail
from atalaia.kit.audit.verify import Verifier
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.notes import note, prune
from tests.kit.fakes import in_threads
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres.new_database())
    migrate(database)
    yield database
    database.close()


def test_the_trail_is_chained_by_many_and_changed_by_nobody(database: Database, tmp_path: Path) -> None:
    others = [Database(database.engine.url.render_as_string(hide_password=False)) for _ in range(4)]

    def write(i: int) -> None:
        for turn in range(25):
            with others[i].write() as session:
                note(session, "tried", f"{i}-{turn}")

    in_threads(4, write)
    blobs, trail = Blobs(tmp_path / "blobs"), Trail(database)
    verdict = Verifier(tmp_path, database, blobs).verify()
    assert (verdict.events, verdict.findings) == (100, [])
    for sql in (
        "UPDATE audit_events SET actor = 'x' WHERE sequence = 5",
        "DELETE FROM audit_events WHERE sequence = 5",
        "TRUNCATE audit_events",
    ):
        with pytest.raises(DBAPIError, match="never changed"), database.engine.begin() as connection:
            connection.execute(text(sql))
    exporter = Exporter(tmp_path, database, blobs, trail, AuditSettings(), lambda numbers: [])
    assert exporter.export_trail(all_of_it=True) == 100
    with database.write() as session:
        assert prune(session, now_us()) == 100
    verdict = Verifier(tmp_path, database, blobs).verify()
    assert (verdict.events, verdict.findings) == (2, [])
    for other in others:
        other.close()


def test_sqlite_refuses_changes_as_well(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'atalaia.db'}")
    migrate(database)
    Trail(database).note("login", "ada", "ada", {})
    for sql in ("UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"):
        with pytest.raises(DBAPIError, match="never changed"), database.engine.begin() as connection:
            connection.execute(text(sql))
    database.close()
