"""What holds for those who work on jobs, whether they are a thread or processes woken by RabbitMQ."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from atalaia.kit.database import Database, Table
from atalaia.kit.jobs import Job, JobQueue, JobStatus
from atalaia.kit.jobs.broker import DEAD, QUEUE, TASK, celery_app
from tests.contracts.crews import Crew, Processes, Threads, make_queue, marks
from tests.journeys.servers import until
from tests.parts.rabbitmq import RabbitMq

pytestmark = pytest.mark.slow
PATIENCE_S = 30.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    Table.metadata.create_all(database.engine)
    yield database
    database.close()


Start = Callable[[], Crew]


@pytest.fixture(params=["thread", "rabbitmq"])
def start(request: pytest.FixtureRequest, url: str, database: Database, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin() -> Crew:
            if request.param == "thread":
                return stack.enter_context(Threads(url, tmp_path))
            broker: RabbitMq = request.getfixturevalue("rabbitmq")
            broker.purge()
            return stack.enter_context(Processes(url, tmp_path, broker.url))

        yield begin


@pytest.fixture
def processes(url: str, database: Database, tmp_path: Path, rabbitmq: RabbitMq) -> Iterator[Processes]:
    rabbitmq.purge()
    with Processes(url, tmp_path, rabbitmq.url) as crew:
        yield crew


def put(database: Database, queue: JobQueue, kind: str, *, priority: int = 5) -> Job:
    with database.write() as session:
        return queue.enqueue(session, kind, {}, priority=priority)


def job(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return make_queue(database).get(session, job_id)


def ended(database: Database, *jobs: Job) -> bool:
    return all(job(database, one.job_id).finished_at is not None for one in jobs)


def wait_for(database: Database, *jobs: Job) -> None:
    until(lambda: ended(database, *jobs), "the jobs to end", timeout_s=PATIENCE_S)


def done(folder: Path) -> Counter[str]:
    return Counter(job_id for what, job_id, _ in marks(folder) if what == "done")


def pids(folder: Path) -> set[int]:
    return {pid for _, _, pid in marks(folder)}


def test_every_job_is_done_once(start: Start, database: Database, tmp_path: Path) -> None:
    crew = start()
    jobs = [put(database, crew.queue, "note") for _ in range(40)]
    wait_for(database, *jobs)
    assert done(tmp_path) == {one.job_id: 1 for one in jobs}
    assert {job(database, one.job_id).attempts for one in jobs} == {1}


def test_jobs_that_waited_before_anybody_came_are_done(start: Start, database: Database, tmp_path: Path) -> None:
    jobs = [put(database, make_queue(database), "note") for _ in range(5)]
    start()
    wait_for(database, *jobs)
    assert len(done(tmp_path)) == 5


def test_the_most_urgent_goes_first(start: Start, database: Database, tmp_path: Path) -> None:
    queue = make_queue(database)
    jobs = {priority: put(database, queue, "note", priority=priority) for priority in (0, 9, 5, 7, 2)}
    start()
    wait_for(database, *jobs.values())
    began = [job_id for what, job_id, _ in marks(tmp_path) if what == "began"]
    assert began[0] == jobs[9].job_id
    assert began[-1] == jobs[0].job_id


def test_a_running_job_is_cancelled(start: Start, database: Database, tmp_path: Path) -> None:
    crew = start()
    nap = put(database, crew.queue, "nap")
    until(lambda: marks(tmp_path), "the job to begin")
    with database.write() as session:
        crew.queue.cancel(session, nap.job_id)
    wait_for(database, nap)
    assert job(database, nap.job_id).status is JobStatus.CANCELLED
    assert not done(tmp_path)


def test_a_clean_stop_gives_the_job_back(url: str, database: Database, tmp_path: Path, rabbitmq: RabbitMq) -> None:
    for crew in (Threads(url, tmp_path), Processes(url, tmp_path, rabbitmq.url)):
        rabbitmq.purge()
        with crew:
            nap = put(database, crew.queue, "nap")
            until(lambda: marks(tmp_path), "the job to begin")
        given_back = job(database, nap.job_id)
        assert (given_back.status, given_back.attempts) == (JobStatus.QUEUED, 0)
        with database.write() as session:
            crew.queue.cancel(session, nap.job_id)
        (tmp_path / "marks").unlink()


def test_another_process_takes_up_what_one_died_on(
    processes: Processes, database: Database, tmp_path: Path
) -> None:
    jobs = [put(database, processes.queue, kind) for kind in ("die", "note", "note")]
    wait_for(database, *jobs)
    assert done(tmp_path) == {one.job_id: 1 for one in jobs}
    assert job(database, jobs[0].job_id).attempts == 2


def test_a_killed_process_loses_nothing(processes: Processes, database: Database, tmp_path: Path) -> None:
    nap = put(database, processes.queue, "nap")
    until(lambda: marks(tmp_path), "the job to begin")
    (victim,) = pids(tmp_path)
    os.kill(victim, signal.SIGKILL)
    until(lambda: pids(tmp_path) - {victim}, "another to take the job", timeout_s=PATIENCE_S)
    assert job(database, nap.job_id).attempts == 2


def test_a_pool_whose_parent_was_killed_is_started_again(
    processes: Processes, database: Database, tmp_path: Path
) -> None:
    wait_for(database, put(database, processes.queue, "note"))
    first = processes.pool.pid
    assert first is not None
    family = psutil.Process(first).children(recursive=True)
    os.kill(first, signal.SIGKILL)
    wait_for(database, put(database, processes.queue, "note"))
    assert processes.pool.pid != first
    psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not [one for one in family if one.is_running()]


def test_the_broker_may_be_away_when_jobs_come(
    processes: Processes, database: Database, tmp_path: Path, rabbitmq: RabbitMq
) -> None:
    wait_for(database, put(database, processes.queue, "note"))
    rabbitmq.stop()
    try:
        jobs = [put(database, processes.queue, "note") for _ in range(5)]
    finally:
        rabbitmq.start()
    wait_for(database, *jobs)
    assert done(tmp_path) == Counter({one.job_id: 1 for one in jobs}) + done(tmp_path) - Counter(
        one.job_id for one in jobs
    )


def test_a_broker_killed_in_the_middle_costs_nothing(
    processes: Processes, database: Database, tmp_path: Path, rabbitmq: RabbitMq
) -> None:
    jobs = [put(database, processes.queue, "note") for _ in range(200)]
    rabbitmq.kill()
    rabbitmq.start()
    jobs += [put(database, processes.queue, "note") for _ in range(200)]
    wait_for(database, *jobs)
    assert done(tmp_path) == {one.job_id: 1 for one in jobs}


def test_a_job_that_was_cancelled_while_it_waited_is_not_begun(
    url: str, database: Database, tmp_path: Path, rabbitmq: RabbitMq
) -> None:
    rabbitmq.purge()
    queue = make_queue(database)
    jobs = [put(database, queue, "note") for _ in range(3)]
    with database.write() as session:
        queue.cancel(session, jobs[0].job_id)
    with Processes(url, tmp_path, rabbitmq.url):
        wait_for(database, *jobs)
    assert set(done(tmp_path)) == {one.job_id for one in jobs[1:]}


def test_messages_that_nobody_understands_become_dead_letters(processes: Processes, rabbitmq: RabbitMq) -> None:
    app = celery_app(rabbitmq.url)
    app.send_task("atalaia.unknown", ["job_1"], queue=QUEUE)
    app.send_task(TASK, ["job_1", "too", "many"], queue=QUEUE)
    until(lambda: rabbitmq.messages(DEAD) == 2, "the messages to be dead", timeout_s=PATIENCE_S)
    app.close()
