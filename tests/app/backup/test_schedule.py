"""Backups by the clock."""

import re
from pathlib import Path

import pytest

from atalaia.app.backup import Site
from atalaia.app.backup import schedule as backups
from atalaia.app.build import build
from atalaia.core.clock import MICROS, now_us
from tests.app.backup.sites import settings_of, target_of

pytestmark = pytest.mark.slow


def test_the_scheduler_has_backups_made_and_the_metrics_tell_when(tmp_path: Path, site: Site) -> None:
    settings = settings_of(site.folder, to=str(tmp_path / "backups"))
    atalaia = build(settings)
    try:
        assert b"backup_last_success_timestamp_seconds 0.0" in atalaia.telemetry.render()
        for _ in range(2):  # the second finds that it waits
            backups.schedule(atalaia.site, atalaia.database, atalaia.queue)
        while atalaia.worker.work_once():
            pass
        backups.schedule(atalaia.site, atalaia.database, atalaia.queue)
        with atalaia.database.read() as session:
            (job,), _ = atalaia.queue.list(session, kinds=(backups.KIND,))
        assert job.status == "completed"
        assert job.finished_at is not None
        assert now_us() - job.finished_at < 60 * MICROS
        (shown,) = re.findall(
            r"^backup_last_success_timestamp_seconds (\S+)$", atalaia.telemetry.render().decode(), re.M
        )
        assert float(shown) == pytest.approx(job.finished_at / MICROS, abs=1)
    finally:
        atalaia.close()
    assert len(target_of(tmp_path).ids()) == 1
