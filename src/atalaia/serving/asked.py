"""Counting what is asked, without a database on the way: plain numbers, stored now and then."""

import threading
from collections.abc import Iterable

from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.kit.database import Database
from atalaia.serving import store

_KEEP_US = 90 * 24 * store.HOUR_US


class AskedCounts:
    """Counts of scored points by series, version and outcome."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str, bool], int] = {}
        self._fresh: dict[tuple[str, int], tuple[int, int]] = {}
        self._forgotten_us = 0

    def add(self, series_id: str, version: str, scored: int, anomalous: int) -> None:
        """Note that a version scored `scored` points of a series, `anomalous` of them over the threshold."""
        hour = now_us() // store.HOUR_US * store.HOUR_US
        with self._lock:
            for is_anomaly, count in ((False, scored - anomalous), (True, anomalous)):
                if count:
                    key = (series_id, version, is_anomaly)
                    self._totals[key] = self._totals.get(key, 0) + count
            before = self._fresh.get((series_id, hour), (0, 0))
            self._fresh[series_id, hour] = (before[0] + scored, before[1] + anomalous)

    def flush(self) -> bool:
        """Store what was counted since the last flush, and forget what is older than 90 days.

        What cannot be stored now is stored the next time.
        """
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        if not fresh:
            return False
        try:
            with self._database.write() as session:
                store.add_counts(session, fresh)
                self._forget(session)
        except Exception:
            with self._lock:
                for key, (scored, anomalous) in fresh.items():
                    before = self._fresh.get(key, (0, 0))
                    self._fresh[key] = (before[0] + scored, before[1] + anomalous)
            raise
        return False

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        """Return how many points of a series were scored since then, and how many were anomalous."""
        self.flush()
        with self._database.read() as session:
            return store.counts_since(session, series_id, since_us)

    def most_asked(self, count: int) -> list[str]:
        """Return the series that were asked for most, most first."""
        with self._database.read() as session:
            return store.most_asked(session, count)

    def totals(self) -> Iterable[tuple[tuple[str, ...], float]]:
        """Yield (series, version, ``true`` or ``false``) and the count since the start, for the metrics."""
        with self._lock:
            totals = list(self._totals.items())
        return [((s, v, str(is_anomaly).lower()), float(count)) for (s, v, is_anomaly), count in totals]

    def _forget(self, session: Session) -> None:
        oldest = now_us() - _KEEP_US
        if oldest - self._forgotten_us > store.HOUR_US:
            store.forget_counts(session, oldest)
            self._forgotten_us = oldest
