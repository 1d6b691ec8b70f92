"""What others may ask of the catalogue without a transaction of theirs: numbers, and running statistics."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import select

from atalaia.core.series import Statistics
from atalaia.kit.database import Database
from atalaia.signals.memory import Memory
from atalaia.signals.store import catalogue

_MANY = 10_000
"""From here on one query for all series is faster than many for some."""


class KnownSeries:
    """Reads the catalogue."""

    def __init__(self, database: Database, memory: Memory) -> None:
        self._database = database
        self._memory = memory

    def statistics(self, series_id: str) -> Statistics | None:
        """Return the running statistics of a series, None when it is unknown."""
        query = select(catalogue.SeriesRow).where(
            catalogue.SeriesRow.series_id == series_id, catalogue.SeriesRow.erased.is_(None)
        )
        with self._database.read() as session:
            row = session.scalar(query)
            if row is None:
                return None
            columns, _ = self._memory.statistics(session)
            return catalogue.series_of(row, columns.of(row.number)).statistics

    def numbers(self, series_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the numbers of those of the series that are known."""
        with self._database.read() as session:
            if len(series_ids) < _MANY:
                return catalogue.numbers_of(session, series_ids)
            wanted = set(series_ids)
            return {name: number for name, number in catalogue.each_number(session) if name in wanted}

    def joined(self, after: int, fleet_id: str | None = None) -> tuple[int, Sequence[tuple[int, str, str]]]:
        """Return the highest number there is, and number, id and fleet of those over `after` that have a fleet."""
        with self._database.read() as session:
            highest = catalogue.highest_number(session)  # first: who comes meanwhile is asked for the next time
            return highest, catalogue.joined(session, after, highest, fleet_id) if highest > after else ()

    def states(self) -> Mapping[str, Callable[[], bytes]]:
        """Return what reads the state of each streaming model, by its name, as whoever follows stored it."""
        return self._memory.kept()

    def labels(self, series_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of those of the series that are known."""
        with self._database.read() as session:
            return catalogue.labels_of(session, series_ids)
