"""The one place that puts Atalaia together: connectors, then services, then who listens to what."""

import shutil
from functools import partial
from pathlib import Path

import structlog

from atalaia.app.entrance import Entrance
from atalaia.app.migrations import migrate
from atalaia.app.settings import ROLES, Settings
from atalaia.connectors.mlflow import MlflowRegistry
from atalaia.core.errors import Fault, Invalid, Unavailable
from atalaia.kit.audit.audit import Audit
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import JobQueue, Worker
from atalaia.kit.jobs.broker import Dispatcher
from atalaia.kit.logs import EventLog
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop
from atalaia.kit.tracing import Tracing
from atalaia.lifecycle import tasks as lifecycle_tasks
from atalaia.lifecycle.deployments import DeploymentList
from atalaia.lifecycle.service import Lifecycle
from atalaia.serving.service import Serving
from atalaia.signals import tasks as signals_tasks
from atalaia.signals.known import KnownSeries
from atalaia.signals.memory import Memory
from atalaia.signals.service import Signals

_log = structlog.get_logger(__name__)


class Atalaia:
    """All of Atalaia in one object. `start` opens roles, `close` ends them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        self.tracing = Tracing(settings.tracing)
        for name, figure in (("data_disk_free_bytes", "free"), ("data_disk_size_bytes", "total")):
            self.telemetry.gauge(name, partial(_disk, settings.data_dir, figure))
        self.database = Database(settings.sqlalchemy_url, busy_timeout_s=settings.busy_timeout_s)
        migrate(self.database)
        self.blobs = Blobs(settings.data_dir / "blobs")
        self.events = EventLog(as_json=settings.log_format == "json")
        self.audit = self._audit_log()
        self.entrance = Entrance(self.database, settings, self.telemetry, self.audit.trail)
        self.outbox = Outbox(self.database)
        self.queue = JobQueue(self.database, lease_s=settings.job_lease_s, backoff_s=settings.job_backoff_s)
        self.registry = MlflowRegistry(settings.data_dir.absolute() / "mlflow")
        memory = Memory(self.database, self.blobs)
        self.serving = Serving(
            self.database,
            self.blobs,
            self.outbox,
            DeploymentList(self.database),
            self.registry,
            KnownSeries(self.database, memory),
            settings.serving,
            self.telemetry,
        )
        self.signals = Signals(
            self.database, self.blobs, self.outbox, self.serving, memory, settings.signals, self.telemetry
        )
        self.lifecycle = Lifecycle(
            self.database,
            self.queue,
            self.blobs,
            self.outbox,
            self.signals,
            self.registry,
            self.serving,
            settings.lifecycle,
            self.telemetry,
        )
        works = {
            **signals_tasks.works(self.signals, self.queue, self.outbox),
            **lifecycle_tasks.works(self.lifecycle),
        }
        self.worker = Worker(self.database, self.queue, works, telemetry=self.telemetry, tracing=self.tracing)
        self.dispatcher = None if settings.broker_url is None else self._dispatcher(tuple(works))
        self.scheduler = Loop("scheduler", self._schedule, every_s=settings.schedule_every_s)
        self.messenger = Loop("facts", self._deliver, every_s=1.0)
        # Often, because while lines are written nobody is answered.
        self.writer = Loop("events", self.events.flush, every_s=0.05)
        self.learner = Loop("learner", self.signals.share, every_s=settings.signals.store_memory_s)
        self.roles: frozenset[str] = frozenset()
        self.is_ready = False

    def start(self, roles: tuple[str, ...] = ROLES) -> None:
        """Open roles: what they need is loaded and running when this returns.

        Raises
        ------
        Invalid
            When there is no such role.
        """
        unknown = set(roles) - set(ROLES)
        if unknown:
            reason = f"there is no role {', '.join(sorted(unknown))}; choose from {', '.join(ROLES)}"
            raise Invalid("invalid_settings", reason, faults=[Fault("/role", reason)])
        self.roles = frozenset(roles)
        self.audit.start(roles, self.settings)
        self.entrance.start()
        if self.roles & {"predictor", "worker"}:
            _log.info("models_loaded", count=self.serving.warm())
            self.serving.start()
        if "worker" in self.roles:
            self.signals.follower.start()
            if self.dispatcher is None:  # else processes of their own take the jobs
                self.worker.start()
        elif "predictor" in self.roles:
            self.learner.start()
        if "scheduler" in self.roles:
            self.scheduler.start()
        if self.dispatcher is not None:
            self.dispatcher.start()
        self.outbox.deliver_by(self.messenger.wake)
        self.messenger.start()
        self.writer.start()
        self.is_ready = True

    def close(self) -> None:
        """Stop everything in order: nothing new begins, what runs ends or is given back."""
        self.is_ready = False
        self.entrance.stop()
        self.scheduler.stop()
        self.worker.stop()
        if self.dispatcher is not None:
            self.dispatcher.stop()
        self.learner.stop()
        self.signals.stop()
        self.messenger.stop()
        self.serving.stop()
        self.audit.stop()
        self.writer.stop()
        self.events.flush()
        self.tracing.close()
        self.database.close()

    def _audit_log(self) -> Audit:
        return Audit(
            self.settings.data_dir,
            self.database,
            self.blobs,
            self.settings.audit,
            self.telemetry,
            names_of=lambda numbers: self.serving.names_of(numbers),
            forward=self.events.take if self.settings.serving.log_predictions else None,
        )

    def _dispatcher(self, kinds: tuple[str, ...]) -> Dispatcher:
        assert self.settings.broker_url is not None
        dispatcher = Dispatcher(self.settings.broker_url.get_secret_value(), self.queue, kinds)
        self.telemetry.gauge("jobs_queue_messages", lambda: dispatcher.messages)
        return dispatcher

    def _schedule(self) -> bool:
        signals_tasks.schedule(self.signals, self.queue)
        if self.dispatcher is not None:
            self.dispatcher.sweep()
        return False

    def _deliver(self) -> bool:
        self.outbox.deliver()
        return False


def _disk(folder: Path, figure: str) -> float:
    return float(getattr(shutil.disk_usage(folder), figure))


def build(settings: Settings) -> Atalaia:
    """Put Atalaia together on the data folder of `settings`; its schema is brought up to date.

    Raises
    ------
    Unavailable
        When the folder or the database cannot be used.
    """
    try:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        return Atalaia(settings)
    except OSError as error:
        detail = f"the data folder {settings.data_dir} cannot be used: {error.strerror}: {error.filename}"
        raise Unavailable("database_unavailable", detail) from error
