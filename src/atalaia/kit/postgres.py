"""PostgreSQL: how connections to it are made, how long they wait, and what its errors mean.

Everything holds through PgBouncer in transaction mode too, where a connection may be another one in each
transaction: nothing is set for a session, nothing is prepared, and locks end with their transaction.
"""

import json
import math
import re
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import Dialect

from atalaia.core.errors import AtalaiaError, Fault, Invalid, Unavailable
from atalaia.kit.database_settings import DatabaseSettings

PATIENCE = "atalaia_patience_s"
"""Option of a transaction: how long one of its statements may take, in seconds."""
SNAPSHOT = "atalaia_snapshot"
"""Option of a transaction: it sees one moment, and changes nothing."""
_BEGIN = {False: "BEGIN ISOLATION LEVEL READ COMMITTED", True: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
_COPIED_LINES = 5_000
_ESCAPED = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_PLAIN = re.compile(r"[^\\\t\n\r]*").fullmatch
_DRIVER = "postgresql+psycopg"
_MARGIN_S = 2.0
"""The server ends a statement that takes too long; when it says nothing for this much longer, it is given up."""
_MILLI = 1_000


class Collided(Unavailable):
    """Two transactions were in each other's way, and this one was undone: done again, it may well succeed."""


def driven_by_psycopg(url: URL) -> URL:
    """Return the URL with the driver that we use, if it is one of PostgreSQL that names none."""
    return url.set(drivername=_DRIVER) if url.drivername in ("postgresql", "postgres") else url


def postgres_engine(url: URL, settings: DatabaseSettings, *, busy_timeout_s: float) -> Engine:
    """Return an engine whose transactions read what is committed, and end when they take too long.

    Raises
    ------
    Unavailable
        When the driver is not installed.
    """
    try:
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",  # of the driver: `_begin_at_once` says where a transaction begins
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=busy_timeout_s,
            pool_recycle=int(settings.recycle_s),
            connect_args=_connect_arguments(settings),
            json_serializer=json_text,
        )
    except ModuleNotFoundError as error:
        detail = f"PostgreSQL needs the package {error.name}; install `atalaia[production]`"
        raise Unavailable("database_unavailable", detail) from error
    _bound_waiting(engine, settings)
    _begin_at_once(engine, settings, busy_timeout_s)
    return engine


def meaning_of(cause: BaseException, sqlstate: str | None, *, writes: bool) -> AtalaiaError | None:
    """Return what an error of psycopg means for the caller, or None if it is a fault of ours."""
    state = sqlstate or ""
    if state in ("53100", "53400") or (state == "58030" and "space" in str(cause)):
        return disk_full()
    if state == "55P03":
        return busy()
    if state == "57014":
        return Unavailable("database_busy", "the database took too long over this; try again", retry_after_s=1)
    if state in ("40001", "40P01"):
        return Collided("database_busy", "two changes were in each other's way; try again", retry_after_s=1)
    if state[:2] in ("08", "25", "53", "57", "58", "3D", "28", "XX") and (state != "25006" or writes):
        return unreachable()
    name = type(cause).__name__
    if not state and name in ("OperationalError", "InterfaceError", "ConnectionTimeout"):
        return unreachable()
    if name == "DataError" and "NUL" in str(cause):
        reason = "texts may not hold the character U+0000"
        return Invalid("invalid_request", reason, faults=[Fault("", reason)])
    return None


def json_text(value: Any) -> str:
    """Return a value as JSON that PostgreSQL takes: it knows no infinity, and nothing that is no number."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast("list[Any]", value)]
    return value


def unreachable() -> Unavailable:
    """Return the error of a database that does not answer, or refuses to."""
    detail = "the database cannot be used right now; `atalaia doctor` says more"
    return Unavailable("database_unavailable", detail, retry_after_s=5)


def busy() -> Unavailable:
    """Return the error of a database that others keep busy."""
    return Unavailable("database_busy", "another writer holds the database; try again", retry_after_s=1)


def disk_full() -> Unavailable:
    """Return the error of a database that has no room left."""
    detail = "no space is left where the database keeps its data; nothing was kept, free some and try again"
    return Unavailable("disk_full", detail, retry_after_s=30)


def _connect_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    silence = settings.network_timeout_s
    return {
        "connect_timeout": math.ceil(settings.connect_timeout_s),
        "prepare_threshold": None,  # what one server has prepared, another behind the pool does not know
        "keepalives": 1,
        "keepalives_idle": max(1, int(silence / 2)),
        "keepalives_interval": max(1, int(silence / 6)),
        "keepalives_count": 3,
        "tcp_user_timeout": int(silence * _MILLI),
        "application_name": "atalaia",
    }


class _Silent(Exception):
    """The server said nothing for too long."""


class _Patient:
    """What a connection of psycopg waits for, it waits for so long and no longer.

    The timeouts of the server do not help when the server itself has stopped, or the network ends nowhere.
    """

    patience_s = math.inf

    def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
        """Wait as psycopg does, and close the connection when it takes too long."""
        inner: Any = super()
        try:
            return inner.wait(_until(gen, time.monotonic() + self.patience_s), *given, **named)
        except _Silent:
            me: Any = self
            me.close()
            raise me.silent(f"the server has not answered for {self.patience_s:g} s") from None


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """Hand on what psycopg waits for; it is woken now and then, when there is nothing to be had yet."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                gen.close()
                raise _Silent
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def _bound_waiting(engine: Engine, settings: DatabaseSettings) -> None:
    driver: Any = engine.dialect.loaded_dbapi
    silent = {"silent": driver.OperationalError, "patience_s": settings.connect_timeout_s}
    connection_class: Any = type("PatientConnection", (_Patient, driver.Connection), silent)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, _record: object, given: list[Any], named: dict[str, Any]) -> Any:
        return connection_class.connect(*given, **named)

    @event.listens_for(engine, "checkin")
    def checkin(connection: Any, _record: object) -> None:
        if connection is not None:
            connection.patience_s = settings.connect_timeout_s  # of the transaction that it is to begin next

    _ = connect, checkin


def _begin_at_once(engine: Engine, settings: DatabaseSettings, busy_timeout_s: float) -> None:
    """Begin transactions with their timeouts, in one message; whether the server is there shows by the way."""
    lock = int(busy_timeout_s * _MILLI)
    idle = int(settings.idle_in_transaction_timeout_s * _MILLI)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        asked: float | None = options.get(PATIENCE)
        patience_s = settings.statement_timeout_s if asked is None else asked
        raw: Any = connection.connection.dbapi_connection
        connection.exec_driver_sql(
            f"{_BEGIN[bool(options.get(SNAPSHOT))]};"
            f"SET LOCAL statement_timeout = {int(patience_s * _MILLI)};"
            f"SET LOCAL lock_timeout = {lock if asked is None else int(asked * _MILLI)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {idle}"
        )
        raw.patience_s = patience_s + _MARGIN_S

    _ = begin


def copy_rows(connection: Connection, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Copy rows into a table, given column by column, with values as their types have them; names are our own."""
    from psycopg import sql

    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    lines = map("\t".join, zip(*(map(_copied, column) for column in columns.values()), strict=True))
    driver: Any = connection.connection.dbapi_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        while part := "\n".join(islice(lines, _COPIED_LINES)):
            copy.write(part + "\n")


def _copied(value: Any) -> str:
    """Return a value in the text form of COPY."""
    if value is None:
        return "\\N"
    text = str(value)
    return text.translate(_ESCAPED) if not _PLAIN(text) else text
