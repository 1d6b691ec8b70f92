"""The processes that work on jobs when they are woken by RabbitMQ."""

from functools import partial
from multiprocessing.connection import Connection

from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.kit.jobs import Worker
from atalaia.kit.jobs.pool import Pool, serve_pool
from atalaia.kit.logs import configure_logs


def open_pool(atalaia: Atalaia) -> Pool:
    """Return the pool of workers of a service, not started yet."""

    def hear(told: tuple[str, tuple[str, ...], float]) -> None:
        name, labels, by = told
        atalaia.telemetry.count(name, *labels, by=by)

    return Pool(partial(run_pool, atalaia.settings), hear)


def run_pool(settings: Settings, pipe: Connection) -> None:
    """Work on jobs until told to stop."""
    configure_logs(level=settings.log_level, as_json=settings.log_format == "json")
    assert settings.broker_url is not None
    url = settings.broker_url.get_secret_value()
    serve_pool(url, partial(_worker, settings, pipe), processes=settings.worker_processes, pipe=pipe)


def _worker(settings: Settings, pipe: Connection) -> Worker:
    atalaia = build(settings)
    atalaia.telemetry.tell(lambda name, labels, by: pipe.send((name, labels, by)))
    atalaia.outbox.deliver_by(lambda: None)  # the service does: who listens is there
    return atalaia.worker
