"""Audit logs in a folder, with predictions to keep."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.core.clock import from_us, utc_now
from atalaia.core.points import NumberArray
from atalaia.core.scores import ModelRef
from atalaia.kit.audit.columns import Batch
from atalaia.kit.audit.export import Exporter
from atalaia.kit.audit.journal import Journal
from atalaia.kit.audit.records import Prediction
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.audit.trail import Trail
from atalaia.kit.audit.verify import Verdict, Verifier
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, Table
from atalaia.kit.telemetry import Telemetry

START_US = 1_700_000_000_000_000
REFS = [ModelRef("series:a", "v1", "zscore"), ModelRef("fleet:b", "v2", "zscore")]


def prediction(i: int) -> Prediction:
    return Prediction(
        f"req_{i}",
        "pump 7",
        from_us(START_US + i),
        float(i),
        i % 7 == 0,
        i / 10,
        "series:pump 7",
        "v3",
        0.05,
        utc_now(),
        "prediction",
        "info",
        "high",
        "mlflow",
    )


def batch(n: int, *, same_time: bool = True) -> Batch:
    stamps = np.full(n, START_US) if same_time else START_US + np.arange(n)
    scores = np.linspace(0, 2, n)
    scores[0] = np.nan
    models = np.arange(n, dtype=np.int32) % 2
    models[0] = -1
    values = np.arange(n, dtype=np.float64)
    return Batch(
        "req_b", "ada", START_US, 1.5, np.arange(n, dtype=np.int32), None, stamps, values, scores, models, REFS
    )


def names_of(numbers: NumberArray) -> list[str]:
    return [f"s{number}" if number else "" for number in numbers.tolist()]


@dataclass
class Room:
    """One data folder, and what stands in it."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.database = Database(f"sqlite:///{self.folder / 'atalaia.db'}")
        Table.metadata.create_all(self.database.engine)
        self.blobs = Blobs(self.folder / "blobs")
        self.telemetry = Telemetry()
        self.trail = Trail(self.database, self.telemetry)

    @property
    def told(self) -> AuditSettings:
        return AuditSettings.model_validate(self.settings)

    def journal(self, **more: Any) -> Journal:
        head = lambda: self.trail.known  # noqa: E731
        folder = self.folder / "audit"
        return Journal(folder, self.told, self.telemetry, tell=self.trail.later, head=head, **more)

    def exporter(self) -> Exporter:
        return Exporter(self.folder / "audit", self.database, self.blobs, self.trail, self.told, names_of)

    def verify(self) -> Verdict:
        self.trail.flush()
        return Verifier(self.folder / "audit", self.database, self.blobs).verify()

    def problems(self) -> list[str]:
        return [f"{finding.where}: {finding.what}" for finding in self.verify().findings]

    def files(self, folder: str = "journal") -> list[Path]:
        return sorted((self.folder / "audit" / folder).glob("*.journal"))
