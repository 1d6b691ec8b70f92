"""The cable between the roles and PostgreSQL is pulled: packets vanish, no connection ends by itself."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from tests.parts.proxy import Proxy

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Cable:
    """What lies between the roles and a database."""

    url: str
    cut: Callable[[], object]
    join: Callable[[], object]


@pytest.fixture
def cable(parts_folder: Path) -> Iterator[Cable]:
    """Run a database far away: in a network of its own or, where none may be made, behind a proxy that swallows."""
    folder = parts_folder / "postgres-far-away"
    if Network.is_possible():
        with Network() as network, Postgres(folder, host=network.host, within=network.within) as server:
            yield Cable(server.new_database(), network.cut, network.join)
        return
    with Postgres(folder) as server, Proxy(server.port) as proxy:
        url = server.new_database().replace(f":{server.port}/", f":{proxy.port}/")
        yield Cable(url, proxy.silence, proxy.heal)


def test_a_network_that_is_cut_and_comes_back(cable: Cable, tmp_path: Path) -> None:
    with running_roles(cable.url, tmp_path, database__network_timeout_s=3) as roles:
        with Sender(roles["api"]) as sender:
            for again in range(2):
                before = len(sender.refused)
                cable.cut()
                began = time.monotonic()
                until(lambda: len(sender.refused) > before + 1, "points to be refused", timeout_s=30)  # noqa: B023
                print(f"points were refused {time.monotonic() - began:.2f} s after the cable was pulled")
                assert_goes_on(roles)
                assert_refused(sender)
                if not again:
                    assert_scraped(roles)
                cable.join()
                back = sender.recovered_s(time.monotonic())
                print(f"after the cable was back: {back:.2f} s")
                assert back < 15
        assert_nothing_lost(roles, sender)
