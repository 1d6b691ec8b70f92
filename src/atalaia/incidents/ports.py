"""What incidents needs from others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from atalaia.core.points import Group, IntArray


class History(Protocol):
    """Which series there are, and their stored points."""

    def described(self, series_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of those of the series that are known."""
        ...

    def matching(self, fleet_id: str | None, labels: Sequence[str], most: int) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of the series of a fleet, or of all, that have all of ``name:value``; at most `most`.

        Raises `Missing` when there is no such fleet.
        """
        ...

    def groups(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Iterator[tuple[IntArray, Group]]:
        """Yield their points in [start, end) part by part: positions in `series_ids`, and their points."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a service and is no metric.

    Attributes
    ----------
    kind
        ``deploy``, ``config``, ``log``, ``trace``.
    text
        What happened, for people.
    """

    service: str
    at_us: int
    kind: str
    text: str


class Changes(Protocol):
    """What is known beside metrics: deploys, changes of configuration, new kinds of log lines, broken traces."""

    def between(self, services: Sequence[str], start_us: int, end_us: int) -> Sequence[Change]:
        """Return what happened to any of the services in [start, end), in order of time."""
        ...
