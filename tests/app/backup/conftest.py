"""A small site."""

from pathlib import Path

import pytest

from atalaia.app.backup import Site
from tests.app.backup.sites import new_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a site with an object, a registry, secrets and a journal."""
    return new_site(tmp_path)
