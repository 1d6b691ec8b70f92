"""The job table: enqueue, claim with a lease, finish, fail, cancel.

A job is ``queued``, then ``processing`` under a lease that its worker renews, then ``completed``, ``failed``
or ``cancelled``. When a lease runs out, another worker may claim the job. Completion is written in the same
transaction as what the job changes, and only by the holder of the lease: a job takes effect once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Conflict, Missing, Stale
from atalaia.core.ids import new_id, new_ids
from atalaia.kit.acting import acting
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database, after_commit, chunks, insert_many, serialize
from atalaia.kit.jobs.rows import BULK, ENDED, Claim, Job, JobRow, JobStatus, Waiting, job_of
from atalaia.kit.notes import note
from atalaia.kit.tracing import trace_parent

_TOLD = 1000
"""How many jobs of a crowd are told of: whoever is woken goes on to the others."""
_ENQUEUED = "atalaia_enqueued"
_ENQUEUED_ACTION = "atalaia_enqueued_action"
_AHEAD_US = 60 * MICROS
"""More than clocks of different machines differ."""
_LONGEST = 128
"""How many times the first pause between two attempts the longest is."""


class JobQueue:
    """The jobs of one database.

    Parameters
    ----------
    lease_s
        How long a claim lasts without a heartbeat.
    backoff_s
        Pause before the first retry; it doubles with each further one.
    """

    def __init__(self, database: Database, *, lease_s: float = 15.0, backoff_s: float = 1.0) -> None:
        self._database = database
        self.lease_s = lease_s
        self._backoff_s = backoff_s
        self._wakers: list[Callable[[Sequence[Waiting]], None]] = []
        self._cancellers: list[Callable[[str], None]] = []

    def on_enqueue(self, wake: Callable[[Sequence[Waiting]], None]) -> None:
        """Call `wake` with the jobs that this process has enqueued, once they are committed."""
        self._wakers.append(wake)

    def on_cancel(self, stop: Callable[[str], None]) -> None:
        """Call ``stop(job_id)`` whenever this process was asked to cancel a running job."""
        self._cancellers.append(stop)

    def enqueue(
        self,
        session: Session,
        kind: str,
        payload: Mapping[str, Any],
        *,
        subject: str | None = None,
        priority: int = 5,
        max_attempts: int = 5,
    ) -> Job:
        """Write a new job into the transaction of `session`. Higher `priority` (0 to 9) goes first."""
        now = now_us()
        row = JobRow(
            id=new_id("job"),
            kind=kind,
            subject=subject,
            payload=dict(payload),
            priority=priority,
            status=JobStatus.QUEUED,
            progress=0.0,
            attempts=0,
            max_attempts=max_attempts,
            run_at=now,
            cancel_requested=False,
            trace=trace_parent(),
            asked_by=acting().actor[:256],
            created_at=now,
        )
        session.add(row)
        self._tell(session, Waiting(row.id, priority, row.trace))
        return job_of(row)

    def enqueue_many(
        self,
        session: Session,
        kind: str,
        requests: Sequence[tuple[str | None, Mapping[str, Any]]],
        *,
        priority: int = 5,
        max_attempts: int = 5,
    ) -> list[str]:
        """Write jobs of one kind, of many subjects each with its payload, as `enqueue` does; return their ids."""
        now, trace, ids = now_us(), trace_parent(), new_ids("job", len(requests))
        same = {
            "kind": kind,
            "priority": priority,
            "status": JobStatus.QUEUED.value,
            "progress": 0.0,
            "attempts": 0,
            "max_attempts": max_attempts,
            "run_at": now,
            "cancel_requested": False,
            "trace": trace,
            "asked_by": acting().actor[:256],
            "created_at": now,
        }
        columns: dict[str, Sequence[Any]] = {name: [value] * len(ids) for name, value in same.items()}
        columns |= {"id": ids, "subject": [one for one, _ in requests], "payload": [one for _, one in requests]}
        insert_many(session, JobRow, columns)
        for job_id in ids[:_TOLD]:
            self._tell(session, Waiting(job_id, priority, trace))
        return ids

    def enqueue_unless_waiting(self, session: Session, kind: str, subject: str | None = None) -> bool:
        """Enqueue a job without payload unless one of its kind and subject has not ended; return whether."""
        serialize(session, f"job {kind} {subject}")
        same = (JobRow.kind == kind, JobRow.subject == subject, JobRow.status.not_in(ENDED))
        if session.scalar(select(JobRow.id).where(*same).limit(1)):
            return False
        self.enqueue(session, kind, {}, subject=subject, priority=1)
        return True

    def claim(self, kinds: Sequence[str]) -> Claim | None:
        """Take the most urgent waiting job of one of `kinds`, or one whose worker died."""
        with self._database.read() as session:
            if session.scalar(select(JobRow.id).where(self._claimable(kinds)).limit(1)) is None:
                return None  # the usual case costs no write
        with self._database.write() as session:
            urgent = (
                select(JobRow)
                .where(self._claimable(kinds))
                .order_by(JobRow.priority.desc(), JobRow.run_at, JobRow.id)
            )
            row = session.scalar(urgent.limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            if row.cancel_requested:  # its worker died, or gave it back, before it noticed
                _end_badly(session, row, JobStatus.CANCELLED)
                return None
            if row.attempts >= row.max_attempts:
                _end_badly(session, row, JobStatus.FAILED, _worker_lost(row.attempts))
                return None
            now = now_us()
            lease = new_id("lease")
            row.status, row.lease = JobStatus.PROCESSING, lease
            row.lease_until = now + int(self.lease_s * MICROS)
            row.started_at = row.started_at or now
            row.attempts += 1
            return Claim(job_of(row), lease)

    def heartbeat(self, claim: Claim, progress: float) -> bool:
        """Renew the lease; return whether somebody asked to cancel.

        Raises
        ------
        Stale
            When the lease is lost.
        """
        with self._database.write() as session:
            row = self._held(session, claim)
            row.lease_until = now_us() + int(self.lease_s * MICROS)
            row.progress = max(row.progress, min(progress, 1.0))
            return row.cancel_requested

    def complete(self, session: Session, claim: Claim, result: Mapping[str, Any]) -> None:
        """End the job well, in the transaction of what it changed.

        Raises
        ------
        Stale
            When the lease is lost; the transaction must not commit then.
        """
        _end(self._held(session, claim), JobStatus.COMPLETED, result=result)

    def hold(self, session: Session, claim: Claim) -> None:
        """Make sure, until the transaction ends, that nobody takes the job over.

        Raises
        ------
        Stale
            When the lease is lost.
        """
        self._held(session, claim)

    def fail(self, claim: Claim, error: Mapping[str, Any], *, retries: bool, cancelled: bool = False) -> None:
        """End the job badly, or put it back to try again later. A lost lease is nobody's business any more."""
        with self._database.write() as session:
            row = _locked(session, claim.job.job_id)
            if row is None or row.lease != claim.lease:
                return
            again = retries and row.attempts < row.max_attempts
            if cancelled or (again and row.cancel_requested):
                _end_badly(session, row, JobStatus.CANCELLED)
            elif again:
                row.status, row.lease, row.lease_until, row.error = JobStatus.QUEUED, None, None, dict(error)
                pause_s = self._backoff_s * min(2 ** (row.attempts - 1), _LONGEST)
                row.run_at = now_us() + int(pause_s * MICROS)
            else:
                _end_badly(session, row, JobStatus.FAILED, error)

    def cancel(self, session: Session, job_id: str) -> Job:
        """Cancel a waiting job at once, ask the worker of a running one to stop.

        Raises
        ------
        Missing, Conflict
            When there is no such job, or it has ended.
        """
        row = _locked(session, job_id)
        if row is None:
            raise unknown_job(job_id)
        if row.status in ENDED:
            raise Conflict("job_finished", f"the job is already {row.status}")
        row.cancel_requested = True
        note(session, "job_cancel_asked", row.id, kind=row.kind, of=row.subject or "")
        if row.status == JobStatus.QUEUED:
            _end_badly(session, row, JobStatus.CANCELLED)
        after_commit(session, lambda: self._stop(job_id))
        return job_of(row)

    def get(self, session: Session, job_id: str) -> Job:
        """Return one job.

        Raises
        ------
        Missing
            When there is no such job.
        """
        row = session.get(JobRow, job_id)
        if row is None:
            raise unknown_job(job_id)
        return job_of(row)

    def by_ids(self, session: Session, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those of some jobs that are there."""
        found: dict[str, Job] = {}
        for chunk in chunks(job_ids):
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(chunk)))
            found.update({row.id: job_of(row) for row in rows})
        return found

    def list(
        self,
        session: Session,
        *,
        kinds: Sequence[str] = (),
        status: str | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> tuple[list[Job], str | None]:
        """Return jobs, newest first, and the cursor of the next page."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(limit + 1)
        for wanted, condition in (
            (kinds, JobRow.kind.in_(kinds)),
            (status, JobRow.status == status),
            (subject, JobRow.subject == subject),
        ):
            query = query.where(condition) if wanted else query
        if keys := decode_cursor(cursor, str):
            query = query.where(JobRow.id < keys[0])
        page, following = page_of(session.scalars(query).all(), limit, lambda row: encode_cursor(row.id))
        return [job_of(row) for row in page], following

    def due(self, kinds: Sequence[str], limit: int) -> Sequence[Waiting]:
        """Return jobs that a worker may take now, the most urgent first."""
        query = select(JobRow.id, JobRow.priority, JobRow.trace).where(self._claimable(kinds))
        with self._database.read() as session:
            rows = session.execute(query.order_by(JobRow.priority.desc(), JobRow.run_at, JobRow.id).limit(limit))
            return [Waiting(*row) for row in rows]

    def depth(self, kinds: Sequence[str]) -> int:
        """Return how many jobs of these kinds have not ended."""
        waiting = select(func.count()).where(JobRow.kind.in_(kinds), JobRow.status.not_in(ENDED))
        with self._database.read() as session:
            return session.scalar(waiting.select_from(JobRow)) or 0

    def last(self, session: Session, kind: str, subject: str) -> Job | None:
        """Return the newest job of this kind and subject.

        One that has ended and is from the future does not count: the clock was ahead then, for an hour or a year.
        """
        here = or_(JobRow.created_at <= now_us() + _AHEAD_US, JobRow.status.not_in(ENDED))
        query = select(JobRow).where(JobRow.kind == kind, JobRow.subject == subject, here)
        row = session.scalar(query.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(1))
        return job_of(row) if row else None

    def forget(self, session: Session, older_than_us: int) -> int:
        """Delete the jobs that ended before the given moment; return how many."""
        done: CursorResult[Any] = session.execute(delete(JobRow).where(JobRow.finished_at < older_than_us))  # pyright: ignore[reportAssignmentType]
        return done.rowcount

    def release(self, claim: Claim) -> None:
        """Give a job back untouched, for another worker to take at once (a clean stop)."""
        with self._database.write() as session:
            same = (JobRow.id == claim.job.job_id, JobRow.lease == claim.lease)
            waiting = {"status": JobStatus.QUEUED, "lease": None, "lease_until": None}
            session.execute(update(JobRow).where(*same).values(attempts=JobRow.attempts - 1, **waiting))

    def _claimable(self, kinds: Sequence[str]) -> Any:
        """Return what makes a job one that may be taken now.

        A job whose time is further away than any pause between attempts was put there before the clock went back:
        it does not wait until the clock is there again.
        """
        now = now_us()
        strange = now + int(self._backoff_s * _LONGEST * MICROS) + _AHEAD_US
        due = or_(JobRow.run_at <= now, JobRow.run_at > strange)
        waiting = (JobRow.status == JobStatus.QUEUED) & due
        orphaned = (JobRow.status == JobStatus.PROCESSING) & (JobRow.lease_until < now)
        return JobRow.kind.in_(kinds) & or_(waiting, orphaned)

    def _held(self, session: Session, claim: Claim) -> JobRow:
        row = _locked(session, claim.job.job_id)
        if row is None or row.lease != claim.lease or row.status != JobStatus.PROCESSING:
            raise Stale("lease_lost", f"another worker took {claim.job.job_id} over")
        return row

    def _stop(self, job_id: str) -> None:
        for stop in self._cancellers:
            stop(job_id)

    def _tell(self, session: Session, waiting: Waiting) -> None:
        told: list[Waiting] | None = session.info.get(_ENQUEUED)
        if told is None:
            told = session.info[_ENQUEUED] = []
            session.info[_ENQUEUED_ACTION] = lambda: self._wake(session.info.pop(_ENQUEUED))
        told.append(waiting)
        after_commit(session, session.info[_ENQUEUED_ACTION])

    def _wake(self, jobs: Sequence[Waiting]) -> None:
        for wake in self._wakers:
            wake(jobs)


def problem(error: AtalaiaError) -> dict[str, Any]:
    """Return what a failed job says of its error."""
    faults = [{"pointer": fault.pointer, "message": fault.message} for fault in error.faults]
    return {"code": error.code, "kind": error.kind.value, "detail": error.detail, "errors": faults}


def unknown_job(job_id: str) -> Missing:
    """Return the error for a job that is not there."""
    return Missing("unknown_job", f"there is no job {job_id[:80]!r}")


def _locked(session: Session, job_id: str) -> JobRow | None:
    """Return a job as it is now, and hold it until the transaction ends."""
    query = select(JobRow).where(JobRow.id == job_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def _end(
    row: JobRow,
    status: JobStatus,
    *,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    row.status, row.finished_at = status, now_us()
    row.lease = row.lease_until = None
    row.payload = {name: value for name, value in row.payload.items() if name != BULK}
    row.result = dict(result) if result is not None else row.result
    row.error = dict(error) if error is not None else None
    row.progress = 1.0 if status == JobStatus.COMPLETED else row.progress


def _end_badly(session: Session, row: JobRow, status: JobStatus, error: Mapping[str, Any] | None = None) -> None:
    """End a job that changed nothing, and note that: good ends are noted by what they change."""
    _end(row, status, error=error)
    told = {} if error is None else {"code": error.get("code", ""), "detail": error.get("detail", "")}
    note(session, f"job_{status.value}", row.id, kind=row.kind, of=row.subject or "", **told)


def _worker_lost(attempts: int) -> dict[str, Any]:
    detail = f"the worker died {attempts} times on this job; look at its log before you queue it again"
    return {"code": "worker_lost", "kind": "broken", "detail": detail, "errors": []}
