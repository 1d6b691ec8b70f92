"""The same request sent twice at once is done once, and both are answered the same."""

import pytest

from atalaia.core.errors import Invalid
from atalaia.kit.database import Database
from atalaia.kit.idempotency import once
from tests.contracts.conftest import Open
from tests.kit.fakes import add_up, count_of, count_up, in_threads


def test_twice_at_once_is_done_once(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    add_up(database, by=0)
    answers: list[dict[str, object]] = []

    def post(number: int) -> None:
        with each[number % 2].write() as session:

            def act() -> dict[str, object]:
                count_up(session, "a")
                return {"by": number}

            answers.append(once(session, "key", "POST /things", b"body", act))

    in_threads(6, post)
    assert count_of(database) == 1
    assert len({str(answer) for answer in answers}) == 1


def test_a_request_that_failed_leaves_its_key_free(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        once(session, "key", "POST /things", b"body", lambda: {"x": 1 // 0})
    with database.write() as session:
        assert once(session, "key", "POST /things", b"body", lambda: {"x": 2}) == {"x": 2}
    with pytest.raises(Invalid), database.write() as session:
        once(session, "key", "POST /things", b"other", lambda: {"x": 3})
