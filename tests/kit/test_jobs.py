"""Whatever workers do and whenever they die: no job is lost, none takes effect twice, all end."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from atalaia.core.errors import Conflict, Stale
from atalaia.kit.jobs import Job, JobQueue, JobStatus
from atalaia.kit.jobs import queue as queues
from atalaia.kit.jobs.rows import ENDED, Claim
from tests.kit.fakes import Clock, count_of, count_up, open_database

LEASE_S = 15
MAX_ATTEMPTS = 3
KINDS = ["train"]


class JobsMachine(RuleBasedStateMachine):
    """Callers, workers and a clock, in any order; what each did is noted beside the table."""

    claims = Bundle("claims")
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        self.patch.setattr(queues, "now_us", self.clock)
        self.database = open_database(Path(self.folder.name) / "jobs.db")
        self.queue = JobQueue(self.database, lease_s=LEASE_S)
        self.known: list[str] = []
        self.completed: set[str] = set()
        self.ended: dict[str, JobStatus] = {}
        self.holders: dict[str, str] = {}

    def teardown(self) -> None:
        self.drain()
        self.database.close()
        self.patch.undo()
        self.folder.cleanup()

    def look(self) -> list[Job]:
        with self.database.read() as session:
            return self.queue.list(session, limit=1000)[0]

    def holds(self, claim: Claim) -> bool:
        return self.holders.get(claim.job.job_id) == claim.lease

    def take(self) -> Claim | None:
        claim = self.queue.claim(KINDS)
        if claim is not None:
            assert claim.job.job_id not in self.ended
            assert 1 <= claim.job.attempts <= MAX_ATTEMPTS
            self.holders[claim.job.job_id] = claim.lease
        return claim

    def complete(self, claim: Claim) -> None:
        try:
            with self.database.write() as session:
                count_up(session, claim.job.job_id)
                self.queue.complete(session, claim, {})
        except Stale:
            assert not self.holds(claim)
            return
        assert self.holds(claim)
        assert claim.job.job_id not in self.completed
        self.completed.add(claim.job.job_id)

    def drain(self) -> None:
        """Let a worker that never fails do what is left: everything ends, in a bounded number of steps."""
        for _ in range(2 * len(self.known) + 1):
            self.clock.advance(10 * LEASE_S)
            claim = self.take()
            if claim is not None:
                self.complete(claim)
        assert self.queue.depth(KINDS) == 0
        assert {job.job_id for job in self.look()} == set(self.known)
        for job_id in self.known:
            assert count_of(self.database, job_id) == (1 if job_id in self.completed else None)

    @rule(target=jobs, priority=st.integers(0, 9))
    def enqueue(self, priority: int) -> str:
        with self.database.write() as session:
            job = self.queue.enqueue(session, "train", {}, priority=priority, max_attempts=MAX_ATTEMPTS)
        self.known.append(job.job_id)
        return job.job_id

    @rule(target=claims)
    def claim(self) -> Claim | None:
        return self.take()

    @rule(claim=claims)
    def finish(self, claim: Claim | None) -> None:
        if claim is not None:
            self.complete(claim)

    @rule(claim=claims, retries=st.booleans())
    def fail(self, claim: Claim | None, retries: bool) -> None:
        if claim is None:
            return
        before = self.look()
        self.queue.fail(claim, {"code": "x"}, retries=retries)
        assert self.holds(claim) or self.look() == before

    @rule(claim=consumes(claims))
    def give_back(self, claim: Claim | None) -> None:
        if claim is None:
            return
        before = self.look()
        self.queue.release(claim)
        assert self.holds(claim) or self.look() == before

    @rule(claim=claims)
    def heartbeat(self, claim: Claim | None) -> None:
        if claim is None:
            return
        try:
            asked_to_stop = self.queue.heartbeat(claim, 0.5)
        except Stale:
            assert not self.holds(claim)
            return
        assert self.holds(claim)
        if asked_to_stop:
            self.queue.fail(claim, {}, retries=False, cancelled=True)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        before = {job.job_id: job.status for job in self.look()}[job_id]
        try:
            with self.database.write() as session:
                self.queue.cancel(session, job_id)
        except Conflict:
            assert before in ENDED
        else:
            assert before not in ENDED

    @rule(seconds=st.sampled_from([0.5, 5, LEASE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def the_end_is_the_end(self) -> None:
        for job in self.look():
            assert self.ended.get(job.job_id, job.status) == job.status
            assert (job.status == JobStatus.COMPLETED) == (job.job_id in self.completed)
            if job.status in ENDED:
                self.ended[job.job_id] = job.status
            if job.status != JobStatus.PROCESSING:
                self.holders.pop(job.job_id, None)


TestJobs = JobsMachine.TestCase
TestJobs.settings = settings(max_examples=25, stateful_step_count=25)
