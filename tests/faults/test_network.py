"""The cable between the roles and PostgreSQL is pulled: packets vanish, no connection ends by itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.outages import (
    Sender,
    assert_goes_on,
    assert_nothing_lost,
    assert_refused,
    assert_scraped,
    running_roles,
)
from tests.journeys.servers import until
from tests.parts.networks import Network
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def network() -> Iterator[Network]:
    """Make a network for the database."""
    if not Network.is_possible():
        pytest.skip("network namespaces cannot be made here")
    with Network() as network:
        yield network


def test_a_network_that_is_cut_and_comes_back(network: Network, parts_folder: Path, tmp_path: Path) -> None:
    folder = parts_folder / "postgres-far-away"
    with (
        Postgres(folder, host=network.host, within=network.within) as server,
        running_roles(server.new_database(), tmp_path, database__network_timeout_s=3) as roles,
    ):
        with Sender(roles["api"]) as sender:
            for again in range(2):
                before = len(sender.refused)
                network.cut()
                began = time.monotonic()
                until(lambda: len(sender.refused) > before + 1, "points to be refused", timeout_s=30)  # noqa: B023
                print(f"points were refused {time.monotonic() - began:.2f} s after the cable was pulled")
                assert_goes_on(roles)
                assert_refused(sender)
                if not again:
                    assert_scraped(roles)
                network.join()
                back = sender.recovered_s(time.monotonic())
                print(f"after the cable was back: {back:.2f} s")
                assert back < 15
        assert_nothing_lost(roles, sender)
