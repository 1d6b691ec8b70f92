"""What was scored, without a database on the way: the columns of the routes count, and are stored now and then."""

import threading
from collections.abc import Iterable

import numpy as np

from atalaia.core.clock import now_us
from atalaia.core.models import version_name
from atalaia.core.points import IntArray
from atalaia.kit.database import Database
from atalaia.kit.telemetry import OTHERS
from atalaia.serving import store
from atalaia.serving.columns import (
    CHALLENGED,
    CHALLENGER,
    DISAGREED,
    SCORED,
    STRANGE,
    counts_of,
    counts_of_versions,
    slot_of,
)
from atalaia.serving.routing import Routes
from atalaia.serving.scoring import FALLBACK

_LATELY_US = 7 * 24 * store.HOUR_US
Total = tuple[tuple[str, ...], float]


class Activity:
    """Counts of scored points, by the hour in the database, since the start in the metrics."""

    def __init__(self, database: Database, routes: Routes, *, max_series: int, keep_days: float = 90.0) -> None:
        self._database = database
        self._routes = routes
        self._max_series = max_series
        self._keep_us = int(keep_days * 24 * store.HOUR_US)
        self._lock = threading.Lock()
        self._stored = np.zeros((0, 2), np.int64)
        self._forgotten_us = 0

    def flush(self) -> bool:
        """Store what was counted since the last flush, and forget what is too old.

        What cannot be stored now is stored the next time. Series that have no number yet wait for it.
        """
        with self._lock:
            columns = self._routes.columns
            now = counts_of(columns.cells)[:, [SCORED, STRANGE]]
            fresh = now.copy()
            fresh[: len(self._stored)] -= self._stored
            numbers = np.flatnonzero(columns.by_number >= 0)
            indexes = columns.by_number[numbers]
            changed = fresh[indexes, 0] > 0
            numbers, indexes = numbers[changed], indexes[changed]
            if not len(numbers):
                return False
            with self._database.write() as session:
                store.add_counts(session, _pages(numbers, fresh[indexes]))
                self._forget(session)
            stored = np.zeros_like(now)
            stored[: len(self._stored)] = self._stored
            stored[indexes] = now[indexes]
            self._stored = stored
        return False

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        """Return how many points of a series were scored since then, and how many were anomalous."""
        self.flush()
        index = self._routes.index_of.get(series_id, -1)
        numbers = np.flatnonzero(self._routes.columns.by_number == index)
        if index < 0 or not len(numbers):
            return 0, 0
        with self._database.read() as session:
            return store.counts_since(session, int(numbers[0]), since_us)

    def most_scored(self, series_ids: Iterable[str]) -> list[str]:
        """Return the series in order of the points of theirs that were scored in the last days, most first."""
        with self._database.read() as session:
            pages = store.scored_since(session, now_us() - _LATELY_US)
        by_number = self._routes.columns.by_number
        scored: dict[int, int] = {}
        for page, counts in pages.items():
            for offset in np.flatnonzero(counts[:, 0]).tolist():
                number = page * store.PAGE + offset
                if number < len(by_number) and by_number[number] >= 0:
                    scored[int(by_number[number])] = int(counts[offset, 0])
        index_of = self._routes.index_of
        return sorted(series_ids, key=lambda name: -scored.get(index_of.get(name, -1), 0))

    def totals(self) -> list[Total]:
        """Return (series, version, ``true`` or ``false``) and the count since the version serves, for the metrics.

        Beyond `max_series` series those with the most anomalies are told one by one, the others together.
        """
        counts, versions = counts_of_versions(self._routes.columns)
        asked = np.flatnonzero(counts[:, SCORED])
        order = asked[np.lexsort((-counts[asked, SCORED], -counts[asked, STRANGE]))]
        told: list[Total] = []
        one_by_one: list[int] = order[: self._max_series].tolist()
        for index in one_by_one:
            told += _both(
                self._routes.names[index],
                self._version_of(int(versions[index])),
                int(counts[index, SCORED]),
                int(counts[index, STRANGE]),
            )
        rest = order[self._max_series :]
        if len(rest):
            for version in np.unique(versions[rest]).tolist():
                sums = counts[rest[versions[rest] == version]].sum(axis=0)
                told += _both(OTHERS, self._version_of(version), int(sums[SCORED]), int(sums[STRANGE]))
        return _added_up(told)

    def comparisons(self) -> list[Total]:
        """Return (model, version of the challenger, ``agreed`` or ``disagreed``) and the count, for the metrics."""
        columns, models = self._routes.columns, self._routes.models
        challenged = np.flatnonzero(columns.places(CHALLENGER) >= 0)
        slots = slot_of(columns.places(CHALLENGER)[challenged])
        counts = counts_of_versions(columns)[0]
        told: list[Total] = []
        for slot in np.unique(slots).tolist():
            loaded = models.get(slot)
            sums = counts[challenged[slots == slot]].sum(axis=0)
            if loaded is not None:
                ref, apart = loaded.ref, float(sums[DISAGREED])
                told.append(((ref.model_id, ref.version, "agreed"), float(sums[CHALLENGED]) - apart))
                told.append(((ref.model_id, ref.version, "disagreed"), apart))
        return told

    def _version_of(self, number: int) -> str:
        version = self._routes.versions[number]
        return version_name(version[1]) if version is not None else FALLBACK.version

    def _forget(self, session: store.Session) -> None:
        oldest = now_us() - self._keep_us
        if oldest - self._forgotten_us > store.HOUR_US:
            store.forget_counts(session, oldest)
            self._forgotten_us = oldest


def _pages(numbers: IntArray, counts: store.Counts) -> dict[tuple[int, int], store.Counts]:
    hour = now_us() // store.HOUR_US * store.HOUR_US
    pages: dict[tuple[int, int], store.Counts] = {}
    of_page = numbers // store.PAGE  # rising, as the numbers are
    for page in np.unique(of_page).tolist():
        here = slice(*np.searchsorted(of_page, [page, page + 1]).tolist())
        pages[page, hour] = filled = np.zeros((store.PAGE, 2), np.int64)
        filled[numbers[here] % store.PAGE] = counts[here]
    return pages


def _both(name: str, version: str, scored: int, strange: int) -> list[Total]:
    both = (("false", scored - strange), ("true", strange))
    return [((name, version, outcome), float(count)) for outcome, count in both if count]


def _added_up(totals: Iterable[Total]) -> list[Total]:
    sums: dict[tuple[str, ...], float] = {}
    for labels, count in totals:
        sums[labels] = sums.get(labels, 0.0) + count
    return list(sums.items())
