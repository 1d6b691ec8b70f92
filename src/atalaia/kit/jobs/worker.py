"""The embedded worker: a thread that claims jobs from the table and works on them one at a time.

A second thread renews the lease meanwhile. What a job computes, it computes outside of any transaction; what
it changes, it hands back as `Outcome.apply`, which runs in one transaction with the job's completion.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.orm import Session

from atalaia.core.errors import AtalaiaError, Broken, Stale
from atalaia.kit.acting import SYSTEM, acting_as
from atalaia.kit.database import Database
from atalaia.kit.jobs.queue import JobQueue, problem
from atalaia.kit.jobs.rows import Claim
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.tracing import Tracing, TracingSettings, span

_log = structlog.get_logger(__name__)


class Cancelled(Exception):
    """Somebody asked to cancel the job, or the worker is stopping."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job leaves behind.

    Attributes
    ----------
    result
        For whoever asks for the job.
    apply
        Makes the job's changes in the given session; what it returns is added to the result.
    """

    result: Mapping[str, Any] = field(default_factory=dict[str, Any])
    apply: Callable[[Session], Mapping[str, Any] | None] | None = None


class Run:
    """One attempt at a job, as its work sees it."""

    def __init__(self, claim: Claim) -> None:
        self.job_id = claim.job.job_id
        self.attempt = claim.job.attempts
        self.payload = claim.job.payload
        self.progress = 0.0
        self._stop = threading.Event()

    def report(self, progress: float) -> None:
        """Say how far the work is, 0 to 1, and stop here if it is not wanted any more.

        Raises
        ------
        Cancelled
            When the job was cancelled, its lease is lost or the worker stops.
        """
        self.progress = progress
        if self._stop.is_set():
            raise Cancelled

    def stop(self) -> None:
        """Make the next `report` raise."""
        self._stop.set()


Work = Callable[[Run], Outcome]


class Worker:
    """Works on jobs until it is stopped.

    Parameters
    ----------
    works
        For each kind of job, the function that does it.
    poll_s
        How often to look for jobs that nobody told of (enqueued by another process, retries, orphans).
    """

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        works: Mapping[str, Work],
        *,
        poll_s: float = 0.5,
        telemetry: Telemetry | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._database = database
        self._queue = queue
        self._works = dict(works)
        self._telemetry = telemetry
        self._tracing = tracing or Tracing(TracingSettings())
        self._poll_s = poll_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._run: Run | None = None
        self._thread = threading.Thread(target=self._loop, name="atalaia-worker", daemon=True)
        queue.on_enqueue(lambda _: self._wake.set())
        queue.on_cancel(self._stop_run)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop after the current job, or give it back when it reports its progress before it is done."""
        self._stopping.set()
        self._wake.set()
        run = self._run
        if run is not None:
            run.stop()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def work_once(self) -> bool:
        """Claim one job and do it; return whether there was one."""
        claim = self._queue.claim(tuple(self._works))
        if claim is None:
            return False
        job = claim.job
        told = {"id": job.job_id, "subject": job.subject or "", "attempt": job.attempts}
        acts = acting_as(SYSTEM, job=job.job_id, asked_by=job.asked_by or SYSTEM)
        with self._tracing.job(job.kind, job.trace, told), acts:
            self._attempt(claim)
        return True

    def _stop_run(self, job_id: str) -> None:
        run = self._run
        if run is not None and run.job_id == job_id:
            run.stop()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                if self.work_once():
                    continue
            except AtalaiaError as error:  # the database is down, say: keep trying
                _log.error("worker_failed", code=error.code, detail=error.detail)
            except Exception:
                _log.exception("worker_failed")
            self._wake.wait(self._poll_s)
            self._wake.clear()

    def _attempt(self, claim: Claim) -> None:
        run = self._run = Run(claim)
        if self._stopping.is_set():
            run.stop()
        log = _log.bind(job_id=run.job_id, kind=claim.job.kind, attempt=run.attempt)
        done = threading.Event()
        beat = threading.Thread(target=self._keep_lease, args=(claim, run, done), name="atalaia-lease", daemon=True)
        beat.start()
        try:
            outcome = self._works[claim.job.kind](run)
            done.set()
            beat.join()
            self._complete(claim, outcome)
            how = "completed"
        except Cancelled:
            self._cancelled(claim)
            how = "cancelled"
        except Stale:
            how = "lost"
        except AtalaiaError as error:
            self._queue.fail(claim, problem(error), retries=error.retries)
            how = "failed"
            log = log.bind(code=error.code, detail=error.detail)
        except Exception as error:
            log.exception("job_broken")
            detail = f"{type(error).__name__}: the log has the details under {run.job_id}"
            self._queue.fail(claim, problem(Broken("internal_error", detail)), retries=True)
            how = "broken"
        finally:
            done.set()
            self._run = None
        log.info("job_attempted", how=how)
        if self._telemetry is not None:
            self._telemetry.count("jobs_attempted_total", claim.job.kind, how)

    def _complete(self, claim: Claim, outcome: Outcome) -> None:
        with span("complete"), self._database.write() as session:
            self._queue.hold(session, claim)
            changed = outcome.apply(session) if outcome.apply else None
            self._queue.complete(session, claim, {**outcome.result, **(changed or {})})

    def _cancelled(self, claim: Claim) -> None:
        if self._stopping.is_set():
            self._queue.release(claim)
        else:
            self._queue.fail(claim, {}, retries=False, cancelled=True)

    def _keep_lease(self, claim: Claim, run: Run, done: threading.Event) -> None:
        while not done.wait(self._queue.lease_s / 4):
            try:
                if self._queue.heartbeat(claim, run.progress):
                    run.stop()
            except Stale:
                run.stop()
                return
            except Exception:
                _log.exception("heartbeat_failed", job_id=run.job_id)
