"""A clock to turn by hand, a table to write to, and ways to wait that end."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import ForeignKey, Integer, String, event
from sqlalchemy.orm import Mapped, Session, mapped_column
from structlog.testing import capture_logs

from atalaia.core.clock import MICROS
from atalaia.core.facts import AnomalyOpened
from atalaia.kit.database import Database, Table

PATIENCE_S = 10.0
"""How long a test waits for a thread before it fails."""


class Clock:
    """Shows the time that it was set to, a microsecond later each time that somebody looks."""

    def __init__(self, now: int = 1_700_000_000 * MICROS) -> None:
        self.now = now

    def __call__(self) -> int:
        """Return the time in microseconds."""
        self.now += 1
        return self.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += round(seconds * MICROS)


class CounterRow(Table):
    """Something to count up."""

    __tablename__ = "test_counters"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(Integer, default=0)
    note: Mapped[str | None] = mapped_column(String)


class TickRow(Table):
    """Something that belongs to a counter."""

    __tablename__ = "test_ticks"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    counter: Mapped[str] = mapped_column(ForeignKey("test_counters.name"))


def open_database(path: Path, *, busy_timeout_s: float = PATIENCE_S) -> Database:
    """Return a database with all tables, made when missing, that does not wait for the disk."""
    database = Database(f"sqlite:///{path}", busy_timeout_s=busy_timeout_s)
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    Table.metadata.create_all(database.engine)
    return database


def add_up(database: Database, name: str = "a", by: int = 1) -> None:
    """Add to a counter in one transaction."""
    with database.write() as session:
        count_up(session, name, by)


def count_up(session: Session, name: str, by: int = 1) -> None:
    """Add to a counter."""
    row = session.get(CounterRow, name) or CounterRow(name=name, count=0)
    row.count += by
    session.add(row)


def count_of(database: Database, name: str = "a") -> int | None:
    """Return where a counter stands, None if it was never written."""
    with database.read() as session:
        row = session.get(CounterRow, name)
        return row.count if row else None


def opened(number: int = 0) -> AnomalyOpened:
    """Return a fact."""
    return AnomalyOpened(anomaly_id=f"ano_{number}", series_id="pump-7", score=1.5)


def wait_until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run ``work(i)`` in `count` threads at once; fail with the first error."""
    errors: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            gate.wait(PATIENCE_S)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@contextmanager
def logged(event: str, **bound: str) -> Generator[None]:
    """Keep the log quiet, and fail unless `event` was logged meanwhile, with what is `bound` to it."""
    with capture_logs() as lines:
        yield
    assert any({"event": event, **bound}.items() <= line.items() for line in lines), lines


DYING = """
def dying(act):
    def do(*args, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return act(*args, **more)
    return do
"""
"""For a program of a test: it kills itself at the call of what is `dying` for which none is `left`."""
