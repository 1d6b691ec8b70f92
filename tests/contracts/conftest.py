"""One battery for both twins of the database: SQLite, PostgreSQL, and PostgreSQL behind PgBouncer."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from atalaia.app.migrations import migrate
from atalaia.kit.database import Database, Table
from tests.kit.fakes import CounterRow, TickRow
from tests.parts.postgres import PgBouncer, Postgres

TWINS = ["sqlite", *(pytest.param(twin, marks=pytest.mark.slow) for twin in ("postgresql", "pgbouncer"))]
OURS = [Table.metadata.tables[row.__tablename__] for row in (CounterRow, TickRow)]
"""Tables of the tests."""
Open = Callable[..., Database]
_NAMES = itertools.count()


def new_url(server: Postgres) -> str:
    """Make an empty database that sorts texts as people do, which must not show, and return its URL."""
    name = f"contract_{next(_NAMES)}"
    server.execute(f"CREATE DATABASE {name} LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0")
    return server.url(name)


@pytest.fixture(params=TWINS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where an empty database is, once for each twin."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'atalaia.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    if request.param == "postgresql":
        return new_url(server)
    pool: PgBouncer = request.getfixturevalue("pgbouncer")
    return pool.url(new_url(server))


@pytest.fixture
def open_database(url: str) -> Iterator[Open]:
    """Open the database as another process does; closed with the test."""
    with ExitStack() as stack:

        def open_one(**settings: Any) -> Database:
            database = Database(url, **settings)
            stack.callback(database.close)
            return database

        yield open_one


@pytest.fixture
def database(open_database: Open) -> Database:
    """Return a database with the schema of the product, and the tables of the tests."""
    database = open_database()
    migrate(database)
    Table.metadata.create_all(database.engine, tables=OURS)
    return database
