"""Signals on a fresh SQLite file, with a scorer of a plain threshold."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.signals.builders import Place, signals_in

OpenPlace = Callable[..., Place]


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
