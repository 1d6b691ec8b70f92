"""What crews of workers do in contract tests, and the two crews: a thread, and processes woken by RabbitMQ."""

import os
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from atalaia.kit.database import Database
from atalaia.kit.jobs import JobQueue, Outcome, Run, Worker
from atalaia.kit.jobs.broker import Dispatcher
from atalaia.kit.jobs.pool import Pool, serve_pool
from atalaia.kit.threads import Loop

KINDS = ("note", "nap", "die")
LEASE_S = 2.0


class Crew(Protocol):
    """What works on jobs while it is entered."""

    queue: JobQueue

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_queue(database: Database) -> JobQueue:
    """Return a queue with a short lease."""
    return JobQueue(database, lease_s=LEASE_S, backoff_s=0.1)


def make_worker(url: str, folder: Path) -> Worker:
    """Return a worker that leaves a line in `folder` for each thing that it does."""
    database = Database(url)

    def note(run: Run) -> Outcome:
        mark(folder, "began", run)
        return Outcome({}, lambda _: mark(folder, "done", run))

    def nap(run: Run) -> Outcome:
        mark(folder, "began", run)
        for _ in range(200):
            run.report(0.5)
            time.sleep(0.05)
        return Outcome({}, lambda _: mark(folder, "done", run))

    def die(run: Run) -> Outcome:
        mark(folder, "began", run)
        if run.attempt == 1:
            os._exit(9)
        return Outcome({}, lambda _: mark(folder, "done", run))

    return Worker(database, make_queue(database), {"note": note, "nap": nap, "die": die}, poll_s=0.1)


def mark(folder: Path, what: str, run: Run) -> None:
    """Leave a line, whole even when several processes do so at once."""
    handle = os.open(folder / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{what} {run.job_id} {os.getpid()}\n".encode())
    os.close(handle)


def marks(folder: Path) -> list[tuple[str, str, int]]:
    """Return the lines: what was done, with which job, in which process."""
    path = folder / "marks"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(what, job, int(pid)) for what, job, pid in (line.split() for line in lines)]


class Threads:
    """The embedded twin."""

    def __init__(self, url: str, folder: Path) -> None:
        self._worker = make_worker(url, folder)
        self.queue = self._worker._queue

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.stop()


class Processes:
    """The production twin."""

    def __init__(self, url: str, folder: Path, broker: str, *, processes: int = 2) -> None:
        self.database = Database(url)
        self.queue = make_queue(self.database)
        self.dispatcher = Dispatcher(broker, self.queue, KINDS)
        self.heard: list[Any] = []
        self.pool = Pool(partial(run_pool, url, folder, broker, processes), self.heard.append)
        self._sweep = Loop("sweep", self._again, every_s=0.5)

    def __enter__(self) -> Self:
        self.dispatcher.start()
        self._sweep.start()
        self.pool.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.stop()
        self._sweep.stop()
        self.dispatcher.stop()
        self.database.close()

    def _again(self) -> bool:
        self.dispatcher.sweep()
        return False


def run_pool(url: str, folder: Path, broker: str, processes: int, pipe: Connection) -> None:
    """Run the pool's child."""
    serve_pool(broker, partial(make_worker, url, folder), processes=processes, pipe=pipe)
