"""SQLite as the embedded twin: its write-ahead log, and transactions that say at once whether they write."""

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, event

WRITES = "atalaia_write"
"""An execution option: whether transactions write."""
_PAUSE_S = 0.02


def prepare_sqlite(engine: Engine, busy_timeout_s: float) -> None:
    """Let connections of an engine be as we want them, and begin transactions ourselves."""

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            f"busy_timeout = {int(busy_timeout_s * 1000)}",
            "page_size = 16384",  # of a new file: batches of points are megabytes, and a page costs two calls
            "synchronous = FULL",
            "wal_autocheckpoint = 4000",  # pages that change often are copied once for many changes
            "foreign_keys = ON",
            "secure_delete = OFF",  # some builds fill what is deleted with zeros, at seven times the cost
        ):
            connection.execute(f"PRAGMA {pragma}")
        _write_ahead(connection, busy_timeout_s)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if raw.in_transaction:  # left open by a commit that failed
            raw.rollback()
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    _ = connect, begin


def _write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Keep a write-ahead log. While others turn the same new file to it, SQLite does not wait by itself."""
    until = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
