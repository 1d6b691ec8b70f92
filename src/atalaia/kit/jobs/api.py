"""HTTP doors of jobs, whatever their kind."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from atalaia.core.models import ModelKey, Scope
from atalaia.kit.auth.permissions import needs
from atalaia.kit.database import Database
from atalaia.kit.jobs.queue import JobQueue, unknown_job
from atalaia.kit.jobs.rows import Job
from atalaia.kit.web.wire import Cursor, Limit, Wire, optional_time

StatusName = Literal["queued", "processing", "completed", "failed", "cancelled"]


class JobOut(Wire):
    """A job."""

    job_id: str
    kind: str
    status: StatusName
    progress: float
    series_id: str | None
    fleet_id: str | None
    asset_id: str | None
    attempts: int
    model_version: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None

    @staticmethod
    def of(job: Job) -> "JobOut":
        """Return `job` for the wire."""
        subject = job.subject or ""
        scope, _, name = subject.partition(":")
        return JobOut(
            job_id=job.job_id,
            kind=job.kind,
            status=job.status.value,
            progress=round(job.progress, 4),
            series_id=name if scope == Scope.SERIES else None,
            fleet_id=name if scope == Scope.FLEET else None,
            asset_id=name if scope == Scope.ASSET else None,
            attempts=job.attempts,
            model_version=(job.result or {}).get("model_version"),
            result=None if job.result is None else dict(job.result),
            error=None if job.error is None else dict(job.error),
            created_at=optional_time(job.created_at) or "",
            started_at=optional_time(job.started_at),
            finished_at=optional_time(job.finished_at),
        )


class JobPage(Wire):
    """Jobs, newest first."""

    items: list[JobOut]
    next: str | None


def jobs_router(database: Database, queue: JobQueue, prefix: str, kinds: tuple[str, ...] = ()) -> APIRouter:
    """Return the doors of jobs of some kinds, of all when none is named."""
    router = APIRouter(prefix=prefix, tags=["jobs"])

    @router.get("")
    @needs("jobs.read")
    def list_jobs(
        status: StatusName | None = None,
        series_id: Annotated[str | None, Query(max_length=256)] = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> JobPage:
        """List jobs, newest first."""
        subject = None if series_id is None else str(ModelKey(Scope.SERIES, series_id))
        with database.read() as session:
            items, following = queue.list(
                session, kinds=kinds, status=status, subject=subject, cursor=cursor, limit=limit
            )
        return JobPage(items=[JobOut.of(job) for job in items], next=following)

    @router.get("/{job_id}")
    @needs("jobs.read")
    def get_job(job_id: str) -> JobOut:
        """Show one job."""
        with database.read() as session:
            return JobOut.of(_of_kind(queue.get(session, job_id), kinds))

    @router.delete("/{job_id}")
    @needs("jobs.cancel")
    def cancel_job(job_id: str) -> JobOut:
        """Cancel a job: at once while it waits, at its next step while it runs."""
        with database.write() as session:
            _of_kind(queue.get(session, job_id), kinds)
            return JobOut.of(queue.cancel(session, job_id))

    return router


def _of_kind(job: Job, kinds: tuple[str, ...]) -> Job:
    if kinds and job.kind not in kinds:
        raise unknown_job(job.job_id)
    return job
