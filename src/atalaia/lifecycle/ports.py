"""What lifecycle needs from others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from atalaia.algorithms.models import FleetModel
from atalaia.core.anomalies import Anomaly
from atalaia.core.models import ModelKey, Stage, Statement
from atalaia.core.points import Group, IntArray
from atalaia.kit.signatures import Signature


class History(Protocol):
    """Stored points."""

    def members(self, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, or raise `Missing`."""
        ...

    def check(self, session: Session, series_id: str) -> None:
        """Raise `Missing` when there is no such series."""
        ...

    def newest(self, series_ids: Sequence[str]) -> int | None:
        """Return the time of the newest point of any of the series, in microseconds, or raise `Missing`."""
        ...

    def group(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Group:
        """Return the points of the series in [start, end), in the order of the ids."""
        ...

    def groups(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Iterator[tuple[IntArray, Group]]:
        """Yield the same part by part, each of bounded size: positions in `series_ids`, and their points."""
        ...

    def gather_fleets(self) -> list[str]:
        """Put every series that has no fleet into one; return all fleets."""
        ...


class Assets(Protocol):
    """Which series are sensors of which asset."""

    def sensors(self, asset: str, most: int) -> list[str]:
        """Return the ids of the series of an asset, sorted, at most so many."""
        ...

    def assets(self, after: str | None, limit: int) -> list[tuple[str, int]]:
        """Return assets in order of name from behind `after`, and of how many series each is."""
        ...


class Judgements(Protocol):
    """What people said of anomalies."""

    def judged(self, series_ids: Sequence[str], start_us: int, end_us: int) -> list[Anomaly]:
        """Return the anomalies of the series in [start, end) of which somebody said something, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Artefact:
    """A trained model on its way into the registry.

    Attributes
    ----------
    created_at
        When it was signed, in microseconds; the version has been there since.
    """

    key: ModelKey
    job_id: str
    data: bytes
    sha256: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    algorithm: str
    created_at: int
    signature: Signature

    @property
    def tags(self) -> dict[str, str]:
        """What the registry notes, so that others can verify it too."""
        said = Statement(self.key, self.sha256, self.algorithm, self.job_id, self.created_at).encoded().decode()
        return {"signature": self.signature.text, "signed_by": self.signature.key_id, "statement": said}


class Registry(Protocol):
    """Where versions are registered."""

    def publish(self, artefact: Artefact) -> str:
        """Log parameters, metrics and artefact, register a version; return its run. Twice for a job is once."""
        ...

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run, or raise `Unavailable`."""
        ...

    def set_stage(self, key: ModelKey, run_id: str, number: int, stage: Stage) -> None:
        """Note where the version of the run stands."""
        ...


class Eraser(Protocol):
    """The registry, as whoever erases needs it."""

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run, or raise `Unavailable`."""
        ...

    def erase(self, key: ModelKey, run_ids: Sequence[str]) -> str:
        """Remove a model, its runs and their artefacts; say what stays nevertheless. Twice is as good as once."""
        ...

    def replace(self, run_id: str, data: bytes, sha256: str, tags: Mapping[str, str]) -> None:
        """Put another artefact in the place of that of a run."""
        ...


class Activity(Protocol):
    """What was asked of the models that serve."""

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        """Return how many points of the series were scored since then, and how many were anomalous."""
        ...

    def adopted(self, series_id: str, version: str) -> FleetModel | None:
        """Return a version (``key/v1``) that a series joined after its training, as it stands; None for others."""
        ...
