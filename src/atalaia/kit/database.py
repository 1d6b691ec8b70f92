"""SQL, once for SQLite and PostgreSQL: tables, sessions, and the one place that commits.

A read session is a snapshot. A write session is one transaction: it commits when its block ends without an
error and rolls back otherwise. On SQLite a write begins IMMEDIATE, so that it never fails half-way because
another writer was faster.
"""

import sqlite3
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import BigInteger, Connection, Engine, Integer, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from atalaia.core.errors import AtalaiaError, Unavailable

AutoId = BigInteger().with_variant(Integer, "sqlite")
"""Type of a primary key that counts up by itself on both databases."""

_log = structlog.get_logger(__name__)
_AFTER_COMMIT = "atalaia_after_commit"
_BEFORE_COMMIT = "atalaia_before_commit"
_WRITES = "atalaia_write"


class Table(DeclarativeBase):
    """The root of all tables. Times in tables are int64 microseconds since the epoch."""


class Database:
    """A database and its sessions.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////data/atalaia.db``.
    busy_timeout_s
        How long a writer waits for another before it gives up with `Unavailable`.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0) -> None:
        self.url = url
        self._busy_timeout_s = busy_timeout_s
        self.engine: Engine = create_engine(url, pool_size=10, max_overflow=30, pool_timeout=busy_timeout_s)
        self._writing: Engine = self.engine.execution_options(**{_WRITES: True})
        self._lock = threading.Lock() if self.is_sqlite else None
        if self.is_sqlite:
            _prepare_sqlite(self.engine, busy_timeout_s)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded twin."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Generator[Session]:
        """Yield a session that sees one snapshot and changes nothing."""
        with _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """Yield a session whose block is one transaction, durable once the block has ended.

        Raises
        ------
        Unavailable
            When the database is locked for too long, full, or gone. Nothing was changed then.
        """
        with _translated():
            with self._one_writer(), Session(self._writing, expire_on_commit=False) as session:
                yield session
                _finish(session)
                session.commit()
        for action in session.info.pop(_AFTER_COMMIT, []):
            _run_action(action)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _one_writer(self) -> Generator[None]:
        # SQLite has one writer; queueing for it here is fair, its own busy handler is not.
        if self._lock is None:
            yield
            return
        if not self._lock.acquire(timeout=self._busy_timeout_s):
            raise _busy()
        try:
            yield
        finally:
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


def upsert(session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> None:
    """Insert `rows`, or where a row with the same `key` columns exists, set its other columns."""
    if not rows:
        return
    dialect = session.get_bind().dialect.name
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed), list(rows))


def _prepare_sqlite(engine: Engine, busy_timeout_s: float) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            f"busy_timeout = {int(busy_timeout_s * 1000)}",
            "page_size = 16384",  # of a new file: batches of points are megabytes, and a page costs two calls
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 4000",  # pages that change often are copied once for many changes
            "foreign_keys = ON",
            "secure_delete = OFF",  # some builds fill what is deleted with zeros, at seven times the cost
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if raw.in_transaction:  # left open by a commit that failed
            raw.rollback()
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    _ = connect, begin


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        translated = _meaning(error)
        if translated is None:
            raise
        raise translated from error


def _meaning(error: Exception) -> AtalaiaError | None:
    """Return what an error means; one that says little may have followed from one that says more.

    On a full disk SQLite undoes the whole transaction by itself, and then knows no savepoint to go back to.
    """
    found, before = as_unavailable(error), error.__context__
    if found is not None and found.code == "database_unavailable" and isinstance(before, DBAPIError):
        return _meaning(before) or found
    return found


def as_unavailable(error: Exception) -> AtalaiaError | None:
    """Return what a driver's error means for the caller, or None if it is a fault of ours."""
    cause = getattr(error, "orig", None) or error  # the driver's own: SQLAlchemy's text repeats the parameters
    if isinstance(cause, sqlite3.IntegrityError):
        return None
    text = str(cause).lower()
    if "disk is full" in text or "no space left" in text or "disk i/o error" in text:
        return Unavailable("disk_full", "no space is left on the data disk; nothing was kept", retry_after_s=30)
    if "locked" in text or "busy" in text:
        return _busy()
    damaged = getattr(cause, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if damaged or isinstance(error, OperationalError | PoolTimeout | sqlite3.OperationalError):
        detail = "the database cannot be used right now; `atalaia doctor` says more"
        return Unavailable("database_unavailable", detail, retry_after_s=5)
    return None


def _busy() -> Unavailable:
    return Unavailable("database_busy", "another writer holds the database; try again", retry_after_s=1)
