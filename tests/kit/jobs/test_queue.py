"""A job is claimed by one worker at a time, takes effect once, and always ends."""

import pytest

from atalaia.core.clock import MICROS
from atalaia.core.errors import Busy, Conflict, Fault, Invalid, Missing, Stale
from atalaia.kit.database import Database
from atalaia.kit.jobs import Job, JobQueue, JobStatus
from atalaia.kit.jobs.queue import problem
from atalaia.kit.jobs.rows import BULK, Claim
from tests.kit.fakes import Clock, count_of, count_up, in_threads

BROKEN = {"code": "internal_error", "kind": "broken", "detail": "x", "errors": []}


@pytest.fixture
def queue(database: Database, clock: Clock) -> JobQueue:
    _ = clock
    return JobQueue(database, lease_s=15, backoff_s=1)


def put(database: Database, queue: JobQueue, kind: str = "train", **options: object) -> Job:
    with database.write() as session:
        return queue.enqueue(session, kind, {"a": 1}, **options)  # pyright: ignore[reportArgumentType]


def look(database: Database, queue: JobQueue, job: Job) -> Job:
    with database.read() as session:
        return queue.get(session, job.job_id)


def cancel(database: Database, queue: JobQueue, job: Job) -> Job:
    with database.write() as session:
        return queue.cancel(session, job.job_id)


def finish(database: Database, queue: JobQueue, claim: Claim) -> None:
    with database.write() as session:
        count_up(session, claim.job.job_id)
        queue.complete(session, claim, {"model_version": "v1"})


def take(queue: JobQueue, *kinds: str) -> Claim:
    claim = queue.claim(kinds or ("train",))
    assert claim is not None
    return claim


# the life of a job


def test_a_job_is_queued_then_processing_then_completed(database: Database, queue: JobQueue) -> None:
    job = put(database, queue, subject="series:pump-7")
    assert (job.status, job.progress, job.attempts) == (JobStatus.QUEUED, 0.0, 0)
    claim = take(queue)
    assert claim.job.job_id == job.job_id
    assert claim.job.payload == {"a": 1}
    assert look(database, queue, job).status == JobStatus.PROCESSING
    assert queue.heartbeat(claim, 0.5) is False
    assert look(database, queue, job).progress == 0.5
    finish(database, queue, claim)
    done = look(database, queue, job)
    assert (done.status, done.progress, done.result) == (JobStatus.COMPLETED, 1.0, {"model_version": "v1"})
    assert done.error is None
    assert done.created_at < (done.started_at or 0) < (done.finished_at or 0)


def test_a_job_of_a_rolled_back_transaction_never_was(database: Database, queue: JobQueue) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as session:
        queue.enqueue(session, "train", {"x": 1 // 0})
    assert queue.claim(["train"]) is None


def test_nothing_is_claimed_where_nothing_waits(database: Database, queue: JobQueue) -> None:
    put(database, queue, kind="other")
    assert queue.claim(["train"]) is None
    assert queue.claim([]) is None


def test_the_urgent_go_first_and_equals_in_their_order(database: Database, queue: JobQueue) -> None:
    jobs = [put(database, queue, priority=priority) for priority in (5, 1, 9, 5)]
    order = [take(queue).job.job_id for _ in jobs]
    assert order == [jobs[i].job_id for i in (2, 0, 3, 1)]


def test_no_two_workers_claim_the_same_job(database: Database, clock: Clock) -> None:
    _ = clock
    queues = [JobQueue(database) for _ in range(8)]
    for _ in range(20):
        put(database, queues[0])
    taken: list[str] = []

    def work(number: int) -> None:
        while claim := queues[number].claim(["train"]):
            taken.append(claim.job.job_id)

    in_threads(8, work)
    assert len(taken) == len(set(taken)) == 20


def test_progress_never_goes_back_nor_beyond_the_end(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    claim = take(queue)
    for told, shown in ((0.5, 0.5), (0.2, 0.5), (7.0, 1.0)):
        queue.heartbeat(claim, told)
        assert look(database, queue, job).progress == shown


# leases


def test_a_job_whose_worker_is_silent_goes_to_another(database: Database, queue: JobQueue, clock: Clock) -> None:
    job = put(database, queue)
    first = take(queue)
    clock.advance(14)
    assert queue.claim(["train"]) is None
    clock.advance(2)
    second = take(queue)
    assert (second.job.job_id, second.job.attempts) == (job.job_id, 2)
    assert second.lease != first.lease


def test_a_heartbeat_keeps_the_lease(database: Database, queue: JobQueue, clock: Clock) -> None:
    put(database, queue)
    claim = take(queue)
    for _ in range(4):
        clock.advance(10)
        queue.heartbeat(claim, 0.1)
        assert queue.claim(["train"]) is None


def test_who_lost_the_lease_changes_nothing_any_more(database: Database, queue: JobQueue, clock: Clock) -> None:
    job = put(database, queue)
    lost = take(queue)
    clock.advance(20)
    held = take(queue)
    with pytest.raises(Stale):
        finish(database, queue, lost)
    assert count_of(database, job.job_id) is None  # what it would have changed was rolled back
    with pytest.raises(Stale):
        queue.heartbeat(lost, 0.9)
    queue.fail(lost, BROKEN, retries=False)
    queue.release(lost)
    assert look(database, queue, job).status == JobStatus.PROCESSING
    finish(database, queue, held)
    assert count_of(database, job.job_id) == 1


def test_a_late_worker_that_nobody_replaced_may_still_finish(
    database: Database, queue: JobQueue, clock: Clock
) -> None:
    job = put(database, queue)
    claim = take(queue)
    clock.advance(60)
    finish(database, queue, claim)
    assert look(database, queue, job).status == JobStatus.COMPLETED


def test_a_job_is_completed_once(database: Database, queue: JobQueue) -> None:
    put(database, queue)
    claim = take(queue)
    finish(database, queue, claim)
    with pytest.raises(Stale):
        finish(database, queue, claim)
    assert count_of(database, claim.job.job_id) == 1


def test_a_job_that_kills_its_workers_fails_in_the_end(database: Database, queue: JobQueue, clock: Clock) -> None:
    job = put(database, queue, max_attempts=2)
    for _ in range(2):
        take(queue)
        clock.advance(20)
    assert queue.claim(["train"]) is None
    failed = look(database, queue, job)
    assert failed.status == JobStatus.FAILED
    assert (failed.error or {})["code"] == "worker_lost"
    assert "2 times" in (failed.error or {})["detail"]


def test_a_job_that_is_given_back_waits_again_and_the_attempt_does_not_count(
    database: Database, queue: JobQueue
) -> None:
    job = put(database, queue, max_attempts=1)
    for _ in range(3):
        claim = take(queue)
        assert claim.job.attempts == 1
        queue.release(claim)
        assert look(database, queue, job).status == JobStatus.QUEUED
    finish(database, queue, take(queue))
    assert look(database, queue, job).status == JobStatus.COMPLETED


# failures


def test_a_failure_that_may_pass_is_tried_again_after_a_pause_that_doubles(
    database: Database, queue: JobQueue, clock: Clock
) -> None:
    job = put(database, queue, max_attempts=4)
    for pause_s in (1, 2, 4):
        queue.fail(take(queue), BROKEN, retries=True)
        assert look(database, queue, job).status == JobStatus.QUEUED
        assert look(database, queue, job).error == BROKEN
        clock.advance(pause_s - 0.5)
        assert queue.claim(["train"]) is None
        clock.advance(0.6)
    queue.fail(take(queue), BROKEN, retries=True)
    failed = look(database, queue, job)
    assert (failed.status, failed.attempts, failed.error) == (JobStatus.FAILED, 4, BROKEN)


def test_a_failure_that_cannot_pass_is_the_end(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    queue.fail(take(queue), BROKEN, retries=False)
    assert look(database, queue, job).status == JobStatus.FAILED
    assert queue.claim(["train"]) is None


def test_a_job_that_succeeds_after_a_failure_shows_no_error(
    database: Database, queue: JobQueue, clock: Clock
) -> None:
    job = put(database, queue)
    queue.fail(take(queue), BROKEN, retries=True)
    clock.advance(5)
    finish(database, queue, take(queue))
    assert look(database, queue, job).error is None


def test_the_problem_of_a_job_says_where_the_input_is_wrong() -> None:
    error = Invalid("invalid_training_data", "too few", faults=[Fault("/values", "10 points at least")])
    assert problem(error) == {
        "code": "invalid_training_data",
        "kind": "invalid",
        "detail": "too few",
        "errors": [{"pointer": "/values", "message": "10 points at least"}],
    }
    assert problem(Busy("trained_recently", "wait"))["errors"] == []


# cancelling


def test_a_waiting_job_is_cancelled_at_once(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    assert cancel(database, queue, job).status == JobStatus.CANCELLED
    assert queue.claim(["train"]) is None


def test_the_worker_of_a_running_job_is_told_at_once_and_at_its_heartbeat(
    database: Database, queue: JobQueue
) -> None:
    stopped: list[str] = []
    queue.on_cancel(stopped.append)
    job = put(database, queue)
    claim = take(queue)
    assert cancel(database, queue, job).status == JobStatus.PROCESSING
    assert stopped == [job.job_id]
    assert queue.heartbeat(claim, 0.1) is True
    queue.fail(claim, {}, retries=False, cancelled=True)
    ended = look(database, queue, job)
    assert (ended.status, ended.error) == (JobStatus.CANCELLED, None)


def test_a_job_that_finishes_before_it_notices_is_completed(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    claim = take(queue)
    cancel(database, queue, job)
    finish(database, queue, claim)
    assert look(database, queue, job).status == JobStatus.COMPLETED


@pytest.mark.parametrize("end", ["dies", "gives it back", "fails"])
def test_a_cancelled_job_is_not_begun_again(database: Database, queue: JobQueue, clock: Clock, end: str) -> None:
    job = put(database, queue)
    claim = take(queue)
    cancel(database, queue, job)
    if end == "gives it back":
        queue.release(claim)
    elif end == "fails":
        queue.fail(claim, BROKEN, retries=True)
    clock.advance(20)
    assert queue.claim(["train"]) is None
    assert look(database, queue, job).status == JobStatus.CANCELLED


def test_what_has_ended_cannot_be_cancelled(database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    finish(database, queue, take(queue))
    with pytest.raises(Conflict) as caught:
        cancel(database, queue, job)
    assert caught.value.code == "job_finished"
    assert "completed" in caught.value.detail


def test_an_unknown_job_is_missing(database: Database, queue: JobQueue) -> None:
    with database.write() as session:
        for act in (queue.get, queue.cancel):
            with pytest.raises(Missing, match="there is no job 'job_x'"):
                act(session, "job_x")


# the rest


def test_what_is_large_is_kept_while_it_is_needed_and_dropped_at_the_end(
    database: Database, queue: JobQueue, clock: Clock
) -> None:
    with database.write() as session:
        job = queue.enqueue(session, "train", {BULK: [1, 2, 3], "small": 1})
    queue.fail(take(queue), BROKEN, retries=True)
    clock.advance(5)
    claim = take(queue)
    assert claim.job.payload == {BULK: [1, 2, 3], "small": 1}
    finish(database, queue, claim)
    assert look(database, queue, job).payload == {"small": 1}


def test_one_job_of_a_kind_and_subject_waits_at_a_time(database: Database, queue: JobQueue) -> None:
    def ask(kind: str = "compact", subject: str | None = None) -> bool:
        with database.write() as session:
            return queue.enqueue_unless_waiting(session, kind, subject)

    assert [ask(), ask(), ask(subject="series:a")] == [True, False, True]
    assert ask("retain") is True
    claim = take(queue, "compact")
    assert ask() is False  # it runs
    finish(database, queue, claim)
    assert ask() is True


def test_whoever_waits_is_woken_after_the_commit(database: Database, queue: JobQueue) -> None:
    woken: list[int] = []
    queue.on_enqueue(lambda jobs: woken.append(len(jobs) + queue.depth(["train"])))
    with database.write() as session:
        _ = [queue.enqueue(session, "train", {}) for _ in range(2)]
        assert woken == []
    assert woken == [4]  # both are told of, and both are there


def test_the_depth_counts_what_waits_and_what_runs(database: Database, queue: JobQueue) -> None:
    for kind in ("train", "train", "other"):
        put(database, queue, kind=kind)
    assert (queue.depth(["train"]), queue.depth(["train", "other"]), queue.depth([])) == (2, 3, 0)
    claim = take(queue)
    assert queue.depth(["train"]) == 2
    finish(database, queue, claim)
    assert queue.depth(["train"]) == 1


def test_a_list_is_paged_newest_first_without_loss_or_repeat(database: Database, queue: JobQueue) -> None:
    jobs = [put(database, queue).job_id for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    with database.read() as session:
        while True:
            items, cursor = queue.list(session, cursor=cursor, limit=3)
            seen += [job.job_id for job in items]
            if cursor is None:
                break
    assert seen == sorted(jobs, reverse=True)


def test_a_list_is_narrowed_by_kind_status_and_subject(database: Database, queue: JobQueue) -> None:
    put(database, queue, subject="series:a")
    put(database, queue, subject="series:b")
    put(database, queue, kind="other")
    take(queue, "other")
    with database.read() as session:
        assert len(queue.list(session, kinds=["train"])[0]) == 2
        assert len(queue.list(session, status="processing")[0]) == 1
        assert len(queue.list(session, subject="series:b")[0]) == 1
        assert len(queue.list(session)[0]) == 3


def test_the_last_job_of_a_subject_is_known(database: Database, queue: JobQueue) -> None:
    jobs = [put(database, queue, subject="series:a") for _ in range(2)]
    with database.read() as session:
        last = queue.last(session, "train", "series:a")
        assert last is not None
        assert last.job_id == max(job.job_id for job in jobs)
        assert queue.last(session, "train", "series:b") is None


def test_old_jobs_are_forgotten_once_they_have_ended(database: Database, queue: JobQueue, clock: Clock) -> None:
    old = put(database, queue)
    finish(database, queue, take(queue))
    clock.advance(100)
    put(database, queue)
    with database.write() as session:
        assert queue.forget(session, clock.now - 50 * MICROS) == 1
        with pytest.raises(Missing):
            queue.get(session, old.job_id)
    assert queue.depth(["train"]) == 1


def test_jobs_are_found_by_id_as_far_as_they_are_there(database: Database, queue: JobQueue) -> None:
    jobs = [put(database, queue) for _ in range(2)]
    with database.read() as session:
        found = queue.by_ids(session, ["job_gone", *(job.job_id for job in jobs)])
    assert found == {job.job_id: job for job in jobs}
