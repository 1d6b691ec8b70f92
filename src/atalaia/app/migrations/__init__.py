"""The database's schema, step by step (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from atalaia.kit.database import Database

_HERE = Path(__file__).parent


def migrate(database: Database) -> None:
    """Bring the schema up to date, in one transaction; a second run does nothing."""
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")
