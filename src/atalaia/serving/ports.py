"""What serving needs from others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from atalaia.core.models import Deployment, ModelKey
from atalaia.core.series import Statistics


class Deployments(Protocol):
    """Which versions are in Production."""

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        """Return the deployments that changed after a revision, oldest change first."""
        ...

    def removals(self) -> int:
        """Return how often models were removed; what is gone is among no changes."""
        ...

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        """Return one version, wherever it stands, None when there is none."""
        ...


class Registry(Protocol):
    """Where artefacts are registered."""

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run, or raise `Unavailable`."""
        ...


class Catalogue(Protocol):
    """Known series."""

    def statistics(self, series_id: str) -> Statistics | None:
        """Return the running statistics of a series, None when it is unknown."""
        ...

    def numbers(self, series_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the numbers of those of the series that are known."""
        ...

    def joined(self, after: int, fleet_id: str | None = None) -> tuple[int, Sequence[tuple[int, str, str]]]:
        """Return the highest number there is, and number, id and fleet of those over `after` that are in a fleet.

        Numbers only grow: whoever asks with the highest of the last time gets what has come since.
        """
        ...

    def states(self) -> Mapping[str, Callable[[], bytes]]:
        """Return what reads the state of each streaming model, by its name, as whoever follows stored it."""
        ...

    def labels(self, series_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of those of the series that are known."""
        ...
