"""What the driver says has a name of ours, what waits gives up, and JSON is what PostgreSQL takes."""

import json
import math
import sys
import time
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from atalaia.core.errors import Invalid, Kind, Unavailable
from atalaia.kit import postgres
from atalaia.kit.database import Database, as_unavailable
from atalaia.kit.postgres import Collided, driven_by_psycopg, json_text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DiskFull("could not extend file"), "disk_full"),
        (errors.TooManyConnections("sorry, too many clients already"), "database_unavailable"),
        (errors.CannotConnectNow("the database system is starting up"), "database_unavailable"),
        (errors.AdminShutdown("terminating connection"), "database_unavailable"),
        (errors.CrashShutdown("terminating connection"), "database_unavailable"),
        (errors.ConnectionFailure("gone"), "database_unavailable"),
        (errors.ProtocolViolation("query_wait_timeout"), "database_unavailable"),
        (errors.IdleInTransactionSessionTimeout("terminating connection"), "database_unavailable"),
        (errors.InvalidCatalogName("database x does not exist"), "database_unavailable"),
        (errors.InvalidPassword("no"), "database_unavailable"),
        (errors.DataCorrupted("invalid page"), "database_unavailable"),
        (errors.QueryCanceled("statement timeout"), "database_busy"),
        (errors.LockNotAvailable("lock timeout"), "database_busy"),
        (errors.SerializationFailure("could not serialize"), "database_busy"),
        (errors.DeadlockDetected("deadlock"), "database_busy"),
        (psycopg.OperationalError("connection refused"), "database_unavailable"),
        (errors.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), "invalid_request"),
        (errors.UniqueViolation("duplicate key; the disk is full and locked"), None),
        (errors.UndefinedTable("relation does not exist"), None),
        (errors.NumericValueOutOfRange("out of range"), None),
        (errors.ReadOnlySqlTransaction("a read that writes"), None),
    ],
)
def test_an_error_of_the_driver_has_a_name(error: psycopg.Error, code: str | None) -> None:
    found = as_unavailable(DBAPIError("SELECT 1", {}, error))
    assert (found.code if found else None) == code


def test_a_server_that_only_reads_is_down_for_those_who_write() -> None:
    error = DBAPIError("INSERT", {}, errors.ReadOnlySqlTransaction("cannot execute INSERT"))
    found = as_unavailable(error, writes=True)
    assert found is not None
    assert found.kind is Kind.UNAVAILABLE


def test_what_collided_may_be_done_again() -> None:
    assert isinstance(as_unavailable(OperationalError("x", {}, errors.DeadlockDetected("x"))), Collided)
    assert not isinstance(as_unavailable(OperationalError("x", {}, errors.LockNotAvailable("x"))), Collided)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_url_is_driven_by_psycopg(scheme: str) -> None:
    url = driven_by_psycopg(make_url(f"{scheme}://me:secret@host:5433/name?sslmode=require"))
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://me:secret@host:5433/name?sslmode=require"
    )
    database = Database(str(url))
    assert not database.is_sqlite
    database.close()


@pytest.mark.parametrize("url", ["no url", "oracle9://host/name", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="not the URL") as caught:
        Database(url)
    assert caught.value.faults[0].pointer == "/database_url"


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(name="psycopg")

    monkeypatch.setattr(postgres, "create_engine", missing)
    with pytest.raises(Unavailable, match=r"psycopg; install .atalaia\[production\]"):
        Database("postgresql://host/name")


def test_what_waits_gives_up_when_nothing_comes_and_not_before() -> None:
    def patient() -> Generator[str, bool, str]:
        while not (yield "read"):
            pass
        return "answer"

    waiting = postgres._until(patient(), time.monotonic() + 60)
    assert next(waiting) == "read"
    assert waiting.send(False) == "read"
    with pytest.raises(StopIteration) as answered:
        waiting.send(True)
    assert answered.value.value == "answer"
    late = postgres._until(patient(), time.monotonic() - 1)
    next(late)
    with pytest.raises(postgres._Silent):
        late.send(False)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": [1, "x", None, True]}, {"a": [1, "x", None, True]}),
        ({"score": math.inf, "least": [-math.inf], "none": math.nan}, None),
    ],
)
def test_json_is_what_the_server_takes(value: Any, kept: Any) -> None:
    largest = sys.float_info.max
    read = json.loads(json_text(value), parse_constant=pytest.fail)
    assert read == (kept or {"score": largest, "least": [-largest], "none": None})
