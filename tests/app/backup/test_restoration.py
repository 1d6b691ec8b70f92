"""A site out of a backup: what damages, interrupts or refuses it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atalaia.app.backup import Site, chosen, create, restore, verify
from atalaia.app.backup.manifest import decode, encode
from atalaia.app.build import build
from atalaia.core.errors import Broken, Conflict, Denied, Missing, Unavailable
from tests.app.backup.sites import NAMES, files_of, series_of, settings_of, site_of, target_of

pytestmark = pytest.mark.slow


def test_all_of_it_comes_back_and_is_not_readable_when_sealed(tmp_path: Path, site: Site) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    target = target_of(tmp_path, key_file=key)
    manifest = create(site, target)
    assert manifest.sealed
    before = files_of(site.folder)
    everything = b"".join(p.read_bytes() for p in (tmp_path / "backups").rglob("*") if p.is_file())
    assert b"pump-1" not in everything
    assert b"signing_key" not in everything
    shutil.rmtree(site.folder)
    restore(site_of(settings_of(site.folder, key_file=key)), target, manifest)
    assert files_of(site.folder) == before
    assert (site.folder / "secrets/signing_key.pem").stat().st_mode & 0o077 == 0
    assert series_of(site.settings) == NAMES
    assert not list(site.folder.glob(".*ing-*"))


@pytest.mark.parametrize("sealed", [False, True])
def test_a_change_anywhere_is_found_and_no_site_is_made_of_it(tmp_path: Path, site: Site, sealed: bool) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    more = {"key_file": key} if sealed else {}
    manifest = create(site, target_of(tmp_path, **more))
    empty = site_of(settings_of(tmp_path / "elsewhere", **more))
    files = [p for p in (tmp_path / "backups").rglob("*") if p.is_file()]
    assert len(files) >= 5
    for path in files:
        data = path.read_bytes()
        for position in {0, len(data) // 3, len(data) // 2, len(data) - 1}:
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            target = target_of(tmp_path, **more)
            with pytest.raises((Broken, Denied, Conflict)):
                verify(target, target.read(manifest.backup_id))
            with pytest.raises((Broken, Denied, Conflict)):
                restore(empty, target, target.read(manifest.backup_id))
            assert empty.is_empty()
        path.write_bytes(data[:-1])
        with pytest.raises((Broken, Denied)):
            verify(target_of(tmp_path, **more), target_of(tmp_path, **more).read(manifest.backup_id))
        path.unlink()
        with pytest.raises((Broken, Missing)):
            verify(target_of(tmp_path, **more), target_of(tmp_path, **more).read(manifest.backup_id))
        path.write_bytes(data)
    restore(empty, target_of(tmp_path, **more), manifest)
    assert series_of(empty.settings) == NAMES


def test_another_key_or_none_is_told_apart_from_damage(tmp_path: Path, site: Site) -> None:
    keys = [tmp_path / "one", tmp_path / "two"]
    for key in keys:
        key.write_bytes(os.urandom(32))
    create(site, target_of(tmp_path, key_file=keys[0]))
    for target in (target_of(tmp_path), target_of(tmp_path, key_file=keys[1])):
        with pytest.raises(Denied, match="key"):
            chosen(target, None)


def test_a_taken_place_is_refused_and_with_force_put_aside(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    manifest = create(site, target)
    with pytest.raises(Conflict, match="--force"):
        restore(site, target, manifest)
    running = build(site.settings)
    try:
        assert running.leader.held()
        with pytest.raises(Conflict, match="runs"):
            restore(site, target, manifest, force=True)
    finally:
        running.close()
    told = restore(site, target, manifest, force=True)
    assert (Path(told.before) / "atalaia.db").is_file()
    assert series_of(site.settings) == NAMES


def test_a_later_release_and_another_database_are_refused(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    manifest = create(site, target)
    empty = site_of(settings_of(tmp_path / "elsewhere"))
    for change in ({"revision": "9999"}, {"database": "postgresql"}):
        with pytest.raises(Conflict):
            restore(empty, target, msgspec.structs.replace(manifest, **change))
    with pytest.raises(Conflict, match="later release"):
        decode(encode(msgspec.structs.replace(manifest, format=2)), manifest.backup_id)
    assert empty.is_empty()


def test_a_restore_that_is_interrupted_leaves_no_site_and_can_be_done_again(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    manifest = create(site, target)
    empty = site_of(settings_of(tmp_path / "elsewhere"))
    put = empty.blobs.put

    def failing(key: str, data: bytes) -> Any:
        raise Unavailable("disk_full", "no space is left")

    empty.blobs.put = failing  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(Unavailable):
        restore(empty, target, manifest)
    assert empty.is_empty()
    empty.blobs.put = put
    (empty.folder / ".restoring-bak_x").mkdir()
    restore(empty, target, manifest)
    assert series_of(empty.settings) == NAMES
    assert not list(empty.folder.glob(".restoring-*"))


@pytest.mark.parametrize("where", ["_put_objects", "_move", "_settle_file"])
def test_a_restore_that_is_killed_leaves_no_site_and_can_be_done_again(
    tmp_path: Path, site: Site, where: str
) -> None:
    target = target_of(tmp_path)
    manifest = create(site, target)
    code = (
        "import os, signal, sys; from pathlib import Path; from atalaia.app.backup import *;"
        "import atalaia.app.backup.restoration as r;"
        "from atalaia.app.settings import load_settings; from atalaia.app.build import open_blobs;"
        "s = load_settings({'data_dir': Path(sys.argv[1])});"
        "t = open_target(sys.argv[2], s.backup, s.blobs);"
        f"r.{where} = lambda *a: os.kill(os.getpid(), signal.SIGKILL);"
        "restore(Site(s, open_blobs(s)), t, chosen(t, None))"
    )
    empty = site_of(settings_of(tmp_path / "elsewhere"))
    command = [sys.executable, "-c", code, str(empty.folder), str(tmp_path / "backups")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert empty.is_empty()
    restore(empty, target, manifest)
    assert series_of(empty.settings) == NAMES
    assert not list(empty.folder.glob(".restoring-*"))
