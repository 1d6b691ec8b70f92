"""Copies of a database while others write it: SQLite by its online backup, PostgreSQL by its own tools."""

import shutil
import sqlite3
import subprocess
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from atalaia.core.errors import Unavailable
from atalaia.kit.database import Database

_PLACES = Path("/usr/lib/postgresql")
_TOLD = 600


def dump(session: Session, database: Database, file: Path) -> None:
    """Write the database as `session` sees it to a file.

    Raises
    ------
    Unavailable
        When that fails, or PostgreSQL's tools are not there.
    """
    if database.is_sqlite:
        raw: Any = session.connection().connection.dbapi_connection
        with closing(sqlite3.connect(file)) as copy:
            raw.backup(copy)
        return
    snapshot = session.scalar(text("SELECT pg_export_snapshot()"))
    words = ["--format=custom", "--compress=0", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
    with _address(database.url, file.parent) as address:
        _run("pg_dump", [*words, f"--file={file}", f"--dbname={address}"])


def be_patient(session: Session, database: Database) -> None:
    """Let a transaction stay open while objects are copied."""
    if not database.is_sqlite:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def load(url: str, file: Path, *, clean: bool) -> None:
    """Fill a database of PostgreSQL from a dump, in one transaction.

    Parameters
    ----------
    clean
        Whether what is there is dropped first.

    Raises
    ------
    Unavailable
        When that fails: the database is as it was before.
    """
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    words += ["--clean", "--if-exists"] if clean else []
    with _address(url, file.parent) as address:
        _run("pg_restore", [*words, f"--dbname={address}", str(file)])


def copy_sqlite(source: Path, file: Path) -> None:
    """Copy a SQLite file that others may write."""
    with closing(sqlite3.connect(source, timeout=30)) as origin, closing(sqlite3.connect(file)) as copy:
        origin.backup(copy)


def program(name: str) -> Path:
    """Return where a tool of PostgreSQL lies, the newest one.

    Raises
    ------
    Unavailable
        When it is not installed.
    """
    found = sorted(_PLACES.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1]
    on_path = shutil.which(name)
    if on_path is None:
        detail = f"{name} is not installed; install PostgreSQL's client tools (Debian: postgresql-client)"
        raise Unavailable("no_backup_tool", detail)
    return Path(on_path)


@contextmanager
def _address(url: str, folder: Path) -> Generator[str]:
    """Yield the address of a database for PostgreSQL's tools; the password goes by a file, others see the words."""
    place = make_url(url).set(drivername="postgresql")
    if place.password is None:
        yield place.render_as_string(hide_password=False)
        return
    file = folder / ".pgpass"
    word = str(place.password).replace("\\", "\\\\").replace(":", "\\:")
    file.touch(mode=0o600)
    file.write_text(f"*:*:*:*:{word}\n", encoding="utf-8")
    try:
        told = place.update_query_dict({"passfile": str(file)})
        yield told._replace(password=None).render_as_string(hide_password=False)
    finally:
        file.unlink(missing_ok=True)


def _run(name: str, words: list[str]) -> None:
    done = subprocess.run([program(name), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        detail = f"{name} failed: {' '.join(done.stderr.split())[:_TOLD]}"
        raise Unavailable("database_unavailable", detail, retry_after_s=60)
