"""The production worker: processes of Celery that are woken by RabbitMQ and take jobs from the table.

`Pool` keeps one child process, which `serve_pool` runs: Celery's own parent of its processes. It is spawned, so
that nothing of this process is forked into it. When this process dies, however it dies, the child notices and ends.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import mmap
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog

from atalaia.core.errors import AtalaiaError
from atalaia.kit.jobs.broker import QUEUE, TASK, celery_app, declare
from atalaia.kit.jobs.worker import Worker
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
GO_ON_S = 5.0
"""How long a woken process goes on from job to job before it asks for the next message."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_STEADY_S = 60.0
_LOOK_S = 0.1
Serve = Callable[[Connection], None]


class Pool:
    """Keeps the child process of workers running.

    Parameters
    ----------
    serve
        What the child runs, given the end of a pipe that closes when this process dies. It must be importable by
        name, with all that it is bound to.
    hear
        Called with whatever the child sends.
    """

    def __init__(self, serve: Serve, hear: Callable[[Any], None]) -> None:
        self._serve = serve
        self._hear = hear
        self._spawn = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._pipe: Any = None
        self._pause_s = _FIRST_PAUSE_S
        self._started_at = 0.0
        self._loop = Loop("pool", self._watch, every_s=0.2)

    @property
    def pid(self) -> int | None:
        """The child that runs now."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the child, and again whenever it ends."""
        self._begin()
        self._loop.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Let the child give back what it works on, and end."""
        self._loop.stop()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.join(timeout_s)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        if self._pipe is not None:
            self._pipe.close()

    def _begin(self) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=self._serve, args=(theirs,), name="atalaia-pool")
        process.start()
        theirs.close()
        self._process, self._pipe, self._started_at = process, ours, time.monotonic()

    def _watch(self) -> bool:
        process, pipe = self._process, self._pipe
        if process is None or pipe is None:
            return False
        self._listen(pipe)
        if process.is_alive():
            return False
        _log.error("pool_ended", status=process.exitcode, again_in_s=self._pause_s)
        pipe.close()
        time.sleep(self._pause_s)
        is_steady = time.monotonic() - self._started_at > _STEADY_S
        self._pause_s = _FIRST_PAUSE_S if is_steady else min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._begin()
        return False

    def _listen(self, pipe: Connection) -> None:
        try:
            while pipe.poll():
                self._hear(pipe.recv())
        except (EOFError, OSError):
            return


def serve_pool(url: str, make_worker: Callable[[], Worker], *, processes: int, pipe: Connection) -> None:
    """Run Celery's worker until SIGTERM, or until the other end of `pipe` is closed.

    Parameters
    ----------
    make_worker
        Called once in each process, after it was forked.
    """
    from celery.exceptions import SecurityWarning
    from celery.signals import setup_logging, worker_process_shutdown, worker_shutting_down

    warnings.simplefilter("ignore", SecurityWarning)  # of root's rights: only JSON is taken, never pickles
    app = celery_app(url)
    stopping = _Flag()
    crew = _Crew(make_worker, stopping)
    app.task(crew.work, name=TASK, bind=False, shared=False)

    def leave(**_: Any) -> None:
        stopping.set()

    setup_logging.connect(_keep_ours, weak=False)  # ours stands
    worker_shutting_down.connect(leave, weak=False)
    worker_process_shutdown.connect(crew.leave, weak=False)
    threading.Thread(target=_end_with_parent, args=(pipe,), name="atalaia-parent", daemon=True).start()
    _serve(app, processes)


def _keep_ours(**_: Any) -> None:
    """Leave the log as it is."""


def _serve(app: Any, processes: int) -> None:
    worker: Any = app.Worker(  # pyright: ignore[reportUnknownMemberType]
        quiet=True,
        pool="prefork",
        concurrency=processes,
        queues=[QUEUE],
        without_gossip=True,
        without_mingle=True,
        optimization="fair",
    )
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=None, interval_start=1, interval_max=5)
        declare(connection)
    worker.start()


class _Flag:
    """Raised by one process, seen by those that are forked from it; whoever dies holding it harms nobody."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Raise it."""
        self._shared[0] = 1

    def is_set(self) -> bool:
        """Say whether it is raised."""
        return self._shared[0] != 0


class _Crew:
    """What each process of the pool does with a message."""

    def __init__(self, make_worker: Callable[[], Worker], stopping: _Flag) -> None:
        self._make_worker = make_worker
        self._stopping = stopping
        self._worker: Worker | None = None
        self._watcher: threading.Thread | None = None

    def work(self, job_id: str) -> None:
        """Work on what is most urgent, most often the job of the message, and on what comes next, for a while."""
        until = time.monotonic() + GO_ON_S
        try:
            worker = self._ready()
            while not self._stopping.is_set() and worker.work_once() and time.monotonic() < until:
                pass
        except AtalaiaError as error:  # the database is down, say: the job waits, and somebody is woken again
            _log.warning("job_not_taken", job_id=job_id, code=error.code, detail=error.detail)

    def leave(self, **_: Any) -> None:
        """Close what the process holds."""
        if self._worker is not None:
            self._worker.stop()

    def _ready(self) -> Worker:
        if self._worker is None:
            self._worker = self._make_worker()
            self._watcher = threading.Thread(target=self._watch, name="atalaia-stop", daemon=True)
            self._watcher.start()
        return self._worker

    def _watch(self) -> None:
        while not self._stopping.is_set():
            time.sleep(_LOOK_S)
        if self._worker is not None:
            self._worker.stop(0)  # the job is given back at its next report


def _end_with_parent(pipe: Connection) -> None:
    try:
        pipe.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
