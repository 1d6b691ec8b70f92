"""What the tests of the app share: a service object in a folder, closed when the test is over."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from atalaia.app.build import Atalaia, build
from atalaia.app.settings import load_settings

BuildOne = Callable[..., Atalaia]


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """Drop what is logged; those who look for it capture it."""

    def drop(_logger: Any, _method: str, _event: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture
def build_one(tmp_path: Path, quiet_log: None) -> Iterator[BuildOne]:
    """Put services together, with other settings if need be."""
    with ExitStack() as stack:

        def put_together(folder: str = "data", **settings: Any) -> Atalaia:
            atalaia = build(load_settings({"data_dir": tmp_path / folder, "port": 0, **settings}))
            stack.callback(atalaia.close)
            return atalaia

        yield put_together
