"""The tail, read: accepted batches that are in no block yet, decoded once and kept in bounded memory."""

import heapq
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy.orm import Session

from atalaia.core.points import IntArray, NumberArray, Points
from atalaia.kit.arrow import part_of, points_from_ipc
from atalaia.signals.store import history as store

_UNKNOWN = np.iinfo(np.int64).min
_POINT_BYTES = 20
_BATCH_BYTES = 600
"""What a batch takes beside its points."""


class Tail:
    """Reads the tail for many readers.

    Parameters
    ----------
    memory_bytes
        How much decoded batches may take. A tail that is larger is decoded in part on every read.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._batches: dict[int, Points] = {}
        self._oldest: list[int] = []
        self._bytes = 0
        self._looked_at: frozenset[int] = frozenset()
        self._newest: IntArray = np.empty(0, np.int64)

    def read(self, session: Session, numbers: NumberArray, start_us: int, end_us: int) -> list[Points]:
        """Return the points of the series `numbers` (sorted) in [start, end), batch by batch as they arrived."""
        span = (start_us, end_us)
        batches = self._decoded(session, store.tail_ids(session, start_us, end_us))
        return [_copy(part_of(points, numbers, span)) for _, points in batches]

    def counts(self, session: Session, numbers: NumberArray, start_us: int, end_us: int) -> IntArray:
        """Return how many points each of the series has in batches that overlap [start, end)."""
        counts = np.zeros(len(numbers), np.int64)
        for _, points in self._decoded(session, store.tail_ids(session, start_us, end_us)):
            counts += np.searchsorted(points.series, numbers, side="right")
            counts -= np.searchsorted(points.series, numbers)
        return counts

    def newest_waiting(self, session: Session, numbers: Sequence[int], covered: int) -> int | None:
        """Return the newest time of the series in batches that are not scored yet, or after the round `covered`.

        A batch is looked at once, however often this is asked and however many wait. It may be one that was covered
        since: what it says is never newer than what is known of the series otherwise.
        """
        ids = store.waiting_ids(session, covered)
        fresh = [batch for batch in ids if batch not in self._looked_at]
        for _, points in self._decoded(session, fresh):
            self._look_at(points)
        self._looked_at = frozenset(ids)
        wanted = np.array(numbers, np.int64)
        newest = self._newest
        found = newest[wanted[(wanted >= 0) & (wanted < len(newest))]]
        return int(found.max()) if len(found) and found.max() != _UNKNOWN else None

    def _look_at(self, points: Points) -> None:
        last = np.flatnonzero(np.r_[points.series[1:] != points.series[:-1], True])
        series, stamps = points.series[last], points.timestamps[last]
        with self._lock:
            if series[-1] >= len(self._newest):
                larger = np.full(2 * int(series[-1]) + 64, _UNKNOWN)
                larger[: len(self._newest)] = self._newest
                self._newest = larger
            self._newest[series] = np.maximum(self._newest[series], stamps)

    def _decoded(self, session: Session, ids: Sequence[int]) -> Iterator[tuple[int, Points]]:
        """Yield those of the batches that are still there, sorted by series and time, in order of their ids."""
        with self._lock:
            known = {batch: self._batches[batch] for batch in ids if batch in self._batches}
        loaded = store.batches(session, [batch for batch in ids if batch not in known])
        others = ((batch, self._keep(batch, points_from_ipc(data).latest())) for batch, data in loaded)
        return heapq.merge(iter(sorted(known.items())), others, key=lambda pair: pair[0])

    def _keep(self, batch: int, points: Points) -> Points:
        """Keep a batch in memory, and let the oldest go: they are the next to become a block.

        In a tail that is too large, the newest batches stay in memory; to drop those that were not used for long
        would leave none that the next reader wants first.
        """
        with self._lock:
            if batch not in self._batches:
                self._batches[batch] = points
                self._bytes += _size(points)
                heapq.heappush(self._oldest, batch)
            while self._bytes > self._memory_bytes:
                self._bytes -= _size(self._batches.pop(heapq.heappop(self._oldest)))
        return points


def _copy(part: Points) -> Points:
    """Return the points on their own: a part that is a view would keep its whole batch in memory."""
    return Points(part.series.copy(), part.timestamps.copy(), part.values.copy())


def _size(points: Points) -> int:
    return _POINT_BYTES * len(points) + _BATCH_BYTES
