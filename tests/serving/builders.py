"""Serving on a shelf of models in memory: what is promoted, what the registry holds, what the catalogue knows."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.core.points import Group
from atalaia.core.series import Statistics
from atalaia.kit.audit.journal import Journal
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.logs import EventLog
from atalaia.kit.signatures import Signatures, SigningSettings
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.hot import HotFront
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.serving.api import serving_router
from atalaia.serving.cache import Loaded
from atalaia.serving.doors import PredictionDoors
from atalaia.serving.inference_api import InferenceApi
from atalaia.serving.loading import Models
from atalaia.serving.oip import InferenceDoors
from atalaia.serving.prediction_log import PredictionLog
from atalaia.serving.service import PointToScore, Serving
from atalaia.serving.settings import ServingSettings
from tests.kit.fakes import open_database

START_US = 1_700_000_000 * MICROS
MEAN, STD = 50.0, 2.0


def series(name: str) -> ModelKey:
    return ModelKey(Scope.SERIES, name)


def fleet(name: str) -> ModelKey:
    return ModelKey(Scope.FLEET, name)


@cache
def model_of(*members: str, mean: float = MEAN, points: int = 200) -> FleetModel:
    """Return a model that expects `mean`, give or take three times `STD`."""
    stamps = START_US + np.arange(points, dtype=np.int64) * 60 * MICROS
    noise = np.random.default_rng(1).normal(0.0, 1.0, points)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    group = Group.of([(stamps, mean + STD * noise)] * len(members))
    return FleetModel.fit(make_detector("statistical", {}), members, group)


@dataclass
class Shelf:
    """Deployments and the registry that holds their artefacts; either can be down."""

    signatures: Signatures
    deployed: dict[ModelKey, Deployment] = field(default_factory=dict)
    artefacts: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    asked_after: list[int] = field(default_factory=list)
    retired: dict[tuple[ModelKey, int], Deployment] = field(default_factory=dict)
    challengers: dict[ModelKey, Deployment] = field(default_factory=dict)
    is_down: bool = False
    revision: int = 0
    removed: int = 0

    def removals(self) -> int:
        if self.is_down:
            raise Unavailable("database_unavailable", "down")
        return self.removed

    def promote(self, key: ModelKey, *members: str, mean: float = MEAN, points: int = 200) -> Deployment:
        """Put the next version of a model into Production."""
        return self.deploy(self.train(key, model_of(*(members or (key.name,)), mean=mean, points=points)))

    def train(self, key: ModelKey, model: FleetModel | AssetModel) -> Deployment:
        """Register the next version of a model, which serves nobody yet."""
        data = model.to_bytes()
        number = sum(other == key for other, _ in self.retired) + 1
        run_id = f"run of {key} v{number}"
        self.artefacts[run_id] = data
        trained = Deployment(
            key,
            number,
            model.detector.name,
            sha256_of(data),
            len(data),
            run_id,
            0,
            Stage.NONE,
            f"job of {run_id}",
            number,
        )
        signature = self.signatures.sign(trained.statement.encoded())
        trained = replace(trained, signature=signature.text, signed_by=signature.key_id)
        self.retired[key, number] = trained
        return trained

    def deploy(self, deployment: Deployment, stage: Stage = Stage.PRODUCTION) -> Deployment:
        """Let a version serve, or challenge the one that serves."""
        key = deployment.key
        self.revision += 1
        deployment = replace(deployment, revision=self.revision, stage=stage)
        if stage is Stage.STAGING:
            self.challengers[key] = deployment
        else:
            self.deployed[key] = deployment
            challenger = self.challengers.get(key)
            if challenger is not None and challenger.number == deployment.number:
                del self.challengers[key]
        for serving in (self.deployed, self.challengers):  # the revision is that of the model
            if key in serving:
                serving[key] = replace(serving[key], revision=self.revision)
        return deployment

    def dismiss(self, key: ModelKey) -> None:
        """Take the challenger of a model away."""
        del self.challengers[key]
        self.deploy(self.deployed[key])

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        self.asked_after.append(after_revision)
        serving = [*list(self.deployed.values()), *list(self.challengers.values())]
        found = [deployment for deployment in serving if deployment.revision > after_revision]
        return sorted(found, key=lambda deployment: (deployment.revision, deployment.number))

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        for serving in (self.deployed, self.challengers):
            if key in serving and serving[key].number == number:
                return serving[key]
        return self.retired.get((key, number))

    def fetch(self, run_id: str) -> bytes:
        self.fetched.append(run_id)
        if self.is_down or run_id not in self.artefacts:
            raise Unavailable("registry_unavailable", "the registry is down", retry_after_s=1)
        return self.artefacts[run_id]


@dataclass
class Known:
    """The catalogue: running statistics by series; can be down."""

    series: dict[str, Statistics] = field(default_factory=dict)
    numbered: dict[str, int] = field(default_factory=dict)
    is_down: bool = False
    fleets: dict[str, str] = field(default_factory=dict)
    labelled: dict[str, dict[str, str]] = field(default_factory=dict)
    kept: dict[str, Callable[[], bytes]] = field(default_factory=dict)

    def fill(self, name: str, count: int = 100, mean: float = MEAN, std: float = STD) -> None:
        self.series[name] = Statistics(count, mean, std, mean)

    def numbers(self, series_ids: Sequence[str]) -> dict[str, int]:
        """Every series but those that are called new is known, by a number that its name gives."""
        return {name: self.number(name) for name in series_ids if not name.startswith("new")}

    def number(self, name: str) -> int:
        return self.numbered.setdefault(name, len(self.numbered) + 1)

    def join(self, fleet_id: str, *names: str, **labels: str) -> None:
        """Let series come into a fleet."""
        for name in names:
            self.number(name)
            self.fleets[name] = fleet_id
            self.labelled[name] = labels

    def joined(self, after: int, fleet_id: str | None = None) -> tuple[int, list[tuple[int, str, str]]]:
        if self.is_down:
            raise Unavailable("database_unavailable", "the database is down", retry_after_s=1)
        found = [(self.numbered[name], name, fleet) for name, fleet in self.fleets.items()]
        fresh = [row for row in found if row[0] > after and fleet_id in (None, row[2])]
        return max(self.numbered.values(), default=0), sorted(fresh)

    def states(self) -> dict[str, Callable[[], bytes]]:
        return self.kept

    def labels(self, series_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return {name: self.labelled[name] for name in series_ids if name in self.labelled}

    def statistics(self, series_id: str) -> Statistics | None:
        if self.is_down:
            raise Unavailable("database_unavailable", "the database is down", retry_after_s=1)
        return self.series.get(series_id)


class Clock:
    """The monotonic clock of loading, turned by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        fake = SimpleNamespace(monotonic=lambda: self.now, perf_counter=lambda: self.now)
        monkeypatch.setattr("atalaia.serving.loading.time", fake)
        monkeypatch.setattr("atalaia.serving.assets.time", fake)


@dataclass
class Place:
    """Serving and what it stands on."""

    shelf: Shelf
    known: Known
    database: Database
    blobs: Blobs
    outbox: Outbox
    telemetry: Telemetry
    serving: Serving
    events: EventLog = field(default_factory=EventLog)
    is_ready: bool = True
    journal: Journal | None = None
    audit: AuditSettings = field(default_factory=AuditSettings)

    @property
    def log(self) -> PredictionLog:
        """What keeps predictions."""
        return PredictionLog(
            self.events,
            logs=self.serving.settings.log_predictions,
            journal=self.journal,
            settings=self.audit,
        )

    @property
    def models(self) -> Models:
        return self.serving.models

    @cached_property
    def app(self) -> ASGIApp:
        """The HTTP doors, as the server puts them up."""
        app = FastAPI()
        install_problems(app)
        doors = PredictionDoors(self.serving, self.log)
        app.include_router(serving_router(self.serving, doors))
        inference = InferenceDoors(self.serving, self.log)
        app.include_router(InferenceApi(inference, self.serving, lambda: self.is_ready).router())
        front = Front(app, telemetry=self.telemetry, max_body_bytes=2**20)
        limits: dict[str, Any] = {"max_body_bytes": 2**20, "max_inflight_bytes": 2**22}
        routes = [*doors.routes(), *inference.routes()]
        return HotFront(front, routes, telemetry=self.telemetry, events=self.events, gate=None, **limits)

    def find(self, name: str) -> Loaded | None:
        """Return the model that answers for a series, loaded if needed."""
        found = self.models.find(name)
        return None if found is None else found[0]

    def key_of(self, name: str) -> ModelKey | None:
        """Return what the model is of that answers for a series."""
        found = self.find(name)
        return None if found is None else found.deployment.key

    def promote(self, key: ModelKey, *members: str, **more: Any) -> Deployment:
        """Promote, and let serving learn of it."""
        deployment = self.shelf.promote(key, *members, **more)
        self.models.refresh()
        return deployment

    def deploy(self, key: ModelKey, model: FleetModel | AssetModel, stage: Stage = Stage.PRODUCTION) -> Deployment:
        """Train and deploy a model of any kind, and let serving learn of it."""
        deployment = self.shelf.deploy(self.shelf.train(key, model), stage)
        self.models.refresh()
        return deployment

    def metric(self, name: str) -> dict[str, float]:
        """Return the samples of a metric by their labels, as they are written."""
        lines = self.telemetry.render().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return {labels.removeprefix(name): float(value) for labels, value in found}

    def predict(self, *points: tuple[str, float]) -> list[Any]:
        """Score (series id, value), a minute apart."""
        wanted = [PointToScore(name, START_US + i * 60 * MICROS, value) for i, (name, value) in enumerate(points)]
        return self.serving.predict(wanted)

    def copy_of(self, deployment: Deployment) -> Path:
        """Return where the local copy of an artefact lies."""
        return self.blobs.path(f"models/{deployment.sha256}.npz")

    def loads(self, source: str) -> float:
        """Return how many loads from a source the metrics tell of."""
        text = self.telemetry.render().decode()
        lines = [line for line in text.splitlines() if line.startswith("model_load_duration_seconds_count")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'source="{source}"' in line)


@contextmanager
def open_place(folder: Path, signing: dict[str, Any] | None = None, **settings: Any) -> Generator[Place]:
    """Yield serving on an empty database in `folder`."""
    database = open_database(folder / "atalaia.db")
    signatures = Signatures(SigningSettings(**(signing or {})), folder)
    shelf, known, outbox, telemetry = Shelf(signatures), Known(), Outbox(database), Telemetry()
    blobs = Blobs(folder / "blobs")
    wanted = ServingSettings(**settings)
    serving = Serving(database, blobs, outbox, shelf, shelf, known, wanted, telemetry, signatures)
    try:
        yield Place(shelf, known, database, blobs, outbox, telemetry, serving)
    finally:
        database.close()


def damaged(data: bytes) -> bytes:
    """Return `data` with some bytes changed."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0xFF
    return bytes(changed)
