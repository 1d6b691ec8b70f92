"""The running statistics of series, for those who answer when no model can."""

from sqlalchemy import select

from atalaia.core.series import Statistics
from atalaia.kit.database import Database
from atalaia.signals.store.catalogue import SeriesRow, series_of


class SeriesStatistics:
    """Reads running statistics from the catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def statistics(self, series_id: str) -> Statistics | None:
        """Return the running statistics of a series, None when it is unknown."""
        with self._database.read() as session:
            row = session.scalar(select(SeriesRow).where(SeriesRow.series_id == series_id))
            return None if row is None else series_of(row).statistics
