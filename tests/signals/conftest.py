"""Signals on a fresh SQLite file, with a scorer of a plain threshold."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from atalaia.core.clock import now_us
from atalaia.signals import history
from tests.signals.builders import Place, signals_in
from tests.signals.rooms import Room

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
def open_place(tmp_path: Path) -> Iterator[OpenPlace]:
    """Make signals with other settings or another scorer; closed when the test is over."""
    with ExitStack() as stack:

        def open_one(scorer: Any = None, **settings: Any) -> Place:
            return stack.enter_context(signals_in(tmp_path, scorer, settings))

        yield open_one


@pytest.fixture
def place(open_place: OpenPlace) -> Place:
    return open_place()


@pytest.fixture
def open_room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    """Make a history on its own; closed when the test is over."""
    rooms: list[Room] = []

    def open_one(**settings: Any) -> Room:
        rooms.append(Room(tmp_path, **settings))
        return rooms[-1]

    yield open_one
    for room in rooms:
        room.database.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stop the clock of the history; the test moves it."""
    hands = [now_us()]
    monkeypatch.setattr(history, "now_us", lambda: hands[0])
    return hands
