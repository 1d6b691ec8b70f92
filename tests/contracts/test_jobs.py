"""A job is claimed by one worker at a time, takes effect once, and always ends: on every twin of the database."""

import threading
import time

import pytest

from atalaia.core.errors import Conflict, Stale
from atalaia.kit.database import Database
from atalaia.kit.jobs import Job, JobQueue, JobStatus
from atalaia.kit.jobs.queue import Claim
from tests.contracts.conftest import Open
from tests.kit.fakes import Clock, count_of, count_up, in_threads

BROKEN = {"code": "internal_error", "kind": "broken", "detail": "x", "errors": []}


def put(database: Database, queue: JobQueue, count: int = 1, **options: object) -> list[Job]:
    with database.write() as session:
        return [
            queue.enqueue(session, "train", {"bulk": {"n": i}, "i": i}, **options)  # pyright: ignore[reportArgumentType]
            for i in range(count)
        ]


def finish(database: Database, queue: JobQueue, claim: Claim, name: str = "a") -> None:
    with database.write() as session:
        count_up(session, name)
        queue.complete(session, claim, {"ok": True})


def look(database: Database, queue: JobQueue, job: Job) -> Job:
    with database.read() as session:
        return queue.get(session, job.job_id)


def test_many_workers_claim_each_job_once(open_database: Open, database: Database) -> None:
    queues = [JobQueue(each) for each in (database, open_database())]
    jobs = put(database, queues[0], 40)
    claimed: list[str] = []

    def work(number: int) -> None:
        queue = queues[number % 2]
        idle = 0
        while idle < 3:
            claim = queue.claim(["train"])
            if claim is None:
                idle += 1
                time.sleep(0.01)
                continue
            claimed.append(claim.job.job_id)
            finish(database, queue, claim, claim.job.job_id)

    in_threads(6, work)
    assert sorted(claimed) == sorted(job.job_id for job in jobs)
    assert {count_of(database, job.job_id) for job in jobs} == {1}
    assert {look(database, queues[0], job).status for job in jobs} == {JobStatus.COMPLETED}


def test_a_claim_does_not_wait_for_another_that_is_being_made(open_database: Open, database: Database) -> None:
    if database.is_sqlite:
        return  # one writer at a time, for a moment each
    queue, other = JobQueue(database), JobQueue(open_database(busy_timeout_s=0.5))
    first, second = put(database, queue, 2)
    with database.write() as session:
        queue.cancel(session, first.job_id)  # holds the row until the transaction ends
        claim = other.claim(["train"])
    assert claim is not None
    assert claim.job.job_id == second.job_id


def test_the_most_urgent_goes_first(database: Database) -> None:
    queue = JobQueue(database)
    late = put(database, queue, priority=2)[0]
    urgent = put(database, queue, priority=9)[0]
    claims = [queue.claim(["train"]), queue.claim(["train"])]
    assert [claim.job.job_id for claim in claims if claim] == [urgent.job_id, late.job_id]


def test_a_lease_that_ran_out_is_taken_over_and_the_old_holder_changes_nothing(database: Database) -> None:
    queue = JobQueue(database, lease_s=0.05)
    put(database, queue)
    old = queue.claim(["train"])
    time.sleep(0.1)
    new = queue.claim(["train"])
    assert old is not None
    assert new is not None
    with pytest.raises(Stale), database.write() as session:
        queue.hold(session, old)
    with pytest.raises(Stale):
        finish(database, queue, old)
    assert count_of(database) is None
    queue.fail(old, BROKEN, retries=False)
    assert look(database, queue, new.job).status is JobStatus.PROCESSING


def test_a_job_that_fails_is_tried_again_until_it_has_failed_often_enough(database: Database) -> None:
    queue = JobQueue(database, backoff_s=0.001)
    job = put(database, queue, max_attempts=2)[0]
    for expected in (JobStatus.QUEUED, JobStatus.FAILED):
        time.sleep(0.01)
        claim = queue.claim(["train"])
        assert claim is not None
        queue.fail(claim, BROKEN, retries=True)
        assert look(database, queue, job).status is expected
    found = look(database, queue, job)
    assert found.error == BROKEN
    assert "bulk" not in found.payload


def test_a_job_does_not_wait_for_a_clock_that_went_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("atalaia.kit.jobs.queue.now_us", clock)
    queue = JobQueue(database, backoff_s=1.0)
    put(database, queue, max_attempts=2)
    clock.advance(-3 * 3600)
    claim = queue.claim(["train"])
    assert claim is not None
    queue.fail(claim, BROKEN, retries=True)
    assert queue.claim(["train"]) is None, "its pause is kept"
    clock.advance(1.1)
    assert queue.claim(["train"]) is not None


def test_pauses_between_attempts_grow_no_further_than_is_told_apart_from_a_clock_that_went_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("atalaia.kit.jobs.queue.now_us", clock)
    queue = JobQueue(database, backoff_s=1.0)
    put(database, queue, max_attempts=25)
    for attempt in range(12):
        claim = queue.claim(["train"])
        assert claim is not None
        queue.fail(claim, BROKEN, retries=True)
        assert queue.claim(["train"]) is None
        clock.advance(min(2**attempt, 128) + 0.1)


def test_a_job_that_ended_in_the_future_is_not_the_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("atalaia.kit.jobs.queue.now_us", clock)
    queue = JobQueue(database)
    first = put(database, queue, subject="pump")[0]
    clock.advance(3 * 3600)
    second = put(database, queue, subject="pump")[0]
    clock.advance(-3 * 3600)
    assert last(database, queue) == second.job_id, "it has not ended"
    for _ in range(2):
        claim = queue.claim(["train"])
        assert claim is not None
        finish(database, queue, claim)
    assert last(database, queue) == first.job_id
    clock.advance(3 * 3600)
    assert last(database, queue) == second.job_id


def last(database: Database, queue: JobQueue) -> str | None:
    with database.read() as session:
        found = queue.last(session, "train", "pump")
    return found.job_id if found else None


def test_a_cancel_and_the_end_of_a_job_at_once_agree(open_database: Open, database: Database) -> None:
    queues = [JobQueue(each) for each in (database, open_database())]
    for _ in range(10):
        job = put(database, queues[0])[0]
        claim = queues[0].claim(["train"])
        assert claim is not None
        told: list[str] = []
        gate = threading.Barrier(2)

        def end(gate: threading.Barrier = gate, claim: object = claim) -> None:
            gate.wait(5)
            with database.write() as session:
                queues[0].complete(session, claim, {})  # pyright: ignore[reportArgumentType]

        def cancel(gate: threading.Barrier = gate, job: Job = job, told: list[str] = told) -> None:
            gate.wait(5)
            try:
                with database.write() as session:
                    queues[1].cancel(session, job.job_id)
                told.append("asked")
            except Conflict:
                told.append("too late")

        in_threads(2, lambda number: (end if number else cancel)())
        assert look(database, queues[0], job).status is JobStatus.COMPLETED
        assert len(told) == 1


def test_the_same_job_is_queued_once_by_many_at_once(open_database: Open, database: Database) -> None:
    each = [database, open_database()]
    queue = JobQueue(database)
    queued: list[bool] = []

    def ask(number: int) -> None:
        with each[number % 2].write() as session:
            queued.append(queue.enqueue_unless_waiting(session, "compact", "history"))

    in_threads(6, ask)
    assert sum(queued) == 1


def test_a_crowd_is_queued_as_one_by_one(database: Database) -> None:
    queue = JobQueue(database)
    woken: list[int] = []
    queue.on_enqueue(lambda jobs: woken.append(len(jobs)))
    odd = 'a\tb\nc\\d"é\r'
    requests = [(f"series:{odd}{i}", {"name": odd, "i": i, "none": None, "x": 0.5}) for i in range(1_500)]
    with database.write() as session:
        ids = queue.enqueue_many(session, "train", [*requests, (None, {})], priority=7)
        assert queue.enqueue_many(session, "train", []) == []
    assert woken == [1_000]
    with database.read() as session:
        for at in (0, 777, 1_499):
            job = queue.get(session, ids[at])
            assert (job.subject, job.payload, job.status) == (*requests[at], JobStatus.QUEUED)
        assert queue.get(session, ids[1_500]).subject is None
    assert queue.depth(["train"]) == 1_501
    claim = queue.claim(["train"])
    assert claim is not None
    assert claim.job.job_id == ids[0]
    finish(database, queue, claim)


def test_a_crowd_is_queued_wholly_or_not_at_all(database: Database) -> None:
    queue = JobQueue(database)

    def queue_and_fail() -> None:
        with database.write() as session:
            queue.enqueue_many(session, "train", [("series:a", {})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        queue_and_fail()
    assert queue.depth(["train"]) == 0
