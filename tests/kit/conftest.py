"""What the tests of the kit share: a database in a folder, and a clock that moves when it is told to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atalaia.kit.database import Database
from tests.kit.fakes import Clock, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Yield an empty SQLite database with all tables."""
    database = open_database(tmp_path / "test.db")
    yield database
    database.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that jobs, facts and idempotency keys look at."""
    clock = Clock()
    for module in ("jobs.queue", "facts", "idempotency"):
        monkeypatch.setattr(f"atalaia.kit.{module}.now_us", clock)
    return clock
