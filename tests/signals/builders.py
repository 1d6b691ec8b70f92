"""What the tests of signals are made of: a scorer with a plain threshold, and signals on a fresh SQLite file."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import event

from atalaia.core.clock import MICROS
from atalaia.core.facts import FACTS, Fact
from atalaia.core.points import FloatArray, IntArray, Points
from atalaia.core.scores import Explanation, ModelRef, Scores
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, Table
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.ingest import Batch
from atalaia.signals.scoring import Scoring
from atalaia.signals.service import Signals
from atalaia.signals.settings import SignalsSettings

START_S = 1_700_000_000
THRESHOLD = 10.0
NO_FILTER = {"series_id": None, "from_us": None, "to_us": None, "state": None}
"""What chooses all anomalies."""


@dataclass(frozen=True)
class PlainBlock:
    """Scores of `ThresholdScorer`."""

    scores: Scores
    names: Sequence[str]
    values: FloatArray

    def explain(self, index: int) -> Explanation:
        return Explanation(0.0, -THRESHOLD, THRESHOLD, "level", f"{self.values[index]:g} is far from 0")

    def model(self, index: int) -> ModelRef:
        return ModelRef(f"series:{self.names[index]}", "v1", "plain")


@dataclass
class ThresholdScorer:
    """A point is strange when it is farther than `THRESHOLD` from 0; the series in `strangers` have no model."""

    strangers: frozenset[str] = frozenset()
    blocks: list[Sequence[str]] = field(default_factory=list)

    def score_block(
        self, series_ids: Sequence[str], rows: IntArray, timestamps: IntArray, values: FloatArray
    ) -> PlainBlock:
        names = [series_ids[int(row)] for row in rows]
        self.blocks.append(names)
        score = np.abs(values) / THRESHOLD
        score[[name in self.strangers for name in names]] = np.nan
        band = np.zeros(len(values))
        scores = Scores(score, band, band - THRESHOLD, band + THRESHOLD, np.zeros(len(values), np.int16))
        return PlainBlock(scores, names, values)


@dataclass
class Place:
    """Signals and what it stands on."""

    database: Database
    blobs: Blobs
    outbox: Outbox
    telemetry: Telemetry
    scorer: Any
    signals: Signals
    told: list[Fact]

    def send(self, *points: tuple[str, float, float]) -> tuple[int, int, int]:
        """Ingest one batch of (series id, seconds after the start, value)."""
        with self.database.write() as session:
            return self.signals.ingest(session, batch(points))

    def drain(self, scoring: Scoring | None = None) -> None:
        """Score all that waits."""
        while (scoring or self.signals.scoring).drain():
            pass

    def scoring(self, database: Database | None = None, scorer: Any = None) -> Scoring:
        """Return the scoring of another process."""
        return Scoring(
            database or self.database,
            self.outbox,
            scorer or self.scorer,
            self.signals.settings,
            self.telemetry,
        )

    def anomalies(self, **filters: Any) -> list[Any]:
        """Return the anomalies that people see, newest first."""
        wanted: dict[str, Any] = {**NO_FILTER, "cursor": None, "limit": 1000, **filters}
        with self.database.read() as session:
            return self.signals.list_anomalies(session, **wanted)[0]

    def series(self, series_id: str) -> Any:
        with self.database.read() as session:
            return self.signals.catalogue.series(session, series_id)


def batch(points: Sequence[tuple[str, float, float]]) -> Batch:
    stamps = np.array([us(seconds) for _, seconds, _ in points], np.int64)
    values = np.array([value for _, _, value in points], np.float64)
    return Batch([name for name, _, _ in points], stamps, values, "/points/{}/series_id")


def us(seconds: float) -> int:
    """Return the microseconds of so many seconds after the start."""
    return START_S * MICROS + round(seconds * MICROS)


def columns(*points: tuple[int, int, float]) -> Points:
    """Return points of (series number, timestamp in microseconds, value)."""
    return Points(
        np.array([p[0] for p in points], np.int32),
        np.array([p[1] for p in points], np.int64),
        np.array([p[2] for p in points], np.float64),
    )


def fresh_database(folder: Path) -> Database:
    """Return a database with all tables, which need not survive a power cut."""
    path = folder / "atalaia.db"
    path.write_bytes(_empty_tables())
    database = Database(f"sqlite:///{path}")
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return database


@cache
def _empty_tables() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        database = Database(f"sqlite:///{path}")
        Table.metadata.create_all(database.engine)
        database.close()
        return path.read_bytes()


@contextmanager
def signals_in(folder: Path, scorer: Any = None, settings: Mapping[str, Any] | None = None) -> Generator[Place]:
    """Yield signals on an empty database in `folder`."""
    database = fresh_database(folder)
    blobs, outbox, telemetry = Blobs(folder / "blobs"), Outbox(database), Telemetry()
    told: list[Fact] = []
    for kind in FACTS.values():
        outbox.subscribe(kind, "test", lambda fact, _: told.append(fact))
    scorer = scorer or ThresholdScorer()
    signals = Signals(database, blobs, outbox, scorer, SignalsSettings(**(settings or {})), telemetry)
    try:
        yield Place(database, blobs, outbox, telemetry, scorer, signals, told)
    finally:
        database.close()
