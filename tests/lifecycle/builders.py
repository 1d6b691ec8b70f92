"""Lifecycle on a fresh SQLite file, with a history in memory and a registry that only remembers."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.models import FleetModel
from atalaia.app.migrations.tables import METADATA
from atalaia.core.anomalies import Anomaly
from atalaia.core.clock import MICROS
from atalaia.core.errors import Missing, Unavailable
from atalaia.core.facts import FACTS, Fact
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import JobQueue, Worker
from atalaia.kit.signatures import Signatures, SigningSettings
from atalaia.kit.telemetry import Telemetry
from atalaia.lifecycle import tasks
from atalaia.lifecycle.deployments import DeploymentList
from atalaia.lifecycle.ports import Artefact
from atalaia.lifecycle.promotion import Promoted
from atalaia.lifecycle.service import Lifecycle
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.lifecycle.training import KIND, Config
from atalaia.lifecycle.waves import Queued, Wave

START_US = 1_700_000_000 * MICROS
ASSET = ModelKey(Scope.ASSET, "press 3")
SERIES = ModelKey(Scope.SERIES, "pump/7")
FLEET = ModelKey(Scope.FLEET, "pumps")


@dataclass
class MemoryHistory:
    """Points by series, fleets and assets by name; fleets are read in parts of `part_series`."""

    points: dict[str, tuple[IntArray, FloatArray]] = field(default_factory=dict)
    fleets: dict[str, list[str]] = field(default_factory=dict)
    of_assets: dict[str, list[str]] = field(default_factory=dict)
    part_series: int = 2

    def fill(self, series_id: str, values: FloatArray, step_s: int = 60) -> None:
        stamps = START_US + np.arange(len(values), dtype=np.int64) * step_s * MICROS
        self.points[series_id] = (stamps, np.asarray(values, np.float64))

    def members(self, fleet_id: str) -> list[str]:
        if fleet_id not in self.fleets:
            raise Missing("unknown_fleet", f"no fleet {fleet_id}")
        return self.fleets[fleet_id]

    def sensors(self, asset: str, most: int) -> list[str]:
        return sorted(self.of_assets.get(asset, ()))[:most]

    def assets(self, after: str | None, limit: int) -> list[tuple[str, int]]:
        named = [(name, len(members)) for name, members in sorted(self.of_assets.items()) if name > (after or "")]
        return named[:limit]

    def check(self, session: Session, series_id: str) -> None:
        if series_id not in self.points:
            raise Missing("unknown_series", f"no series {series_id}")

    def newest(self, series_ids: Sequence[str]) -> int | None:
        for series_id in series_ids:
            if series_id not in self.points:
                raise Missing("unknown_series", f"no series {series_id}")
        return max((int(self.points[s][0][-1]) for s in series_ids if len(self.points[s][0])), default=None)

    def group(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Group:
        parts: list[tuple[IntArray, FloatArray]] = []
        for series_id in series_ids:
            stamps, values = self.points.get(series_id, (np.empty(0, np.int64), np.empty(0)))
            inside = (stamps >= start_us) & (stamps < end_us)
            parts.append((stamps[inside], values[inside]))
        return Group.of(parts)

    def groups(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Iterator[tuple[IntArray, Group]]:
        whole = self.group(series_ids, start_us, end_us)
        filled = np.flatnonzero(whole.counts)[::-1]  # in another order than they were asked for
        for first in range(0, len(filled), self.part_series):
            places = filled[first : first + self.part_series]
            yield places, Group.of(whole.series(int(place)) for place in places)

    def gather_fleets(self) -> list[str]:
        alone = sorted(self.points.keys() - {s for members in self.fleets.values() for s in members})
        if alone:
            self.fleets["gathered"] = [*self.fleets.get("gathered", []), *alone]
        return sorted(fleet for fleet, members in self.fleets.items() if members)


@dataclass
class GivenJudgements:
    """Anomalies of which people said something."""

    anomalies: list[Anomaly] = field(default_factory=list)

    def judged(self, series_ids: Sequence[str], start_us: int, end_us: int) -> list[Anomaly]:
        return [one for one in self.anomalies if one.series_id in series_ids]


@dataclass
class RememberingRegistry:
    """Keeps what was published by job, and what was said of stages; can be down."""

    runs: dict[str, Artefact] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    is_down: bool = False

    def publish(self, artefact: Artefact) -> str:
        self._check()
        self.runs[artefact.job_id] = artefact
        return f"run-of-{artefact.job_id}"

    def fetch(self, run_id: str) -> bytes:
        self._check()
        return self.runs[run_id.removeprefix("run-of-")].data

    def set_stage(self, key: ModelKey, run_id: str, number: int, stage: Stage) -> None:
        self._check()
        self.stages[f"{key} v{number}"] = stage

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("registry_unavailable", "down", retry_after_s=1)


@dataclass
class FixedActivity:
    """Always the same counts."""

    counted: tuple[int, int] = (200, 10)
    grown: dict[str, FleetModel] = field(default_factory=dict[str, FleetModel])

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        return self.counted

    def adopted(self, series_id: str, version: str) -> FleetModel | None:
        return self.grown.get(series_id)


@dataclass
class Workshop:
    """Lifecycle and what it stands on."""

    database: Database
    queue: JobQueue
    worker: Worker
    outbox: Outbox
    blobs: Blobs
    history: MemoryHistory
    judgements: GivenJudgements
    registry: RememberingRegistry
    activity: FixedActivity
    telemetry: Telemetry
    lifecycle: Lifecycle
    told: list[Fact]

    def request(self, key: ModelKey = SERIES, algorithm: str = "statistical", **more: Any) -> str:
        """Queue a training and return its job."""
        given: dict[str, Any] = {"inline": None, "priority": 5, **more}
        config = Config(algorithm, given.pop("hyperparameters", {}), given.pop("window_hours", 168.0))
        with self.database.write() as session:
            training = self.lifecycle.training
            if not given.pop("may_be_empty", False):
                return training.request(session, key, config, **given).job_id
            payload = training.prepare(session, key, config, None, may_be_empty=True)
            return self.queue.enqueue(session, KIND, payload, subject=str(key)).job_id

    def work(self) -> None:
        """Do all jobs that wait."""
        while self.worker.work_once():
            pass

    def train(self, key: ModelKey = SERIES, **more: Any) -> str:
        """Train and return the version's name."""
        job_id = self.request(key, **more)
        self.work()
        result = self.job(job_id).result
        assert result is not None
        return str(result["model_version"])

    def train_now(self, key: ModelKey) -> None:
        """Train before all that waits."""
        self.request(key, priority=9)
        self.worker.work_once()

    def job(self, job_id: str) -> Any:
        with self.database.read() as session:
            return self.queue.get(session, job_id)

    def promote(self, number: int, key: ModelKey = SERIES, *, archive_previous: bool = True) -> Any:
        with self.database.write() as session:
            return self.lifecycle.promotion.promote(session, key, number, archive_previous=archive_previous)

    def challenge(self, number: int | None, key: ModelKey = SERIES) -> Any:
        with self.database.write() as session:
            return self.lifecycle.promotion.challenge(session, key, number)

    def start_wave(
        self, fleets: Sequence[str] | None = None, *, promote: bool = False, algorithm: str = "statistical"
    ) -> Queued:
        """Queue a wave of the fleets, of all without any."""
        wanted = self.lifecycle.waves.fleets(fleets)
        with self.database.write() as session:
            return self.lifecycle.waves.start(
                session, wanted, Config(algorithm, {}, 168.0), priority=3, promote=promote
            )

    def wave(self, wave_id: str) -> Wave:
        with self.database.read() as session:
            return self.lifecycle.waves.get(session, wave_id)

    def promote_wave(self, wave_id: str, *, skip_failed: bool = False) -> list[Promoted]:
        with self.database.write() as session:
            return self.lifecycle.waves.promote(session, wave_id, skip_failed=skip_failed)

    def retry_wave(self, wave_id: str) -> Queued:
        with self.database.write() as session:
            return self.lifecycle.waves.retry(session, wave_id, priority=3)

    def cancel(self, job_id: str) -> None:
        with self.database.write() as session:
            self.queue.cancel(session, job_id)

    def production(self) -> dict[str, int]:
        """Return the version in Production of each model that has one."""
        return {str(d.key): d.number for d in self.deployments() if d.stage is Stage.PRODUCTION}

    def deployments(self, after: int = 0) -> list[Deployment]:
        return DeploymentList(self.database).deployments(after)

    def stages(self, key: ModelKey = SERIES) -> dict[str, str]:
        with self.database.read() as session:
            _, versions = self.lifecycle.model(session, key)
        return {version.name: version.stage.value for version in versions}


@contextmanager
def open_workshop(folder: Path, **settings: Any) -> Generator[Workshop]:
    """Yield lifecycle on a fresh database in `folder`; trainings may follow each other at once."""
    chosen: dict[str, Any] = {"cooldown_s": 0.0, **settings}
    database = Database(f"sqlite:///{folder / 'atalaia.db'}")
    METADATA.create_all(database.engine)
    outbox, telemetry = Outbox(database), Telemetry()
    queue = JobQueue(database, backoff_s=0.0)
    history, registry, activity = MemoryHistory(), RememberingRegistry(), FixedActivity()
    judgements = GivenJudgements()
    blobs = Blobs(folder / "blobs")
    lifecycle = Lifecycle(
        database,
        queue,
        blobs,
        outbox,
        history,
        judgements,
        registry,
        activity,
        LifecycleSettings(**chosen),
        telemetry,
        Signatures(SigningSettings(), folder),
        history,
    )
    told: list[Fact] = []
    for fact in FACTS.values():
        outbox.subscribe(fact, f"test-{fact.name}", lambda fact, _: told.append(fact))
    worker = Worker(database, queue, tasks.works(lifecycle))
    try:
        yield Workshop(
            database,
            queue,
            worker,
            outbox,
            blobs,
            history,
            judgements,
            registry,
            activity,
            telemetry,
            lifecycle,
            told,
        )
    finally:
        database.close()


def wave(count: int = 2_000, seed: int = 1) -> FloatArray:
    """Return a noisy level with some spread."""
    return 50.0 + np.random.default_rng(seed).normal(0.0, 2.0, count)
