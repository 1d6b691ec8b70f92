"""A POST sent twice is done once and answered the same."""

from typing import Any

import pytest
from sqlalchemy import text

from atalaia.core.clock import MICROS
from atalaia.core.errors import Invalid, Unavailable
from atalaia.kit.database import Database, savepoint
from atalaia.kit.idempotency import forget_keys, once
from tests.kit.fakes import Clock, add_up, count_of, count_up, in_threads


def post(database: Database, key: str | None, body: bytes = b"{}", route: str = "POST /points") -> dict[str, Any]:
    with database.write() as session:

        def act() -> dict[str, Any]:
            count_up(session, "done")
            return {"answer": body.decode(), "nested": [1, None, {"a": 1.5}]}

        return once(session, key, route, body, act)


def test_without_a_key_everything_is_done_every_time(database: Database) -> None:
    for key in (None, None, "", ""):
        post(database, key)
    assert count_of(database, "done") == 4


def test_with_a_key_it_is_done_once_and_answered_the_same(database: Database) -> None:
    assert post(database, "k") == post(database, "k")
    assert count_of(database, "done") == 1


def test_another_key_or_another_route_is_another_request(database: Database) -> None:
    post(database, "k")
    post(database, "l")
    post(database, "k", route="POST /training")
    assert count_of(database, "done") == 3


def test_the_same_key_with_another_body_is_refused(database: Database) -> None:
    post(database, "k", b"1")
    with pytest.raises(Invalid) as caught:
        post(database, "k", b"2")
    assert caught.value.code == "idempotency_mismatch"
    assert count_of(database, "done") == 1


def test_what_failed_may_be_tried_again_with_the_same_key(database: Database) -> None:
    def fail() -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.write() as session:
        once(session, "k", "POST /points", b"{}", fail)
    post(database, "k")
    assert count_of(database, "done") == 1


def test_many_at_once_with_one_key_are_one(database: Database) -> None:
    in_threads(6, lambda _: (post(database, "k"), add_up(database, "asked")))
    assert (count_of(database, "asked"), count_of(database, "done")) == (6, 1)


def test_old_keys_are_forgotten(database: Database, clock: Clock) -> None:
    post(database, "old")
    clock.advance(100)
    post(database, "new")
    with database.write() as session:
        forget_keys(session, clock.now - 50 * MICROS)
    post(database, "old")
    post(database, "new")
    assert count_of(database, "done") == 3


def test_a_key_that_does_not_fit_on_the_disk_says_so(database: Database) -> None:
    def fill() -> None:
        with database.write() as session:
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
            with savepoint(session):
                once(session, "k", "POST /points", b"{}", lambda: {"much": "x" * 100_000})
                session.flush()

    with pytest.raises(Unavailable) as refused:
        fill()
    assert refused.value.code == "disk_full"
