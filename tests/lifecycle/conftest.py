from collections.abc import Generator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from tests.lifecycle.builders import Workshop, open_workshop, wave
from tests.lifecycle.doors import doors_of


@pytest.fixture
def workshop(tmp_path: Path) -> Generator[Workshop]:
    with open_workshop(tmp_path) as shop:
        shop.history.fill("pump/7", wave())
        yield shop


@pytest.fixture
def app(workshop: Workshop) -> ASGIApp:
    return doors_of(workshop)
