"""What the tests of signals are made of: a scorer with a plain threshold, and signals on a fresh SQLite file."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS
from atalaia.core.facts import FACTS
from atalaia.core.points import FloatArray, IntArray, NumberArray, Points
from atalaia.core.scores import Explanation, ModelRef
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, Table
from atalaia.kit.facts import Outbox
from atalaia.kit.privacy import Privacy, PrivacySettings
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.calendar import Calendar
from atalaia.signals.history import History
from atalaia.signals.ingest import Batch
from atalaia.signals.intake import Delivery, Kept
from atalaia.signals.memory import Memory
from atalaia.signals.scoring import Scoring
from atalaia.signals.service import Signals
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store.follower import FollowerRow
from atalaia.signals.thresholds import Thresholds
from tests.kit.fakes import PATIENCE_S

START_S = 1_700_000_000
THRESHOLD = 10.0
NO_FILTER = {"series_id": None, "from_us": None, "to_us": None, "state": None}
"""What chooses all anomalies."""


@dataclass
class PlainBlock:
    """Scores of `ThresholdScorer`."""

    points: Points
    score: FloatArray
    alarm: NDArray[np.bool_]

    @property
    def values(self) -> FloatArray:
        return self.points.values

    def raw(self) -> FloatArray:
        return np.where(np.isnan(self.score), np.nan, np.abs(self.values) / THRESHOLD)

    def explain(self, index: int) -> Explanation:
        return Explanation(0.0, -THRESHOLD, THRESHOLD, "level", f"{self.values[index]:g} is far from 0")

    def model(self, index: int) -> ModelRef:
        return ModelRef("fleet:all", "v1", "plain")

    def relations(self, index: int) -> Sequence[Any]:
        return ()


@dataclass
class ThresholdScorer:
    """A point is strange when it is farther than `THRESHOLD` from 0; the `strangers`, by number, have no model.

    Attributes
    ----------
    blocks, replayed
        The numbers of the series of each block that was scored, the first time and again.
    restored
        The names of the states that were given back, each time.
    """

    strangers: frozenset[int] = frozenset()
    blocks: list[list[int]] = field(default_factory=list)
    replayed: list[list[int]] = field(default_factory=list)
    restored: list[list[str]] = field(default_factory=list)
    thresholds: FloatArray = field(default_factory=lambda: np.ones(0))

    def watch_block(
        self, numbers: NumberArray, timestamps: IntArray, values: FloatArray, *, replayed: bool = False
    ) -> Any:
        (self.replayed if replayed else self.blocks).append(numbers.tolist())
        score = np.abs(values) / THRESHOLD
        score /= np.append(self.thresholds, np.ones(int(numbers.max(initial=0)) + 1))[numbers]
        score[np.isin(numbers, list(self.strangers))] = np.nan
        return PlainBlock(Points(numbers, timestamps, values), score, score > 1.0)

    def pupils(self) -> Sequence[Any]:
        return ()

    def states(self) -> Iterable[tuple[str, bytes | None]]:
        return ()

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        self.restored.append(sorted(states))

    def set_thresholds(self, thresholds: FloatArray) -> None:
        self.thresholds = thresholds


@dataclass
class Place:
    """Signals and what it stands on."""

    database: Database
    blobs: Blobs
    outbox: Outbox
    telemetry: Telemetry
    scorer: Any
    signals: Signals
    told: list[Any]

    def send(self, *points: tuple[str, float, float]) -> tuple[int, int, int]:
        """Keep one batch of (series id, seconds after the start, value)."""
        wanted = batch(points)

        def prepare(session: Session) -> tuple[Points, Kept]:
            kept, created = self.signals.numbered(session, wanted)
            return kept, {"series": len(set(kept.series.tolist())), "created": created}

        said = self.signals.intake.submit(Delivery(prepare, 24 * len(points), True)).result(PATIENCE_S)
        return len(points), said["series"], said["created"]

    def drain(self, scoring: Scoring | None = None) -> None:
        """Score all that waits."""
        while (scoring or self.signals.scoring).drain():
            pass

    def store(self) -> None:
        """Store what the follower knows."""
        self.signals.memory.save(owner_of(self.database), self.scorer, lambda: None)

    def scoring(
        self, database: Database | None = None, scorer: Any = None, memory: Memory | None = None
    ) -> Scoring:
        """Return the scoring of another process."""
        database, settings = database or self.database, self.signals.settings
        past = History(database, self.blobs, settings)
        memory = memory or Memory(database, self.blobs)
        scorer = scorer or self.scorer
        thresholds = Thresholds(database, scorer, settings)
        at = (database, self.outbox, scorer, memory, past, thresholds, settings, self.telemetry)
        return Scoring(*at, Calendar(database))

    def begin_again(self, scorer: Any = None) -> None:
        """Let the process die, and another one take its place; what was only in memory is gone."""
        self.signals.intake.stop()
        free_lease(self.database)
        self.scorer, self.telemetry = scorer or self.scorer, Telemetry()
        memory = Memory(self.database, self.blobs)
        at = (self.database, self.blobs, self.outbox, self.scorer, memory)
        self.signals = Signals(*at, self.signals.settings, self.telemetry, self.signals.privacy)

    def anomalies(self, **filters: Any) -> list[Any]:
        """Return the anomalies that people see, newest first."""
        wanted: dict[str, Any] = {**NO_FILTER, "cursor": None, "limit": 1000, **filters}
        with self.database.read() as session:
            return self.signals.anomalies.page(session, **wanted)[0]

    def series(self, series_id: str) -> Any:
        with self.database.read() as session:
            return self.signals.series(session, series_id)


def free_lease(database: Database) -> None:
    """Let whoever follows be taken for dead."""
    with database.write() as session:
        session.execute(update(FollowerRow).values(until=0))


def owner_of(database: Database) -> str:
    """Return who follows."""
    with database.read() as session:
        return session.get_one(FollowerRow, 1).owner


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
def signals_in(
    folder: Path,
    scorer: Any = None,
    settings: Mapping[str, Any] | None = None,
    rules: Sequence[Mapping[str, str]] = (),
) -> Generator[Place]:
    """Yield signals on an empty database in `folder`."""
    database = fresh_database(folder)
    blobs, outbox, telemetry = Blobs(folder / "blobs"), Outbox(database), Telemetry()
    told: list[Any] = []
    for kind in FACTS.values():
        outbox.subscribe(kind, "test", lambda fact, _: told.append(fact))
    scorer = scorer or ThresholdScorer()
    memory = Memory(database, blobs)
    wanted = SignalsSettings(**(settings or {}))
    privacy = Privacy(PrivacySettings.model_validate({"rules": rules}), folder)
    signals = Signals(database, blobs, outbox, scorer, memory, wanted, telemetry, privacy)
    place = Place(database, blobs, outbox, telemetry, scorer, signals, told)
    try:
        yield place
    finally:
        place.signals.intake.stop()
        database.close()
