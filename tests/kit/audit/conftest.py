"""What the tests of the audit log share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.audit.builders import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.database.close()
