import pytest
from sqlalchemy import func, select, update

from atalaia.core.anomalies import AnomalyState, FeedbackKind
from atalaia.core.clock import MICROS, now_us
from atalaia.core.facts import FeedbackGiven
from atalaia.kit.facts import OutboxRow
from atalaia.kit.idempotency import IdempotencyRow, once
from atalaia.kit.jobs import JobQueue, JobStatus, Worker
from atalaia.kit.jobs.rows import JobRow
from atalaia.signals.store import anomalies
from atalaia.signals.store.history import BlockRow, TailRow
from atalaia.signals.tasks import COMPACT, RETAIN, schedule, works
from tests.signals.builders import signals_in
from tests.signals.test_service import spikes

HOUR = 3_600 * MICROS
DAY = 24 * HOUR


class Yard:
    """Signals with a queue and a worker that works when it is told to."""

    def __init__(self, place):
        self.place = place
        self.queue = JobQueue(place.database)
        self.worker = Worker(place.database, self.queue, works(place.signals, self.queue, place.outbox))

    def schedule(self):
        schedule(self.place.signals, self.queue)

    def work(self):
        done = 0
        while self.worker.work_once():
            done += 1
        return done

    def jobs(self, kind=None):
        with self.place.database.read() as session:
            return self.queue.list(session, kinds=[kind] if kind else [])[0]

    def enqueue(self, kind):
        with self.place.database.write() as session:
            self.queue.enqueue_unless_waiting(session, kind, "history")

    def count(self, table):
        with self.place.database.read() as session:
            return session.scalar(select(func.count()).select_from(table))

    def age(self, column, by_us, *where):
        with self.place.database.write() as session:
            session.execute(update(column.class_).where(*where).values({column: now_us() - by_us}))


@pytest.fixture
def yard(open_place):
    return Yard(open_place(compact_after_points=2, block_fan_in=2, retention_days=10))


def fill(yard, start=0.0):
    yard.place.send(("a", start, 1.0), ("a", start + 1, 2.0))
    yard.place.drain()
    yard.place.store()


def test_a_compaction_is_queued_once_and_only_when_it_is_due(yard):
    yard.schedule()
    assert yard.jobs(COMPACT) == []
    fill(yard)
    for _ in range(3):
        yard.schedule()
    (job,) = yard.jobs(COMPACT)
    assert (job.status, job.subject) == (JobStatus.QUEUED, "history")


def test_retention_is_queued_once_an_hour(yard):
    for _ in range(3):
        yard.schedule()
    assert len(yard.jobs(RETAIN)) == 1
    yard.work()
    yard.schedule()
    assert len(yard.jobs(RETAIN)) == 1
    yard.age(JobRow.created_at, HOUR + MICROS)
    yard.schedule()
    yard.schedule()
    assert len(yard.jobs(RETAIN)) == 2


def test_a_worker_turns_the_tail_into_a_block(yard):
    fill(yard)
    yard.enqueue(COMPACT)
    assert yard.work() == 1
    (job,) = yard.jobs(COMPACT)
    assert job.status == JobStatus.COMPLETED
    assert job.result == {"more": True, "batches": 1, "points": 2, "bytes": job.result["bytes"]}
    assert (yard.count(TailRow), yard.count(BlockRow)) == (0, 1)


def test_a_compaction_with_nothing_to_do_says_so(yard):
    yard.enqueue(COMPACT)
    yard.work()
    assert yard.jobs(COMPACT)[0].result == {"more": False}


def test_one_job_merges_blocks_and_makes_the_next(yard):
    for start in (0, 10, 20):
        fill(yard, start)
        if start < 20:
            yard.enqueue(COMPACT)
            yard.work()
    assert (yard.count(TailRow), yard.count(BlockRow)) == (1, 2)
    for expected in ((0, 2), (0, 2)):
        yard.enqueue(COMPACT)
        yard.work()
        assert (yard.count(TailRow), yard.count(BlockRow)) == expected


def test_a_compaction_that_comes_too_late_changes_nothing(yard):
    fill(yard)
    yard.enqueue(COMPACT)
    compact = works(yard.place.signals, yard.queue, yard.place.outbox)[COMPACT]

    def overtaken(run):
        outcome = compact(run)
        with yard.place.database.write() as session:
            yard.place.signals.history.compaction()(session)
        return outcome

    Worker(yard.place.database, yard.queue, {COMPACT: overtaken}).work_once()
    assert yard.jobs(COMPACT)[0].status == JobStatus.PROCESSING  # until its lease runs out, and it is tried again
    assert (yard.count(TailRow), yard.count(BlockRow)) == (0, 1)


def test_retention_drops_old_points_and_sweeps(yard):
    fill(yard)  # in 2023
    yard.enqueue(COMPACT)
    yard.work()
    yard.enqueue(RETAIN)
    yard.work()
    (job,) = yard.jobs(RETAIN)
    assert job.status == JobStatus.COMPLETED
    assert job.result == {"blobs_swept": 0, "blocks_dropped": 1, "blocks_rewritten": 0, "jobs_forgotten": 0}
    assert yard.count(BlockRow) == 0


def test_closed_anomalies_and_what_was_said_of_them_stay_as_long_as_is_set(tmp_path):
    with signals_in(tmp_path, settings={"close_after_points": 1}) as place:
        spikes(place, "a", 2)
        closed = [one for one in place.anomalies() if one.state == AnomalyState.CLOSED]
        assert closed
        with place.database.write() as session:
            place.signals.anomalies.give_feedback(session, closed[0].anomaly_id, FeedbackKind.NOISE, "")
        with place.database.write() as session:
            assert anomalies.forget(session, 1) == 0
            assert anomalies.forget(session, 1 << 62) == len(closed)
        assert [one.state for one in place.anomalies() if one.state == AnomalyState.CLOSED] == []
        with place.database.read() as session:
            assert session.query(anomalies.FeedbackRow).count() == 0


def test_retention_forgets_old_keys_facts_and_jobs_and_keeps_young_ones(yard):
    with yard.place.database.write() as session:
        for key in ("old", "young"):
            once(session, key, "POST /points", b"", lambda: {})
            yard.place.outbox.publish(session, FeedbackGiven(f"anm_{key}", "a", "noise"))
    for _ in range(2):
        yard.enqueue(COMPACT)
        yard.work()
    assert len(yard.place.told) == 2
    yard.age(IdempotencyRow.created_at, DAY + HOUR, IdempotencyRow.key == "old")
    yard.age(OutboxRow.delivered_at, 7 * DAY + HOUR, OutboxRow.id == 1)
    old = yard.jobs(COMPACT)[-1].job_id
    yard.age(JobRow.finished_at, 30 * DAY + HOUR, JobRow.id == old)
    yard.enqueue(RETAIN)
    yard.work()
    assert yard.jobs(RETAIN)[0].result == {"blobs_swept": 0, "jobs_forgotten": 1}
    assert (yard.count(IdempotencyRow), yard.count(OutboxRow), len(yard.jobs(COMPACT))) == (1, 1, 1)
    with yard.place.database.read() as session:
        assert session.get(IdempotencyRow, ("young", "POST /points")) is not None
        assert session.get(OutboxRow, 1) is None


def test_retention_keeps_facts_that_were_not_delivered(yard):
    with yard.place.database.write() as session:
        session.add(OutboxRow(name="FeedbackGiven", payload={}, created_at=0, retry_at=1 << 60, attempts=9))
    yard.enqueue(RETAIN)
    yard.work()
    assert yard.count(OutboxRow) == 1


def test_the_history_of_a_busy_day_reads_the_same_after_all_jobs(open_place):
    place = open_place(compact_after_points=2, block_fan_in=2)
    yard = Yard(place)
    for start in range(12):
        fill(yard, float(start))
        yard.schedule()
        yard.work()
    yard.schedule()
    while yard.work():
        yard.schedule()
    assert yard.count(TailRow) == 0
    assert yard.count(BlockRow) < 5
    points = place.signals.points("a", None, None)[2]
    assert points.values.tolist() == [1.0] * 12 + [2.0]
