"""Stretches of time as columns: [start, end) in microseconds since the epoch, sorted and apart from each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of time, in order; none touches the next one.

    Attributes
    ----------
    starts, ends
        int64[n], microseconds; an end is not part of its stretch.
    """

    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.starts)

    @staticmethod
    def of(pairs: Iterable[tuple[int, int]]) -> "Spans":
        """Return the stretches that pairs of start and end cover together; empty ones count for nothing."""
        kept = [pair for pair in pairs if pair[0] < pair[1]]
        bounds = np.array(kept, np.int64).reshape(-1, 2)
        starts, ends = bounds[:, 0], bounds[:, 1]
        order = np.argsort(starts, kind="stable")
        starts, reached = starts[order], np.maximum.accumulate(ends[order]) if len(ends) else ends
        first = np.ones(len(starts), np.bool_)
        first[1:] = starts[1:] > reached[:-1]
        last = np.append(first[1:], True) if len(starts) else first
        return Spans(starts[first], reached[last])

    @staticmethod
    def union(parts: Sequence["Spans"]) -> "Spans":
        """Return what several cover together."""
        if len(parts) == 1:
            return parts[0]
        return Spans.of(
            pair for part in parts for pair in zip(part.starts.tolist(), part.ends.tolist(), strict=True)
        )

    def within(self, start_us: int, end_us: int) -> "Spans":
        """Return those that touch [start, end), whole."""
        first = int(np.searchsorted(self.ends, start_us, side="right"))
        last = int(np.searchsorted(self.starts, end_us, side="left"))
        return Spans(self.starts[first:last], self.ends[first:last])

    def until(self, end_us: int) -> "Spans":
        """Return what lies before a moment."""
        kept = self.within(self.starts[0] if len(self) else 0, end_us)
        return Spans(kept.starts, np.minimum(kept.ends, end_us))

    def hold(self, moments: IntArray) -> NDArray[np.bool_]:
        """Return bool[n], which of the moments, int64[n], lie inside."""
        if not len(self):
            return np.zeros(len(moments), np.bool_)
        place = np.searchsorted(self.starts, moments, side="right") - 1
        return (place >= 0) & (moments < self.ends[place])

    def around(self, moment_us: int) -> tuple[int, int] | None:
        """Return the stretch that holds a moment, None without one."""
        found = self.within(moment_us, moment_us + 1)
        return (int(found.starts[0]), int(found.ends[0])) if len(found) else None


NOTHING = Spans(np.empty(0, np.int64), np.empty(0, np.int64))
