"""What the journeys share: a service in this process, with the settings that a test asks for."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings

Start = Callable[..., Embedded]


@contextmanager
def log_plainly() -> Generator[None]:
    """Log without the coloured tracebacks of an unconfigured log, which take seconds each."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Log plainly in every journey."""
    with log_plainly():
        yield


@pytest.fixture
def embed(tmp_path: Path) -> Iterator[Start]:
    """Start services in this process; they end with the test."""
    with ExitStack() as stack:

        def start(folder: str = "data", **settings: Any) -> Embedded:
            named = {name.replace("__", "."): value for name, value in settings.items()}
            wanted = load_settings({"data_dir": tmp_path / folder, "port": 0, **named})
            return stack.enter_context(Embedded(wanted))

        yield start


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Keep one service with default settings for the tests of a module that do not disturb each other."""
    folder = tmp_path_factory.mktemp("service")
    with Embedded(load_settings({"data_dir": folder / "data", "port": 0})) as service:
        yield service


@pytest.fixture
def http(running: Embedded) -> Iterator[httpx.Client]:
    """Speak to the service of the module as any program does."""
    with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as client:
        yield client
