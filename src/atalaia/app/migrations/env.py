"""How Alembic reaches the database: over the connection that it is given."""

from alembic import context
from sqlalchemy import create_engine

from atalaia.app.migrations.tables import METADATA


def run() -> None:
    """Run the migrations on the given connection, or on a scratch database when a new one is drafted."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        connection = create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://").connect()
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


run()
