"""Backups are chosen, and become too old."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from atalaia.app.backup import Manifest, Site, chosen, create, prune, verify
from atalaia.app.build import build
from atalaia.core.errors import Busy, Invalid, Missing
from tests.app.backup.sites import name_object, settings_of, target_of

pytestmark = pytest.mark.slow


def test_old_backups_go_and_those_that_stay_are_whole(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    made: list[Manifest] = []
    for number in range(3):
        atalaia = build(site.settings)
        name_object(atalaia, np.full(1_000, number).tobytes())
        atalaia.close()
        made.append(create(site, target))
    settings = settings_of(tmp_path / "data", keep_days=1e-9, keep_newest=2).backup
    told = prune(target, settings, dry_run=True)
    assert (told.backups, target.ids()) == ([made[0].backup_id], [one.backup_id for one in made])
    assert prune(target, settings).pieces > 0
    assert target.ids() == [one.backup_id for one in made[1:]]
    for manifest in made[1:]:
        verify(target, manifest)
    assert prune(target, site.settings.backup).backups == []


def test_backups_and_their_removal_keep_out_of_each_others_way(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    with target.working("backup"), pytest.raises(Busy):
        prune(target, site.settings.backup)
    held, done = threading.Event(), threading.Event()

    def pruning() -> None:
        with target.working("prune"):
            held.set()
            time.sleep(1)
            done.set()

    thread = threading.Thread(target=pruning, name="atalaia-test")
    thread.start()
    held.wait(10)
    create(site, target)
    assert done.is_set()
    thread.join()


def test_a_backup_is_chosen_by_id_by_time_or_as_the_newest(tmp_path: Path, site: Site) -> None:
    target = target_of(tmp_path)
    with pytest.raises(Missing):
        chosen(target, None)
    first, second = create(site, target), create(site, target)
    assert chosen(target, None) == second
    assert chosen(target, first.backup_id) == first
    assert chosen(target, f"{np.datetime64(first.snapshot_at, 'us')}+00:00") == first
    with pytest.raises(Missing):
        chosen(target, "2001-01-01T00:00:00Z")
    with pytest.raises(Invalid):
        chosen(target, "yesterday")
