"""A manifest is that of its backup, or none."""

from pathlib import Path

import pytest

from atalaia.app.backup import Site, create
from atalaia.app.backup.manifest import decode, encode
from atalaia.core.errors import AtalaiaError, Broken
from tests.app.backup.sites import target_of

pytestmark = pytest.mark.slow


def test_a_manifest_of_another_backup_is_no_manifest(tmp_path: Path, site: Site) -> None:
    manifest = create(site, target_of(tmp_path))
    for data in (b"", b"{}", b'{"sha256":"x","manifest":[]}', encode(manifest) + b" "):
        with pytest.raises(AtalaiaError):
            decode(data, manifest.backup_id)
    with pytest.raises(Broken):
        decode(encode(manifest), "bak_other")
