"""The database's schema, step by step (Alembic).

Several processes may start at once, while others of the previous release still serve: one brings the schema up to
date and the others wait for it. Steps only add (``tests/house/test_migrations.py``), and none waits long for a
table that is in use, because whoever comes after it would wait too. So a process of the previous release may also
start again, or be put back. Steps are numbered; one that takes something away must be named otherwise, and whoever
does not know it does not start.
"""

import re
import time
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import text

from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database, serialize

_HERE = Path(__file__).parent
_PATIENCE_S = 600.0
"""How long a step may take, and how long others wait for it."""
_TABLE_S = 5
_TRIES = 5
_NUMBER = re.compile(r"\d{4}")
_log = structlog.get_logger(__name__)


def migrate(database: Database) -> None:
    """Bring the schema up to date, in one transaction; a second run does nothing.

    Raises
    ------
    Unavailable
        When the database was written by a release that took something away, cannot be reached, or its tables stay
        in use.
    """
    for left in reversed(range(_TRIES)):
        try:
            return _upgrade(database)
        except Unavailable as error:
            if error.code != "database_busy" or not left or database.is_sqlite:
                raise
            _log.info("tables_in_use", tries_left=left)
            time.sleep(1)


def _upgrade(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    with database.write(patience_s=_PATIENCE_S) as session:
        serialize(session, "migrations")
        if not database.is_sqlite:
            session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": f"{_TABLE_S}s"})
        config.attributes["connection"] = connection = session.connection()
        there = MigrationContext.configure(connection).get_current_revision()
        if _is_later(there, ScriptDirectory.from_config(config).get_current_head()):
            _log.warning("schema_of_a_later_release", revision=there)
            return
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            detail = f"the database was written by another release of Atalaia: {error}"
            raise Unavailable("database_unavailable", detail) from error


def _is_later(there: str | None, ours: str | None) -> bool:
    """Say whether a later release has brought a schema up to date, which only added to what we know."""
    return bool(there and ours and _NUMBER.fullmatch(there) and there > ours)


def knows(revision: str) -> bool:
    """Say whether this release knows a revision of the schema: a later one may have written it otherwise."""
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    return revision in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
