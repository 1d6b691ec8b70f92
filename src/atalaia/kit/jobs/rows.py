"""The rows of jobs, and jobs as others see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from atalaia.kit.database import Table


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


BULK = "bulk"
"""Where a payload keeps what is large; it is dropped when the job has ended."""
ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


class JobRow(Table):
    """One job."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_waiting", "status", "priority", "run_at"),
        Index("jobs_subject", "kind", "subject"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(300))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    priority: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    max_attempts: Mapped[int] = mapped_column(Integer)
    run_at: Mapped[int] = mapped_column(BigInteger)
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    lease: Mapped[str | None] = mapped_column(String(32))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    trace: Mapped[str | None] = mapped_column(String(64))
    asked_by: Mapped[str | None] = mapped_column(String(256))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger, index=True)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as others see it. Times are microseconds since the epoch."""

    job_id: str
    kind: str
    subject: str | None
    status: JobStatus
    progress: float
    attempts: int
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    payload: Mapping[str, Any] = field(repr=False)
    trace: str | None = None
    asked_by: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that a worker may take, as wake-ups tell of it."""

    job_id: str
    priority: int
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease runs out."""

    job: Job
    lease: str


def job_of(row: JobRow) -> Job:
    """Return what a row says."""
    return Job(
        job_id=row.id,
        kind=row.kind,
        subject=row.subject,
        status=JobStatus(row.status),
        progress=row.progress,
        attempts=row.attempts,
        result=row.result,
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        payload=row.payload,
        trace=row.trace,
        asked_by=row.asked_by,
    )
