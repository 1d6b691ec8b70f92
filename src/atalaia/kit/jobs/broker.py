"""Wake-ups through RabbitMQ: a message says which job waits; what the job is, and whether it still waits, the table
knows. The production twin of waking the thread of this process.

Messages are sent in the background: whoever enqueues a job waits for its row alone. One that is lost (the broker is
down, its disk is gone) is sent again by `Dispatcher.sweep`, one that comes twice finds nothing to do.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from atalaia.core.errors import Unavailable
from atalaia.kit.jobs.queue import JobQueue
from atalaia.kit.jobs.rows import Waiting
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
TASK = "atalaia.work"
QUEUE = "atalaia.jobs"
DEAD = "atalaia.jobs.dead"
"""Where messages go that no worker understands, for people to look at."""
HIGHEST = 9
_MOST_WAITING = 1000
"""Wake-ups at a time. Workers go on from job to job by themselves: a wave of many thousands needs no more."""
_TIMEOUT_S = 3.0


def celery_app(url: str) -> Any:
    """Return the Celery application of publishers and workers: what is declared must be the same for both."""
    from celery import Celery
    from kombu.entity import Exchange, Queue

    app = Celery("atalaia", broker=url, set_as_current=False)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}
    app.conf.update(
        task_queues=[
            Queue(QUEUE, Exchange(QUEUE), QUEUE, durable=True, queue_arguments={"x-max-priority": HIGHEST, **dead})
        ],
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,  # rejected: it becomes a dead letter
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # their lease says whose they are
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=10,
        broker_transport_options={
            "confirm_publish": True,
            "connect_timeout": _TIMEOUT_S,
            "read_timeout": 2 * _TIMEOUT_S,
            "write_timeout": 2 * _TIMEOUT_S,
        },
    )
    return app


class Dispatcher:
    """Sends a wake-up for each job that was enqueued, confirmed by the broker."""

    def __init__(self, url: str, queue: JobQueue, kinds: Sequence[str]) -> None:
        self._app = celery_app(url)
        self._queue = queue
        self._kinds = tuple(kinds)
        self._waiting: deque[Waiting] = deque(maxlen=_MOST_WAITING)
        self._revoked: deque[str] = deque(maxlen=_MOST_WAITING)
        self._connection: Any = None
        self._lock = threading.Lock()
        self._loop = Loop("dispatcher", self._send, every_s=1.0)
        self.messages = float("nan")
        queue.on_enqueue(self._put)
        queue.on_cancel(self._revoke)

    def start(self) -> None:
        """Begin to send."""
        self._loop.start()

    def stop(self) -> None:
        """Send what waits, if the broker is there, and end."""
        self._loop.stop()
        with suppress(Exception), self._lock:
            self._drain()
        self._forget_connection()

    def sweep(self) -> int:
        """Wake workers for jobs that wait and for which no message is on its way; return for how many.

        For jobs whose message was lost, that are to be tried again, or whose worker died.

        Raises
        ------
        Unavailable
            When the broker does not answer. The jobs wait on.
        """
        late = self._queue.due(self._kinds, _MOST_WAITING)
        missing = len(late) - int(self.depth())
        for waiting in late[: max(missing, 0)]:
            self._put([waiting])
        return max(missing, 0)

    def depth(self) -> float:
        """Return how many wake-ups no worker has taken yet.

        Raises
        ------
        Unavailable
            When the broker does not answer.
        """
        with self._lock:
            try:
                channel = self._link().default_channel
                self.messages = float(channel.queue_declare(QUEUE, passive=True).message_count)
            except Exception as error:
                self.messages = float("nan")
                self._forget_connection()
                detail = "RabbitMQ does not answer; jobs wait in the database and go on once it does"
                raise Unavailable("broker_unavailable", detail, retry_after_s=5) from error
        return self.messages

    def _put(self, jobs: Sequence[Waiting]) -> None:
        self._waiting.extend(jobs[:_MOST_WAITING])
        self._loop.wake()

    def _revoke(self, job_id: str) -> None:
        self._revoked.append(job_id)
        self._loop.wake()

    def _send(self) -> bool:
        if not self._waiting and not self._revoked:
            return False
        with self._lock:
            try:
                self._drain()
            except Exception as error:  # whatever the client raises, the jobs wait in their table
                self._forget_connection()
                _log.warning("broker_unavailable", waiting=len(self._waiting), error=str(error)[:200])
        return False

    def _drain(self) -> None:
        while self._waiting or self._revoked:
            link = self._link()
            if self._revoked:
                self._app.control.revoke(self._revoked[0], connection=link)
                self._revoked.popleft()
                continue
            job = self._waiting[0]  # it is taken off once the broker has confirmed it
            headers = {} if job.trace is None else {"traceparent": job.trace}
            self._app.send_task(
                TASK,
                [job.job_id],
                task_id=job.job_id,
                priority=job.priority,
                headers=headers,
                connection=link,
                retry=False,
            )
            with suppress(IndexError):  # newer ones may have pushed it out
                if self._waiting[0] is job:
                    self._waiting.popleft()

    def _link(self) -> Any:
        if self._connection is None:
            connection = self._app.connection_for_write()
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_TIMEOUT_S)
            declare(connection)
            self._connection = connection
        return self._connection

    def _forget_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.release()


def declare(connection: Any) -> None:
    """Make the queues, if they are not there."""
    from kombu.entity import Queue

    channel = connection.default_channel
    Queue(DEAD, durable=True)(channel).declare()
    for queue in celery_app("").conf.task_queues:
        queue(channel).declare()
