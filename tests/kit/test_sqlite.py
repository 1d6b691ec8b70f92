"""A file is turned to a write-ahead log by whoever comes first, and the others wait for it."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from atalaia.kit.sqlite import prepare_sqlite


def journal_mode(file: Path, patience_s: float) -> str:
    engine = create_engine(f"sqlite:///{file}")
    prepare_sqlite(engine, patience_s)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("PRAGMA journal_mode")).scalar())
    finally:
        engine.dispose()


@pytest.mark.parametrize("held", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_file_that_others_hold_is_waited_for_and_given_up(tmp_path: Path, held: str) -> None:
    """For one that is about to be written SQLite does not wait, whatever its busy timeout."""
    file = tmp_path / "x.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE a (b integer)")
    other.execute(f"BEGIN {held}")
    with pytest.raises(OperationalError, match="locked"):
        journal_mode(file, 0.05)
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    began = time.monotonic()
    assert journal_mode(file, 20) == "wal"
    assert time.monotonic() - began < 15
    release.join()
    other.close()


def test_a_file_that_is_none_is_told_of_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"rubbish" * 1_000)
    began = time.monotonic()
    with pytest.raises(Exception, match="not a database"):
        journal_mode(tmp_path / "x.db", 20)
    assert time.monotonic() - began < 15
