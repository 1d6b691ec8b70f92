"""Backups of a small site: what is in them, and what happens while they are made."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atalaia.app.backup import Site, Target, create, open_target, prune, verify
from atalaia.app.build import build
from atalaia.core.errors import Conflict, Invalid, Missing, Unavailable
from atalaia.kit.blobs import Listed
from tests.app.backup.sites import name_object, settings_of, site_of, target_of

pytestmark = pytest.mark.slow


def test_secrets_stay_out_of_a_readable_backup_unless_asked_for(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    assert create(site, target).of_kind("secret") == []
    assert len(create(site, target, with_secrets=True).of_kind("secret")) == 1


def test_a_second_backup_copies_what_is_new(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    first = create(site, target)
    second = create(site, target)
    assert second.size_bytes == first.size_bytes
    assert second.copied_bytes < first.copied_bytes / 10
    assert [manifest.backup_id for manifest in map(target.read, target.ids())] == [
        first.backup_id,
        second.backup_id,
    ]


def test_what_is_swept_while_it_is_copied_is_asked_for_again(tmp_path: Path, site: Site) -> None:
    """Between the snapshot and the copy an object is replaced: another snapshot names its successor."""
    atalaia = build(site.settings)
    target = target_of(tmp_path)
    taken = [0]
    blobs, get = site.blobs, site.blobs.get

    def moving(key: str, sha256: str | None = None) -> bytes:
        if taken[0] < 3:
            taken[0] += 1
            name_object(atalaia, os.urandom(100 + taken[0]))
            blobs.delete(key)
        return get(key, sha256)

    blobs.get = moving  # pyright: ignore[reportAttributeAccessIssue]
    try:
        manifest = create(site, target)
    finally:
        atalaia.close()
    assert manifest.damaged == []
    verify(target, manifest)


def test_an_object_that_is_gone_for_good_does_not_prevent_backups(tmp_path: Path, site: Site) -> None:
    (found,) = list(site.blobs.list("memory"))
    site.blobs.put(found.key, b"damaged")
    manifest = create(site, target_of(tmp_path))
    assert manifest.damaged == [found.key]
    verify(target_of(tmp_path), manifest)


def test_a_backup_that_is_killed_leaves_the_earlier_ones_and_the_next_goes_on(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    first = create(site, target)
    code = (
        "import os, signal, sys; from pathlib import Path; from atalaia.app.backup import *;"
        "from atalaia.app.settings import load_settings; from atalaia.app.build import open_blobs;"
        "s = load_settings({'data_dir': Path(sys.argv[1])});"
        "t = open_target(sys.argv[2], s.backup, s.blobs);"
        "t.write = lambda m: os.kill(os.getpid(), signal.SIGKILL);"
        "create(Site(s, open_blobs(s)), t)"
    )
    atalaia = build(site.settings)
    name_object(atalaia, os.urandom(3_000), "statistics/00001")
    atalaia.close()
    command = [sys.executable, "-c", code, str(site.folder), str(tmp_path / "backups")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert target.ids() == [first.backup_id]
    verify(target, first)
    assert list(site.folder.glob(".backup-*"))
    second = create(site, target)
    assert not list(site.folder.glob(".backup-*"))
    verify(target, second)
    prune(target, site.settings.backup)  # whoever was killed does not keep it from that
    verify(target, second)


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path, site: Site) -> None:
    with pytest.raises(Missing):
        create(site_of(settings_of(tmp_path / "nothing")), target_of(tmp_path))
    inside = open_target(str(site.folder / "backups"), site.settings.backup, site.settings.blobs)
    with pytest.raises(Conflict, match="data folder"):
        create(site, inside)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        open_target(str(tmp_path / "file" / "backups"), site.settings.backup, site.settings.blobs)
    with pytest.raises(Invalid):
        open_target("ftp://somewhere", site.settings.backup, site.settings.blobs)


def test_a_target_that_fills_up_fails_the_backup_and_keeps_the_earlier_one(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    first = create(site, target)
    atalaia = build(site.settings)
    name_object(atalaia, os.urandom(3_000))
    atalaia.close()

    class Full:
        name = str(tmp_path / "backups")

        def put(self, key: str, data: bytes) -> None:
            if key.startswith("blobs"):
                raise Unavailable("disk_full", "no space is left")

        def get(self, key: str) -> bytes:
            return target._store.get(key)

        def begin(self, key: str, length: int) -> bytes:
            return target._store.begin(key, length)

        def size(self, key: str) -> int | None:
            return target._store.size(key)

        def delete(self, key: str) -> None:
            target._store.delete(key)

        def list(self, prefix: str) -> Any:
            found: list[Listed] = [*target._store.list(prefix)]
            return iter(found)

    with pytest.raises(Unavailable):
        create(site, Target(Full(), None))
    assert target.ids() == [first.backup_id]
    verify(target, first)
