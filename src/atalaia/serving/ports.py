"""What serving needs from others."""

from collections.abc import Mapping, Sequence
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
