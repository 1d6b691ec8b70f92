"""The database's schema, step by step (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database

_HERE = Path(__file__).parent


def migrate(database: Database) -> None:
    """Bring the schema up to date, in one transaction; a second run does nothing.

    Raises
    ------
    Unavailable
        When the database was written by a later release.
    """
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            detail = f"the database was written by another release of Atalaia: {error}"
            raise Unavailable("database_unavailable", detail) from error
