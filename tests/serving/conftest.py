from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.serving.builders import Clock, Place, open_place

OpenPlace = Callable[..., Place]


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Drop what is logged; those who look for it capture it."""

    def drop(_logger: Any, _method: str, _event: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture
def open_serving(tmp_path: Path) -> Iterator[OpenPlace]:
    """Make serving with other settings; closed when the test is over."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(open_place(tmp_path, **settings))


@pytest.fixture
def place(open_serving: OpenPlace) -> Place:
    return open_serving()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
