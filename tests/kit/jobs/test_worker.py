"""A worker does its jobs one after another, renews its lease, and outlives whatever a job or the database does."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from atalaia.core.errors import Invalid, Unavailable
from atalaia.kit.database import Database
from atalaia.kit.jobs import Job, JobQueue, JobStatus, Outcome, Run, Work, Worker
from atalaia.kit.jobs.rows import JobRow
from atalaia.kit.telemetry import Telemetry
from tests.kit.fakes import PATIENCE_S, Clock, count_of, count_up, logged, wait_until

Ended = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, lease_s=0.08, backoff_s=0.01)


@pytest.fixture
def start(database: Database, queue: JobQueue) -> Iterator[Callable[..., Worker]]:
    """Return a way to start a worker that is stopped when the test is over."""
    with ExitStack() as stack:

        def start(work: Work, poll_s: float = 0.5) -> Worker:
            worker = Worker(database, queue, {"train": work}, poll_s=poll_s)
            stack.callback(worker.stop)
            worker.start()
            return worker

        yield start


def put(database: Database, queue: JobQueue, max_attempts: int = 5) -> Job:
    with database.write() as session:
        return queue.enqueue(session, "train", {"a": 1}, max_attempts=max_attempts)


def look(database: Database, queue: JobQueue, job: Job) -> Job:
    with database.read() as session:
        return queue.get(session, job.job_id)


def ended(database: Database, queue: JobQueue, job: Job) -> Job:
    wait_until(lambda: look(database, queue, job).status in Ended)
    return look(database, queue, job)


def change(session: Session) -> Mapping[str, int]:
    count_up(session, "changes")
    return {"changed": 1}


def train(run: Run) -> Outcome:
    run.report(0.5)
    return Outcome({"attempt": run.attempt, **run.payload}, change)


def raising(error: Exception) -> Work:
    def work(_run: Run) -> Outcome:
        raise error

    return work


class Patient:
    """Work that goes on until it is told to stop."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.finish = threading.Event()

    def __call__(self, run: Run) -> Outcome:
        self.running.set()
        while not self.finish.wait(0.005):
            run.report(0.5)
        return Outcome({"done": True}, change)


def test_a_job_is_done_and_leaves_its_result_and_its_changes(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    worker = Worker(database, queue, {"train": train})
    assert worker.work_once() is True
    done = look(database, queue, job)
    assert (done.status, done.progress) == (JobStatus.COMPLETED, 1.0)
    assert done.result == {"attempt": 1, "a": 1, "changed": 1}
    assert count_of(database, "changes") == 1
    assert worker.work_once() is False


def test_attempts_are_counted_by_how_they_ended(database: Database, queue: JobQueue) -> None:
    telemetry = Telemetry()
    put(database, queue)
    Worker(database, queue, {"train": train}, telemetry=telemetry).work_once()
    assert b'jobs_attempted_total{how="completed",kind="train"} 1.0' in telemetry.render()


def test_a_job_may_leave_nothing_behind(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    Worker(database, queue, {"train": lambda _run: Outcome()}).work_once()
    assert look(database, queue, job).result == {}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("database_busy", "busy"), JobStatus.QUEUED, "database_busy"),
        (RuntimeError("a secret"), JobStatus.QUEUED, "internal_error"),
        (Invalid("invalid_training_data", "too few"), JobStatus.FAILED, "invalid_training_data"),
    ],
)
def test_only_what_may_pass_is_tried_again(
    database: Database, queue: JobQueue, error: Exception, status: JobStatus, code: str
) -> None:
    job = put(database, queue)
    with logged("job_attempted", how="broken" if code == "internal_error" else "failed"):
        Worker(database, queue, {"train": raising(error)}).work_once()
    found = look(database, queue, job)
    assert (found.status, (found.error or {})["code"]) == (status, code)
    assert "secret" not in str(found.error)


def test_a_job_that_fails_for_ever_is_given_up(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    job = put(database, queue, max_attempts=3)
    with logged("job_broken"):
        start(raising(RuntimeError("no")), poll_s=0.01)
        failed = ended(database, queue, job)
    assert (failed.status, failed.attempts) == (JobStatus.FAILED, 3)


def test_changes_that_fail_are_not_made_by_half(database: Database, queue: JobQueue) -> None:
    def half(session: Session) -> None:
        change(session)
        session.flush()
        raise RuntimeError("in the middle")

    job = put(database, queue, max_attempts=1)
    with logged("job_broken"):
        Worker(database, queue, {"train": lambda _run: Outcome(apply=half)}).work_once()
    assert look(database, queue, job).status == JobStatus.FAILED
    assert count_of(database, "changes") is None


def test_a_worker_that_lost_its_lease_changes_nothing(database: Database, clock: Clock) -> None:
    queue = JobQueue(database)
    other = Worker(database, queue, {"train": train})

    def overtaken(run: Run) -> Outcome:
        clock.advance(60)
        other.work_once()
        return train(run)

    job = put(database, queue)
    with logged("job_attempted", how="lost"):
        Worker(database, queue, {"train": overtaken}).work_once()
    done = look(database, queue, job)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 2)
    assert count_of(database, "changes") == 1


def test_a_job_that_takes_longer_than_its_lease_keeps_it(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    work = Patient()
    start(work, poll_s=0.01)
    job = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    wait_until(lambda: look(database, queue, job).progress == 0.5)  # the heartbeat brought it
    threading.Event().wait(3 * queue.lease_s)
    assert queue.claim(["train"]) is None
    work.finish.set()
    assert ended(database, queue, job).attempts == 1


def test_a_running_job_is_cancelled_long_before_its_next_heartbeat(
    database: Database, start: Callable[..., Worker]
) -> None:
    queue = JobQueue(database, lease_s=1000)
    work = Patient()
    worker = Worker(database, queue, {"train": work})
    worker.start()
    job = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    with database.write() as session:
        queue.cancel(session, job.job_id)
    cancelled = ended(database, queue, job)
    worker.stop()
    assert (cancelled.status, cancelled.error) == (JobStatus.CANCELLED, None)
    assert count_of(database, "changes") is None


def test_a_job_that_another_process_cancels_stops_at_the_next_heartbeat(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    work = Patient()
    start(work, poll_s=0.01)
    job = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    with database.write() as session:
        JobQueue(database).cancel(session, job.job_id)
    assert ended(database, queue, job).status == JobStatus.CANCELLED


def test_cancelling_one_job_leaves_the_running_one_alone(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    work = Patient()
    start(work)
    running = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    with database.write() as session:
        queue.cancel(session, queue.enqueue(session, "train", {}).job_id)
    work.finish.set()
    assert ended(database, queue, running).status == JobStatus.COMPLETED


def test_a_clean_stop_gives_the_job_back_without_counting_the_attempt(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    work = Patient()
    worker = start(work)
    job = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    worker.stop()
    left = look(database, queue, job)
    assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
    assert Worker(database, queue, {"train": train}).work_once() is True
    assert look(database, queue, job).status == JobStatus.COMPLETED


def test_a_job_that_was_claimed_while_the_worker_stopped_is_given_back(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    worker = Worker(database, queue, {"train": train})
    worker.stop()
    worker.work_once()
    assert look(database, queue, job).status == JobStatus.QUEUED


def test_a_worker_is_woken_by_a_new_job(database: Database, queue: JobQueue, start: Callable[..., Worker]) -> None:
    start(train, poll_s=1000.0)
    for _ in range(3):
        assert ended(database, queue, put(database, queue)).status == JobStatus.COMPLETED


def test_a_worker_finds_by_itself_what_another_process_enqueued(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    start(train, poll_s=0.01)
    assert ended(database, queue, put(database, JobQueue(database))).status == JobStatus.COMPLETED


def test_a_worker_outlives_a_database_that_is_down(
    database: Database, queue: JobQueue, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []
    claim = queue.claim

    def down_for_a_while(kinds: tuple[str, ...]) -> object:
        if len(failures) < 3:
            failures.append(1)
            raise Unavailable("database_unavailable", "down")
        return claim(kinds)

    monkeypatch.setattr(queue, "claim", down_for_a_while)
    with logged("worker_failed"):
        start(train, poll_s=0.01)
        assert ended(database, queue, put(database, queue)).status == JobStatus.COMPLETED


def test_a_lease_is_kept_though_a_heartbeat_fails(
    database: Database, queue: JobQueue, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []
    heartbeat = queue.heartbeat

    def fails_once(*arguments: object) -> bool:
        beats.append(1)
        if len(beats) == 1:
            raise Unavailable("database_busy", "busy")
        return heartbeat(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(queue, "heartbeat", fails_once)
    work = Patient()
    with logged("heartbeat_failed"):
        start(work)
        job = put(database, queue)
        wait_until(lambda: len(beats) > 2)
        work.finish.set()
        assert ended(database, queue, job).status == JobStatus.COMPLETED


def test_a_worker_that_hears_that_its_lease_is_lost_stops_the_work(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    work = Patient()
    worker = start(work, poll_s=1000.0)
    job = put(database, queue)
    assert work.running.wait(PATIENCE_S)
    with database.write() as session:
        session.execute(delete(JobRow).where(JobRow.id == job.job_id))
    wait_until(lambda: worker._run is None)
    assert count_of(database, "changes") is None


def test_workers_together_do_every_job_once(
    database: Database, queue: JobQueue, start: Callable[..., Worker]
) -> None:
    for _ in range(3):
        start(train, poll_s=0.01)
    jobs = [put(database, queue) for _ in range(12)]
    assert {ended(database, queue, job).status for job in jobs} == {JobStatus.COMPLETED}
    assert count_of(database, "changes") == 12


def test_stopping_before_the_start_is_fine(database: Database, queue: JobQueue) -> None:
    Worker(database, queue, {}).stop()
