"""SQL, once for SQLite and PostgreSQL: tables, sessions, and the one place that commits.

A read session is a snapshot. A write session is one transaction: it commits when its block ends without an
error and rolls back otherwise. On SQLite a write begins IMMEDIATE, so that it never fails half-way because
another writer was faster.

On PostgreSQL writers work side by side, and each statement of a write sees what was committed before it (READ
COMMITTED). Whoever reads in order to write holds what it read first: by a row lock (`with_for_update`, and
`populate_existing`), by `serialize`, or by a unique key and `insert_missing` or `upsert`.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import BigInteger, Engine, Integer, create_engine, make_url, text
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from atalaia.core.errors import AtalaiaError, Fault, Invalid
from atalaia.kit.database_settings import DatabaseSettings
from atalaia.kit.postgres import (
    PATIENCE,
    SNAPSHOT,
    Collided,
    busy,
    copy_rows,
    disk_full,
    driven_by_psycopg,
    meaning_of,
    postgres_engine,
    unreachable,
)
from atalaia.kit.sqlite import WRITES, prepare_sqlite

_CHUNK = 500
AutoId = BigInteger().with_variant(Integer, "sqlite")
"""Type of a primary key that counts up by itself on both databases."""

_log = structlog.get_logger(__name__)
_AFTER_COMMIT = "atalaia_after_commit"
_BEFORE_COMMIT = "atalaia_before_commit"
_TRIES = 4
_Result = TypeVar("_Result")


class Table(DeclarativeBase):
    """The root of all tables. Times in tables are int64 microseconds since the epoch."""


class Database:
    """A database and its sessions.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////data/atalaia.db`` or ``postgresql://user@host/name``.
    busy_timeout_s
        How long a writer waits for another before it gives up with `Unavailable`.
    settings
        Connections to PostgreSQL.

    Raises
    ------
    Invalid, Unavailable
        When the URL is none, or its driver is not installed.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0, settings: DatabaseSettings | None = None) -> None:
        self.url = url
        self._busy_timeout_s = busy_timeout_s
        try:
            place = driven_by_psycopg(make_url(url))
            if place.get_backend_name() == "postgresql":
                # Two pools: a writer that reads something beside never waits for a connection that others who
                # write, and wait for it, hold.
                self.engine, reading = (
                    postgres_engine(place, settings or DatabaseSettings(), busy_timeout_s=busy_timeout_s)
                    for _ in range(2)
                )
                self._reading: Engine = reading.execution_options(**{SNAPSHOT: True})
            else:
                self.engine = create_engine(place, pool_size=10, max_overflow=30, pool_timeout=busy_timeout_s)
                self._reading = self.engine
        except (ArgumentError, NoSuchModuleError) as error:
            reason = "is not the URL of a SQLite or PostgreSQL database"
            raise Invalid("invalid_settings", reason, faults=[Fault("/database_url", reason)]) from error
        self._writing: Engine = self.engine.execution_options(**{WRITES: True})
        self._lock = threading.Lock() if self.is_sqlite else None
        self._here = threading.local()
        if self.is_sqlite:
            prepare_sqlite(self.engine, busy_timeout_s)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded twin."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Generator[Session]:
        """Yield a session that sees one snapshot and changes nothing."""
        with _translated(), self._begun(self._reading) as session:
            yield session

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Generator[Session]:
        """Yield a session whose block is one transaction, durable once the block has ended.

        Parameters
        ----------
        patience_s
            How long a statement or a lock may take here, where that is not what the settings say (PostgreSQL only).

        Raises
        ------
        Unavailable
            When the database is locked for too long, full, or gone. Nothing was changed then, unless the connection
            was lost in the very moment of the commit: then nobody knows, and whoever must know asks again.
        RuntimeError
            In a block of another write: it would wait for itself.
        """
        engine = self._writing.execution_options(**{PATIENCE: patience_s}) if patience_s else self._writing
        with _translated(writes=True):
            with self._one_writer(), self._begun(engine) as session:
                yield session
                _finish(session)
                session.commit()
        for action in session.info.pop(_AFTER_COMMIT, []):
            _run_action(action)

    def scrub(self) -> None:
        """Leave nothing legible of what was deleted: neither in free pages, nor in the log of writes.

        The whole file is written anew, so that this takes a while and as much space again. On PostgreSQL the space
        of deleted rows becomes free; what its log and its backups hold is for whoever keeps them.

        Raises
        ------
        Unavailable
            When somebody holds the database, or the disk is full; all is as it was then.
        """
        if not self.is_sqlite:
            with _translated(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
            return
        with _translated(), self._one_writer(), closing(self.engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            held, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if held:
                raise busy()

    def transact(self, work: Callable[[Session], _Result]) -> _Result:
        """Return what `work` does in one transaction; it is done again when others were in its way.

        That happens on PostgreSQL only, where two transactions may wait for each other. `work` must bear to be
        called again: whatever it did to the database is undone, what it did elsewhere is not.
        """
        for _ in range(_TRIES - 1):
            try:
                with self.write() as session:
                    return work(session)
            except Collided:
                _log.info("transaction_done_again")
        with self.write() as session:
            return work(session)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
        self._reading.dispose()

    def _begun(self, engine: Engine) -> Session:
        """Return a session whose transaction has begun, unless beginning can wait.

        A connection to PostgreSQL may have lost its server while nobody used it: then another one is asked, once.
        """
        session = Session(engine, expire_on_commit=False)
        if self.is_sqlite:
            return session
        try:
            session.connection()
        except DBAPIError as error:
            session.close()
            if not error.connection_invalidated:
                raise
            session = Session(engine, expire_on_commit=False)
            session.connection()
        return session

    @contextmanager
    def _one_writer(self) -> Generator[None]:
        if getattr(self._here, "writes", False):
            raise RuntimeError("a write inside a write would wait for itself")
        # SQLite has one writer; queueing for it here is fair, its own busy handler is not.
        if self._lock is not None and not self._lock.acquire(timeout=self._busy_timeout_s):
            raise busy()
        self._here.writes = True
        try:
            yield
        finally:
            self._here.writes = False
            if self._lock is not None:
                self._lock.release()


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Run `action` once the session's transaction has committed; asked for again, it runs once, after the others.

    What it raises is logged: the change is made, and whoever made it must not be told otherwise.
    """
    actions: list[Callable[[], object]] = session.info.setdefault(_AFTER_COMMIT, [])
    if action in actions:
        actions.remove(action)
    actions.append(action)


Finish = Callable[[Session, list[Any]], object]


def before_commit(session: Session, finish: Finish, item: object) -> None:
    """Call `finish` with all such items as the last thing that the session's transaction does."""
    items: list[tuple[Finish, object]] = session.info.setdefault(_BEFORE_COMMIT, [])
    items.append((finish, item))


@contextmanager
def savepoint(session: Session) -> Generator[None]:
    """Undo what its block did to the session, and that alone, when it ends with an error."""
    actions: list[Callable[[], object]] = list(session.info.get(_AFTER_COMMIT, []))
    items: list[tuple[Finish, object]] = list(session.info.get(_BEFORE_COMMIT, []))
    try:
        with session.begin_nested():
            yield
    except BaseException:
        session.info[_AFTER_COMMIT], session.info[_BEFORE_COMMIT] = actions, items
        raise


def _finish(session: Session) -> None:
    gathered: dict[Finish, list[Any]] = {}
    for finish, item in session.info.pop(_BEFORE_COMMIT, []):
        gathered.setdefault(finish, []).append(item)
    for finish, items in gathered.items():
        finish(session, items)


def _run_action(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:
        _log.exception("action_after_commit_failed")


def serialize(session: Session, name: str) -> None:
    """Let no other transaction pass here under the same name until this one has ended; they wait.

    What the transaction reads from now on, it sees as those before left it. SQLite has a single writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(f"atalaia {name}".encode()).digest()[:8], signed=True)
        session.flush()
        session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def insert_many(session: Session, table: type[Table], columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert many rows, given column by column, in the fastest way of the driver; other columns have no value.

    PostgreSQL takes them as a COPY, about ten times faster than INSERT.
    """
    connection = session.connection()
    kinds = {name: table.__table__.columns[name].type.bind_processor(connection.dialect) for name in columns}
    bound = {name: list(map(kind, columns[name])) if (kind := kinds[name]) else columns[name] for name in columns}
    if connection.dialect.name == "postgresql":
        copy_rows(connection, table.__tablename__, bound)
        return
    statement: Any = _insert(session, table).values(dict.fromkeys(columns)).compile(dialect=connection.dialect)
    driver: Any = connection.connection.dbapi_connection
    driver.executemany(str(statement), zip(*(bound[name] for name in statement.positiontup), strict=True))


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yield parts of `items` that fit into one IN clause on every database."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def upsert(session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> None:
    """Insert `rows`, or where a row with the same `key` columns exists, set its other columns.

    Rows are locked in the order of `rows`: sort them where others may do the same.
    """
    if not rows:
        return
    statement = _insert(session, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed), list(rows))


def insert_missing(
    session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """Insert those of `rows` whose `key` columns no row has yet; one that another adds right now is waited for."""
    if rows:
        statement = _insert(session, cast("SqlTable", table.__table__))
        session.flush()
        session.connection().execute(statement.on_conflict_do_nothing(index_elements=list(key)), list(rows))


def _insert(session: Session, table: Any) -> Any:
    dialect = session.get_bind().dialect.name
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def reason_of(error: AtalaiaError) -> str:
    """Return what the driver said of an error, for those who run the service."""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return " ".join(str(cause or "").split())[:500]


@contextmanager
def _translated(*, writes: bool = False) -> Generator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        translated = _meaning(error, writes=writes)
        if translated is None:
            raise
        raise translated from error


def _meaning(error: Exception, *, writes: bool = False) -> AtalaiaError | None:
    """Return what an error means; one that says little may have followed from one that says more.

    On a full disk SQLite undoes the whole transaction by itself, and then knows no savepoint to go back to.
    """
    found, before = as_unavailable(error, writes=writes), error.__context__
    if found is not None and found.code == "database_unavailable" and isinstance(before, DBAPIError):
        return _meaning(before, writes=writes) or found
    return found


def as_unavailable(error: Exception, *, writes: bool = False) -> AtalaiaError | None:
    """Return what a driver's error means for the caller, or None if it is a fault of ours."""
    cause = getattr(error, "orig", None) or error  # the driver's own: SQLAlchemy's text repeats the parameters
    if isinstance(error, PoolTimeout):
        return unreachable()
    state: Any = getattr(cause, "sqlstate", False)
    if state is not False:
        return meaning_of(cause, state, writes=writes)
    if isinstance(cause, sqlite3.IntegrityError):
        return None
    text = str(cause).lower()
    if "disk is full" in text or "no space left" in text or "disk i/o error" in text:
        return disk_full()
    if "locked" in text or "busy" in text:
        return busy()
    damaged = getattr(cause, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if damaged or isinstance(error, OperationalError | sqlite3.OperationalError):
        return unreachable()
    return None
