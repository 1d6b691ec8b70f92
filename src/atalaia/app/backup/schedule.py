"""Backups by the clock: a job that the scheduler queues, and what the metrics say of it."""

from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import select

from atalaia.app.backup.creation import create
from atalaia.app.backup.retention import prune
from atalaia.app.backup.site import Site
from atalaia.app.backup.target import open_target
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError
from atalaia.kit.database import Database
from atalaia.kit.jobs import JobQueue, JobStatus, Outcome, Run, Work
from atalaia.kit.jobs.rows import JobRow
from atalaia.kit.telemetry import Telemetry

KIND = "back_up"
_SUBJECT = "site"
_HOUR_US = 3_600 * MICROS
_AGAIN_US = 15 * 60 * MICROS
_log = structlog.get_logger(__name__)


def works(site: Site) -> dict[str, Work]:
    """Return what a worker does for backups."""
    settings = site.settings.backup

    def back_up(run: Run) -> Outcome:
        assert settings.to is not None
        target = open_target(settings.to, settings, site.settings.blobs)
        manifest = create(site, target, report=lambda done: run.report(0.95 * done))
        removed = 0
        with suppress(AtalaiaError):  # the backup is made; the next one tries again
            removed = len(prune(target, settings).backups)
        for key in manifest.damaged[:10]:
            _log.error("object_not_backed_up", key=key)
        told = {"backup_id": manifest.backup_id, "copied_bytes": manifest.copied_bytes}
        return Outcome({**told, "damaged": len(manifest.damaged), "removed": removed})

    return {KIND: back_up} if settings.to else {}


def schedule(site: Site, database: Database, queue: JobQueue) -> None:
    """Queue a backup when the last one is too old, or failed a while ago."""
    if site.settings.backup.to is None:
        return
    with database.read() as session:
        last = queue.last(session, KIND, _SUBJECT)
    if last is not None:
        failed = last.status in (JobStatus.FAILED, JobStatus.CANCELLED)
        every = min(_AGAIN_US, _every_us(site)) if failed else _every_us(site)
        if now_us() - last.created_at < every:
            return
    with database.write() as session:
        queue.enqueue_unless_waiting(session, KIND, _SUBJECT)


def watch(site: Site, database: Database, telemetry: Telemetry) -> None:
    """Let the metrics say when the last scheduled backup ended well, and how long it took."""
    if site.settings.backup.to is None:
        return

    def told(figure: Callable[[int, int], int]) -> float:
        query = select(JobRow.started_at, JobRow.finished_at)
        query = query.where(JobRow.kind == KIND, JobRow.subject == _SUBJECT, JobRow.status == JobStatus.COMPLETED)
        with database.read() as session:
            row = session.execute(query.order_by(JobRow.created_at.desc()).limit(1)).tuples().first()
        return figure(row[0] or 0, row[1] or 0) / MICROS if row else 0.0

    telemetry.gauge("backup_last_success_timestamp_seconds", lambda: told(lambda _, finished: finished), asks=True)
    telemetry.gauge(
        "backup_duration_seconds", lambda: told(lambda started, finished: finished - started), asks=True
    )


def _every_us(site: Site) -> int:
    return int(site.settings.backup.every_hours * _HOUR_US)
