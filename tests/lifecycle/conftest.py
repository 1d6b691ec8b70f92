from collections.abc import Generator
from pathlib import Path

import pytest

from tests.lifecycle.builders import Workshop, open_workshop, wave


@pytest.fixture
def workshop(tmp_path: Path) -> Generator[Workshop]:
    with open_workshop(tmp_path) as shop:
        shop.history.fill("pump/7", wave())
        yield shop
