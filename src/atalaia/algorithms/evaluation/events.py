"""What an operator would see: events found, alerts that were false, and both at every threshold."""

from dataclasses import dataclass
from math import nan

import numpy as np

from atalaia.algorithms.evaluation.intervals import Marks, alerts, runs
from atalaia.algorithms.evaluation.volume import ranked_low
from atalaia.core.points import FloatArray

THRESHOLDS = 200
"""Thresholds that a sweep tries: from one point above to `MOST_FLAGGED` of all, in equal ratios."""

MOST_FLAGGED = 0.25
"""Above this share of flagged points alerts flow together until one of them touches every event: then even a random
score finds all without a false alert."""


@dataclass(frozen=True, slots=True)
class Count:
    """Labelled events and alerts, counted.

    Attributes
    ----------
    events, found
        Labelled events, and those of them with a flagged point inside.
    hits, false
        Alerts that touch an event, and those that touch none.
    """

    events: int
    found: int
    hits: int
    false: int

    @property
    def recall(self) -> float:
        """Share of the events that were found; NaN without events."""
        return self.found / self.events if self.events else nan

    @property
    def precision(self) -> float:
        """Share of the alerts that touch an event; NaN without alerts."""
        total = self.hits + self.false
        return self.hits / total if total else nan

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 without alerts, NaN without events."""
        if not self.events:
            return nan
        if not self.found:
            return 0.0
        return 2 * self.recall * self.precision / (self.recall + self.precision)

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.events + other.events, self.found + other.found, self.hits + other.hits, self.false + other.false
        )


NOTHING = Count(0, 0, 0, 0)


def count(flags: Marks, labels: Marks) -> Count:
    """Return what `flags`, bool[n], find of `labels`, bool[n]; flags close to each other are one alert."""
    begin, end = runs(labels)
    first, last = alerts(flags)
    flagged = np.concatenate([[0], np.cumsum(flags)])
    strange = np.concatenate([[0], np.cumsum(labels)])
    found = int((flagged[end + 1] > flagged[begin]).sum())
    hits = int((strange[last + 1] > strange[first]).sum())
    return Count(len(begin), found, hits, len(first) - hits)


def sweep(scores: FloatArray, labels: Marks) -> list[Count]:
    """Return the count at each threshold, from the strictest to the loosest.

    Thresholds are scores of the points themselves, so that a detector is judged by how it ranks them.
    """
    s = ranked_low(scores)
    return [count(s >= threshold, labels) for threshold in thresholds(s)]


def thresholds(scores: FloatArray) -> FloatArray:
    """Return the thresholds that a sweep tries, from the highest; none where all scores are equal."""
    if not len(scores):
        return scores
    falling = -np.sort(-scores)
    ranks = np.geomspace(1, max(len(scores) * MOST_FLAGGED, 1), THRESHOLDS).astype(np.int64) - 1
    tried = np.unique(falling[ranks])[::-1]
    return tried[tried > falling[-1]]  # the lowest score flags everything


def best_f1(counts: list[Count]) -> float:
    """Return the best event F1 of a sweep; NaN without events."""
    return max((c.f1 for c in counts), default=0.0)


def recall_within(counts: list[Count], false_alerts: float) -> float:
    """Return the best event recall of a sweep among thresholds with at most so many false alerts."""
    return max((c.recall for c in counts if c.false <= false_alerts), default=0.0)
