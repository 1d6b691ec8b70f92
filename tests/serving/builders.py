"""Serving on a shelf of models in memory: what is promoted, what the registry holds, what the catalogue knows."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope
from atalaia.core.points import Group
from atalaia.core.series import Statistics
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.middleware import Front
from atalaia.kit.web.problems import install_problems
from atalaia.serving.api import serving_router
from atalaia.serving.loading import Models
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

    deployed: dict[ModelKey, Deployment] = field(default_factory=dict)
    artefacts: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    asked_after: list[int] = field(default_factory=list)
    is_down: bool = False
    revision: int = 0

    def promote(self, key: ModelKey, *members: str, mean: float = MEAN, points: int = 200) -> Deployment:
        """Put the next version of a model into Production."""
        data = model_of(*(members or (key.name,)), mean=mean, points=points).to_bytes()
        number = self.deployed[key].number + 1 if key in self.deployed else 1
        self.revision += 1
        run_id = f"run of {key} v{number}"
        self.artefacts[run_id] = data
        deployment = Deployment(key, number, "statistical", sha256_of(data), len(data), run_id, self.revision)
        self.deployed[key] = deployment
        return deployment

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        self.asked_after.append(after_revision)
        found = [deployment for deployment in self.deployed.values() if deployment.revision > after_revision]
        return sorted(found, key=lambda deployment: deployment.revision)

    def fetch(self, run_id: str) -> bytes:
        self.fetched.append(run_id)
        if self.is_down or run_id not in self.artefacts:
            raise Unavailable("registry_unavailable", "the registry is down", retry_after_s=1)
        return self.artefacts[run_id]


@dataclass
class Known:
    """The catalogue: running statistics by series; can be down."""

    series: dict[str, Statistics] = field(default_factory=dict)
    is_down: bool = False

    def fill(self, name: str, count: int = 100, mean: float = MEAN, std: float = STD) -> None:
        self.series[name] = Statistics(count, mean, std, mean)

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

    @property
    def models(self) -> Models:
        return self.serving.models

    @property
    def app(self) -> ASGIApp:
        """The HTTP doors, as the server puts them up."""
        app = FastAPI()
        install_problems(app)
        app.include_router(serving_router(self.serving))
        return Front(app, telemetry=self.telemetry, max_body_bytes=2**20)

    def promote(self, key: ModelKey, *members: str, **more: Any) -> Deployment:
        """Promote, and let serving learn of it."""
        deployment = self.shelf.promote(key, *members, **more)
        self.models.refresh()
        return deployment

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
def open_place(folder: Path, **settings: Any) -> Generator[Place]:
    """Yield serving on an empty database in `folder`."""
    database = open_database(folder / "atalaia.db")
    shelf, known, outbox, telemetry = Shelf(), Known(), Outbox(database), Telemetry()
    blobs = Blobs(folder / "blobs")
    wanted = ServingSettings(**settings)
    serving = Serving(database, blobs, outbox, shelf, shelf, known, wanted, telemetry)
    try:
        yield Place(shelf, known, database, blobs, outbox, telemetry, serving)
    finally:
        database.close()


def damaged(data: bytes) -> bytes:
    """Return `data` with some bytes changed."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0xFF
    return bytes(changed)
