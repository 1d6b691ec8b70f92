"""What a comparison found of one contestant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

Figures = Mapping[str, float | None]
"""Figures by name, e.g. ``vus_pr``; None where a figure cannot be told, e.g. without a labelled event."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one contestant, ours or a peer.

    Attributes
    ----------
    name
        What it is called, e.g. ``fleet`` or ``peer:netdata``.
    figures
        Over all series or cases.
    per_series
        Of each series or case, by its name.
    """

    name: str
    figures: Figures
    per_series: Mapping[str, Figures] = field(default_factory=dict[str, Figures])


def mean_of(per_series: Mapping[str, Figures], name: str) -> float | None:
    """Return the mean of one figure over the series that have it, None if none has."""
    known = [figure for figures in per_series.values() if (figure := figures.get(name)) is not None]
    known = [figure for figure in known if isfinite(figure)]
    return sum(known) / len(known) if known else None
