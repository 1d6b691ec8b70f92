"""The history that models are trained on: all of it but the points inside known events."""

from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy.orm import Session

from atalaia.core.points import Group, IntArray, NumberArray
from atalaia.signals.service import Signals
from atalaia.signals.store import catalogue


class Lessons:
    """Reads what is to be learnt."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def members(self, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, or raise `Missing`."""
        return self._signals.members(fleet_id)

    def check(self, session: Session, series_id: str) -> None:
        """Raise `Missing` when there is no such series."""
        self._signals.check(session, series_id)

    def newest(self, series_ids: Sequence[str]) -> int | None:
        """Return when the newest point of any of the series was measured, known events or not."""
        return self._signals.newest(series_ids)

    def gather_fleets(self) -> list[str]:
        """Put every series that has no fleet into one; return all fleets."""
        return self._signals.gather_fleets()

    def group(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Group:
        """Return what is to be learnt of the series in [start, end), in the order of the ids."""
        return self._rest(self._numbers(series_ids), self._signals.group(series_ids, start_us, end_us))

    def groups(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Iterator[tuple[IntArray, Group]]:
        """Yield the same part by part: positions in `series_ids`, and what is to be learnt of those series."""
        numbers = self._numbers(series_ids)
        for places, group in self._signals.groups(series_ids, start_us, end_us):
            yield places, self._rest(numbers[places], group)

    def _numbers(self, series_ids: Sequence[str]) -> NumberArray:
        with self._signals.database.read() as session:
            known = catalogue.numbers_of(session, series_ids)
        return np.array([known.get(series_id, 0) for series_id in series_ids], np.int32)

    def _rest(self, numbers: NumberArray, group: Group) -> Group:
        rows = group.rows
        known = self._signals.calendar.known(numbers[rows], group.timestamps)
        if known is None:
            return group
        counts = np.bincount(rows[~known], minlength=len(group))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Group(group.timestamps[~known], group.values[~known], indptr)
