"""Which labels series that are strange at the same time have in common, more than chance would give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Label = tuple[str, str]
"""Name and value."""


@dataclass(frozen=True, slots=True)
class SharedLabel:
    """A label that several series have which are strange at the same time.

    Attributes
    ----------
    strange, strange_total
        Of the series that are strange, how many have it, and how many there are.
    series, series_total
        Of all series, how many have it, and how many there are.
    """

    label: Label
    strange: int
    strange_total: int
    series: int
    series_total: int

    @property
    def lift(self) -> float:
        """How many times as often series that are strange have it, as any do."""
        return (self.strange / self.strange_total) / (self.series / self.series_total)


def contributing(
    own: Mapping[str, str], others: Sequence[Mapping[str, str]], counts: Mapping[Label, int], series_total: int
) -> list[SharedLabel]:
    """Return the labels of a series that others share which are strange with it, the most telling first.

    A label is left out when no other has it, or when it is no commoner among them than among all series.

    Parameters
    ----------
    own
        Labels of the series.
    others
        Labels of each other series that is strange at the same time.
    counts
        How many of all series have each label; labels that are not named are left out.
    """
    total = 1 + len(others)
    found: list[SharedLabel] = []
    for label in own.items():
        strange = 1 + sum(other.get(label[0]) == label[1] for other in others)
        series = max(counts.get(label, 0), strange)  # one may have come since they were counted
        shared = SharedLabel(label, strange, total, series, max(series_total, series, total))
        if strange > 1 and label in counts and shared.lift > 1.0:
            found.append(shared)
    return sorted(found, key=lambda shared: (-shared.lift, -shared.strange, shared.label))
