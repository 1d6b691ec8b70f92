"""One person's data are erased from a running service: nothing of them is left, and nobody else's changes."""

from pathlib import Path

import pytest

from atalaia.app.auditing import verify_audit
from atalaia.connectors.atalaia import Client
from tests.journeys.persons import (
    PERSON,
    WATCH,
    answers,
    check_a_new_life,
    check_certificate,
    erase,
    holders,
    live,
    number_of,
    without_the_trail,
)
from tests.journeys.servers import until
from tests.parts.journey import service

pytestmark = pytest.mark.slow


def test_a_person_is_erased_from_a_running_site(tmp_path: Path) -> None:
    with service(tmp_path, None, None, audit__segment_s=1, audit__export_every_s=0.5) as running:
        with Client(running.url) as client:
            live(running, client)
            assert holders(tmp_path)
            before = answers(client)
            old = number_of(running, WATCH)
            told = erase(client)
            until(lambda: answers(client) == before, "the follower to be back", timeout_s=20)
            check_certificate(running, told)
            data = without_the_trail(tmp_path / "atalaia.db")
            assert PERSON.encode() not in data
            left = [
                name for name in holders(tmp_path) if not name.startswith(("audit/", "blobs/audit/", "atalaia.db"))
            ]
            assert left == []
            assert verify_audit(running.atalaia.settings).findings == []
            assert all(one.ok for one in running.atalaia.lifecycle.verification.verified())
            check_a_new_life(client)
            assert number_of(running, WATCH) != old
            assert answers(client) == before
