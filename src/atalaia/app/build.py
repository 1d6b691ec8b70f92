"""The one place that puts Atalaia together: connectors, then services, then who listens to what."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

import structlog
from alembic.util.exc import CommandError

from atalaia.app.backup import Site
from atalaia.app.backup import schedule as backups
from atalaia.app.entrance import Entrance, database_of
from atalaia.app.erasure import Erasures, Parts
from atalaia.app.erasure import work as erasures
from atalaia.app.migrations import migrate
from atalaia.app.settings import ROLES, Settings
from atalaia.connectors.mlflow import MlflowRegistry, MlflowServer, Publisher
from atalaia.core.errors import Fault, Invalid, Unavailable
from atalaia.incidents.service import Incidents
from atalaia.kit.audit.audit import Audit
from atalaia.kit.blobs import Blobs, Bucket, RemoteBlobs, Seals
from atalaia.kit.database import reason_of
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import JobQueue, Work, Worker
from atalaia.kit.jobs.broker import Dispatcher
from atalaia.kit.keyring import Keyring
from atalaia.kit.leases import Lease, owner_name
from atalaia.kit.logs import EventLog
from atalaia.kit.privacy import Privacy
from atalaia.kit.signatures import Signatures
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop
from atalaia.kit.tracing import Tracing
from atalaia.kit.vault import keyring_in, open_vault
from atalaia.lifecycle import tasks as lifecycle_tasks
from atalaia.lifecycle.deployments import DeploymentList
from atalaia.lifecycle.erasure import ModelErasure
from atalaia.lifecycle.service import Lifecycle
from atalaia.serving.asset_watching import Watching
from atalaia.serving.judging import Judge
from atalaia.serving.remembered import RememberedDeployments
from atalaia.serving.service import Serving
from atalaia.signals import tasks as signals_tasks
from atalaia.signals.assets import Assets
from atalaia.signals.erasure import SeriesErasure
from atalaia.signals.events import KnownEvents
from atalaia.signals.explaining import Explaining
from atalaia.signals.known import KnownSeries
from atalaia.signals.lessons import Lessons
from atalaia.signals.memory import Memory
from atalaia.signals.service import Signals

_log = structlog.get_logger(__name__)
_LEAD_S = 60.0
"""How long others wait for a scheduler that has fallen silent, on another machine."""
_MIGRATE_S = 5.0
"""How often a process that started without the database tries to bring its schema up to date."""


class Atalaia:
    """All of Atalaia in one object. `start` opens roles, `close` ends them.

    With `may_remember`, a database that cannot be reached is brought up to date later, and until then what serves
    is what it was: for predictors that have answered from this data folder before.
    """

    def __init__(self, settings: Settings, *, may_remember: bool = False) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        self.tracing = Tracing(settings.tracing)
        _watch_disk(self.telemetry, settings.data_dir)
        self.database = database_of(settings)
        listed, kept = DeploymentList(self.database), settings.data_dir / "deployments.json"
        self.deployments = deployments = RememberedDeployments(listed, kept)
        self._migrator = Loop("schema", self._migrate, every_s=_MIGRATE_S)
        self._is_migrated = self._try_to_migrate(may_wait=may_remember and deployments.is_there)
        self.keyring = keyring = open_vault(settings.data_dir, settings.encryption)
        self.blobs = open_blobs(settings, keyring)
        self.events = EventLog(as_json=settings.log_format == "json")
        self.audit = self._audit_log()
        self.entrance = Entrance(self.database, settings, self.telemetry, self.audit.trail, keyring)
        self.outbox = Outbox(self.database)
        self.queue = JobQueue(self.database, lease_s=settings.job_lease_s, backoff_s=settings.job_backoff_s)
        self.registry = open_registry(settings)
        self.signatures = Signatures(settings.signing, settings.data_dir, keyring)
        memory = Memory(self.database, self.blobs)
        at = (self.database, self.blobs, self.outbox)
        known = KnownSeries(self.database, memory)
        self.serving = Serving(
            *at,
            deployments,
            self.registry,
            known,
            settings.serving,
            self.telemetry,
            self.signatures,
        )
        self.privacy = Privacy(settings.privacy, settings.data_dir, keyring)
        self.watching = Watching(self.serving, known, settings.serving.asset_wait_moments)
        self.signals = Signals(*at, self.watching, memory, settings.signals, self.telemetry, self.privacy)
        self.assets = Assets(self.signals)
        self.lifecycle = self._lifecycle()
        self.incidents = Incidents(self.signals, self.privacy, settings.incidents)
        self.site = Site(settings, self.blobs)
        backups.watch(self.site, self.database, self.telemetry)
        self.erasures = Erasures(self._parts_of_erasures())
        works = self._works()
        self.worker = Worker(self.database, self.queue, works, telemetry=self.telemetry, tracing=self.tracing)
        self.dispatcher = self._dispatcher(tuple(works)) if settings.broker_url else None
        self.leader = Lease(self.database, "scheduler", lease_s=_LEAD_S, owner=owner_name())
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
        self.entrance.start(may_remember=tuple(roles) == ("predictor",))
        self.deployments.writes = "predictor" in self.roles
        if "worker" in self.roles:  # before those who verify look for it
            self.signatures.prepare()
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
        if not self._is_migrated:
            self._migrator.start()
        self.outbox.deliver_by(self.messenger.wake)
        self.messenger.start()
        self.writer.start()
        self.is_ready = True

    def close(self) -> None:
        """Stop everything in order: nothing new begins, what runs ends or is given back."""
        self.is_ready = False
        self.entrance.stop()
        self._migrator.stop()
        self.scheduler.stop()
        self.leader.release()
        self.worker.stop()
        if self.dispatcher is not None:
            self.dispatcher.stop()
        self.learner.stop()
        self.signals.stop()
        self.messenger.stop()
        self.outbox.release()
        self.serving.stop()
        self.audit.stop()
        self.writer.stop()
        self.events.flush()
        self.tracing.close()
        self.database.close()

    @cached_property
    def explaining(self) -> Explaining:
        """Who says why there is an alarm, or none."""
        return Explaining(self.signals, Judge(self.serving.models))

    @cached_property
    def known_events(self) -> KnownEvents:
        """What people know of beforehand."""
        return KnownEvents(self.signals)

    def _lifecycle(self) -> Lifecycle:
        return Lifecycle(
            self.database,
            self.queue,
            self.blobs,
            self.outbox,
            self.signals,
            self.signals.anomalies,
            self.registry,
            self.serving,
            self.settings.lifecycle,
            self.telemetry,
            self.signatures,
            self.assets,
            Lessons(self.signals),
        )

    def _audit_log(self) -> Audit:
        return Audit(
            self.settings.data_dir,
            self.database,
            self.blobs,
            self.settings.audit,
            self.telemetry,
            names_of=lambda numbers: self.serving.models.routes.names_of(numbers),
            forward=self.events.take if self.settings.serving.log_predictions else None,
        )

    def _works(self) -> dict[str, Work]:
        return {
            **signals_tasks.works(self.signals, self.queue, self.outbox),
            **lifecycle_tasks.works(self.lifecycle),
            **backups.works(self.site),
            **erasures.works(self.erasures.parts),
        }

    def _parts_of_erasures(self) -> Parts:
        at = (self.database, self.blobs, self.outbox, self.queue, self.privacy, self.signatures)
        models = ModelErasure(self.database, self.blobs, self.signatures, self.registry)
        return Parts(
            self.settings, *at, self.signals, SeriesErasure(self.signals), models, self.serving.models.refresh
        )

    def _dispatcher(self, kinds: tuple[str, ...]) -> Dispatcher:
        assert self.settings.broker_url is not None
        dispatcher = Dispatcher(self.settings.broker_url.get_secret_value(), self.queue, kinds)
        self.telemetry.gauge("jobs_queue_messages", lambda: dispatcher.messages)
        return dispatcher

    def _try_to_migrate(self, *, may_wait: bool) -> bool:
        try:
            migrate(self.database)
        except Unavailable as error:
            _log.warning("database_not_migrated", detail=error.detail, reason=reason_of(error))
            if not may_wait or isinstance(error.__cause__, CommandError):
                raise
            return False
        return True

    def _migrate(self) -> bool:
        if not self._is_migrated:
            self._is_migrated = self._try_to_migrate(may_wait=True)
        return False

    def _schedule(self) -> bool:
        """Queue what is due, in the one process that leads; the others look whether it still does."""
        if not self.leader.held():
            return False
        signals_tasks.schedule(self.signals, self.queue)
        backups.schedule(self.site, self.database, self.queue)
        if self.dispatcher is not None:
            self.dispatcher.sweep()
        return False

    def _deliver(self) -> bool:
        self.outbox.deliver()
        return False


def _watch_disk(telemetry: Telemetry, folder: Path) -> None:
    for name, figure in (("data_disk_free_bytes", "free"), ("data_disk_size_bytes", "total")):
        telemetry.gauge(name, partial(_disk, folder, figure))


def _disk(folder: Path, figure: str) -> float:
    return float(getattr(shutil.disk_usage(folder), figure))


@contextmanager
def opened(settings: Settings) -> Generator[Atalaia]:
    """Put Atalaia together as `build` does, for whoever looks at its folder; nothing is started."""
    atalaia = build(settings)
    try:
        yield atalaia
    finally:
        atalaia.database.close()


def open_blobs(settings: Settings, keyring: Keyring | None = None) -> Blobs:
    """Return where objects are kept: a folder in the data folder, or a bucket behind copies there.

    Raises
    ------
    Invalid
        When the URL is none of a bucket, the package for it is not installed, or a key cannot be used.
    """
    told = settings.encryption
    keyring = keyring_in(settings.data_dir, told) if keyring is None else keyring
    seals = Seals(keyring, writes=told.blobs, requires=told.require)
    if settings.blobs_url is None:
        return Blobs(settings.data_dir / "blobs", seals=seals)
    given = settings.blobs
    return RemoteBlobs(
        Bucket(settings.blobs_url, given),
        settings.data_dir / "copies",
        cache_bytes=given.cache_bytes,
        parallel_reads=given.parallel_reads,
        seals=seals,
    )


def open_registry(settings: Settings) -> Publisher:
    """Return the model registry: a folder in the data folder, or an MLflow server."""
    if settings.registry_url is None:
        return MlflowRegistry(settings.data_dir.absolute() / "mlflow")
    return MlflowServer(settings.registry_url, settings.registry, settings.blobs)


def build(settings: Settings, *, may_remember: bool = False) -> Atalaia:
    """Put Atalaia together on the data folder of `settings`; its schema is brought up to date.

    Raises
    ------
    Unavailable
        When the folder or the database cannot be used.
    """
    try:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        return Atalaia(settings, may_remember=may_remember)
    except OSError as error:
        detail = f"the data folder {settings.data_dir} cannot be used: {error.strerror}: {error.filename}"
        raise Unavailable("database_unavailable", detail) from error
