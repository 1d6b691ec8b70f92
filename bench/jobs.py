"""Jobs on PostgreSQL and RabbitMQ beside jobs that are messages of Celery, confirmed by the same broker."""

import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atalaia.app.migrations import migrate
from atalaia.kit.database import Database
from atalaia.kit.jobs import JobQueue
from atalaia.kit.jobs.broker import QUEUE, TASK, celery_app
from bench.report import Figure, bounded, less_is_better
from bench.servers import Server, atalaia_command, free_port, running
from tests.parts.postgres import Postgres
from tests.parts.rabbitmq import RabbitMq

_SERIES = 285_000
_ACCEPTED = 1_000
_PUBLISHED = 20_000
_CONFIG = {"algorithm": "robust_zscore", "window_hours": 168.0, "hyperparameters": {}}


def jobs() -> list[Figure]:
    """Measure how fast trainings are accepted, one by one and all at once."""
    with _parts() as (postgres, broker):
        return [*_accepted(postgres, broker), _crowd(postgres, broker)]


@contextmanager
def _parts() -> Generator[tuple[Postgres, RabbitMq]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        broker = RabbitMq(Path(folder) / "rabbitmq")
        try:
            with Postgres(Path(folder) / "postgres") as postgres, broker:
                yield postgres, broker
        finally:
            broker.close()


def _accepted(postgres: Postgres, broker: RabbitMq) -> list[Figure]:
    """Ask for trainings of series, each its own, and publish as often in between."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"DATABASE_URL": postgres.new_database(), "BROKER_URL": broker.url, "DATA_DIR": folder}
        named = {f"ATALAIA_{name}": value for name, value in settings.items()}
        with running(atalaia_command("run", "api", "--port", str(port)), port, {**os.environ, **named}) as server:
            names = [f"s{number}" for number in range(_ACCEPTED)]
            _send_points(server, names)
            accept = _asking(port, names)
            publish = _publishing(broker)
            for _ in range(50):
                publish()
            ours, theirs = _in_turns(accept, publish, _ACCEPTED)
    what = "Celery publish, confirmed"
    return [
        less_is_better("train_accept_p50", ours[49] * 1e3, "ms", what, theirs[49] * 1e3, reach=1 / 1.5),
        less_is_better("train_accept_p95", ours[94] * 1e3, "ms", what, theirs[94] * 1e3, reach=1 / 1.5),
        bounded("train_accept_p95_absolute", ours[94] * 1e3, "ms", what, theirs[94] * 1e3, at_most=20.0),
    ]


def _crowd(postgres: Postgres, broker: RabbitMq) -> Figure:
    """Enqueue a job for each series in one transaction; publishes are counted on from some thousand."""
    database = Database(postgres.new_database())
    migrate(database)
    requests = [(f"series:s{n}", {"key": f"series:s{n}", "config": _CONFIG}) for n in range(_SERIES)]
    queue = JobQueue(database)
    started = time.perf_counter()
    with database.write() as session:
        queue.enqueue_many(session, "train", requests)
    ours = time.perf_counter() - started
    database.close()
    publish = _publishing(broker)
    started = time.perf_counter()
    for _ in range(_PUBLISHED):
        publish()
    theirs = (time.perf_counter() - started) / _PUBLISHED * _SERIES
    return less_is_better("enqueue_all_series", ours, "s", "285,000 Celery publishes, confirmed", theirs, reach=40)


def _in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], count: int
) -> tuple[list[float], list[float]]:
    """Return the percentiles of how long each takes, one after the other, so that both meet the same machine."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for act, times in zip((ours, theirs), taken, strict=True):
            started = time.perf_counter()
            act()
            times.append(time.perf_counter() - started)
    return tuple(statistics.quantiles(times, n=100) for times in taken)  # type: ignore[return-value]


def _asking(port: int, names: list[str]) -> Callable[[], object]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    left = iter(names)
    body = json.dumps({"config": _CONFIG})

    def ask() -> None:
        connection.request("POST", f"/api/v1/training/{next(left)}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 202, told

    return ask


def _publishing(broker: RabbitMq) -> Callable[[], object]:
    app = celery_app(broker.url)
    connection: Any = app.connection_for_write()

    def publish() -> None:
        app.send_task(TASK, ["job_1"], queue=QUEUE, priority=5, connection=connection, retry=False)

    return publish


def _send_points(server: Server, names: list[str]) -> None:
    columns = {"series_ids": names, "timestamps": [1_733_587_200.0] * len(names), "values": [1.0] * len(names)}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request("POST", "/api/v1/points", json.dumps(columns), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    told = answer.read()
    assert answer.status == 200, told
