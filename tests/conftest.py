"""What holds for every test: no outside world, no inherited settings, repeatable properties."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.parts.fixtures"]

TESTS = Path(__file__).resolve().parent
PATIENCE_S = 20.0
LOOPBACK = ["127.0.0.1", "::1", "localhost"]
MAY_SPEAK = frozenset({"contracts", "faults", "journeys", "services"})

settings.register_profile("dev", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Start without the settings of whoever runs the tests, here and in every process that a test starts.

    Those are not measured for coverage either: hundreds of servers would each start a quarter slower.
    """
    for name in [name for name in os.environ if name.startswith("ATALAIA_")]:
        del os.environ[name]
    if hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    settings.load_profile("ci" if "CI" in os.environ else "dev")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: at the end short ones are left, so that no worker waits for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Let collections of garbage pass over the thousands of tests."""
    set_aside()


@pytest.fixture(autouse=True)
def guarded_sockets(request: pytest.FixtureRequest) -> None:
    """Close the network: journeys, services, contracts and slow tests reach loopback, all others nothing.

    Unix sockets and socket pairs stay, because every event loop is made of one. The plugin opens the network again
    when the test is over.
    """
    item: pytest.Item = request.node
    if item.path.relative_to(TESTS).parts[0] in MAY_SPEAK or item.get_closest_marker("slow"):
        pytest_socket.socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
    else:
        pytest_socket.disable_socket(allow_unix_socket=True)


@pytest.fixture(autouse=True)
def small_heap(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let them pass over what earlier tests have left, too: MLflow keeps all stores that it ever opened."""
    yield
    if request.node.get_closest_marker("slow"):
        set_aside()


def set_aside() -> None:
    """Keep what there is out of later collections: each service that starts makes whole ones."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def no_threads_left() -> Iterator[None]:
    """Hold each module to ending the threads of the services that it started: others count them."""
    yield
    deadline = time.monotonic() + PATIENCE_S
    while (left := our_threads()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, "these threads outlive the tests that started them"


def our_threads() -> list[str]:
    """Return the names of our threads that run."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("atalaia-"))
