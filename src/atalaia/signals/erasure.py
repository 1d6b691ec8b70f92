"""What signals erases of some series: rows, labels, points, statistics, anomalies and what was said of them.

The series become blank rows in one transaction with all that would otherwise come back: points in the tail,
anomalies, the memory of the follower. Whoever is in the middle of something that knows them (a round of scoring, a
compaction, points that are being kept) does not commit. Blocks follow, each in its own time.
"""

from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from atalaia.algorithms.sentences import without_others
from atalaia.core.errors import Stale, Unavailable
from atalaia.kit.database import Database, chunks, serialize
from atalaia.kit.erasures import Subject
from atalaia.signals.blocks import Report, unheard
from atalaia.signals.events import erase as erase_events
from atalaia.signals.service import Signals
from atalaia.signals.store import anomalies, catalogue, thresholds

_TRIES = 20
Buried = Callable[[Session, dict[int, str], dict[str, Any], list[str], list[str]], object]
"""Takes series by number, counts, the ids of anomalies that went, and the keys of objects that nobody needs."""
_FOR_EVER = 1 << 62


class SeriesErasure:
    """Erases series."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._database: Database = signals.database

    def find(self, session: Session, asked: Subject) -> dict[int, str]:
        """Return the series of a subject, by number."""
        return {number: name for name, number in self._signals.subject(session, asked).items()}

    def counted(self, session: Session, numbers: Sequence[int]) -> dict[str, int]:
        """Return about what there is of some series."""
        count = sum(
            session.scalar(select(func.count()).where(anomalies.AnomalyRow.number.in_(chunk))) or 0
            for chunk in chunks(numbers)
        )
        points = 0
        for part in self._signals.history.parts(numbers, 0, _FOR_EVER, 2_000_000):
            points += len(part)
        return {"series": len(numbers), "points": points, "anomalies": count}

    def bury(self, asked: Subject, tell: Buried) -> None:
        """Make the series of a subject blank, with all that must go in the same moment.

        `tell` is called in the same transaction.
        """

        def attempt() -> None:
            with self._database.read() as session:
                series = self.find(session, asked)
            numbers = sorted(series)
            swap = self._signals.memory.without(np.array(numbers, np.int32))
            with self._database.write() as session:
                old = swap(session)  # holds the follower: nobody scores
                serialize(session, "catalogue")
                if self.find(session, asked) != series:
                    raise Stale("lease_lost", "the subject has other series by now")
                told = self._signals.history.strip(session, numbers)
                ids = self._remove_anomalies(session, numbers, told)
                self._leave_out(session, set(series.values()))
                fleets = self.fleets(session, numbers)
                catalogue.blank(session, numbers)
                gone = catalogue.remove_empty_fleets(session, fleets)
                told |= {"series_blanked": len(numbers), "fleets_removed": len(gone)}
                told["threshold_changes_erased"] = thresholds.erase(session, numbers, gone)
                value = asked.value if asked.kind == "series_id" else asked.value.partition(":")[2]
                told |= erase_events(session, asked, series, self._signals.privacy.known_as(value), gone)
                tell(session, series, told, ids, old)

        again(attempt)

    def blocks(
        self,
        numbers: Sequence[int],
        tell: Callable[[Session, dict[str, Any], list[str]], object],
        report: Report = unheard,
    ) -> None:
        """Write the blocks that hold points of the series anew, until there is none."""

        def attempt() -> bool:
            swap = self._signals.history.erasure(numbers, report)
            if swap is None:
                return False
            with self._database.write() as session:
                told = swap(session)
                counts = {
                    "block_points_erased": told["points_erased"],
                    "blocks_rewritten": told["blocks_rewritten"],
                }
                tell(session, counts, told["blobs_erased"])
            return True

        while again(attempt):
            pass

    def fleets(self, session: Session, numbers: Sequence[int]) -> list[str]:
        """Return the fleets that some series are in, sorted."""
        found: set[str | None] = set()
        for chunk in chunks(numbers):
            query = select(catalogue.SeriesRow.fleet_id).where(catalogue.SeriesRow.number.in_(chunk))
            found.update(session.scalars(query))
        return sorted(fleet for fleet in found if fleet)

    def _remove_anomalies(self, session: Session, numbers: Sequence[int], told: dict[str, Any]) -> list[str]:
        ids: list[str] = []
        for chunk in chunks(numbers):
            ids += session.scalars(select(anomalies.AnomalyRow.id).where(anomalies.AnomalyRow.number.in_(chunk)))
        said = 0
        for chunk in chunks(ids):
            done: Any = session.execute(
                delete(anomalies.FeedbackRow).where(anomalies.FeedbackRow.anomaly_id.in_(chunk))
            )
            said += done.rowcount
            session.execute(delete(anomalies.AnomalyRow).where(anomalies.AnomalyRow.id.in_(chunk)))
        told |= {"anomalies_erased": len(ids), "feedback_erased": said}
        return ids

    def _leave_out(self, session: Session, names: Container[str]) -> None:
        """Let anomalies of other series not name some series any more, as sensors that were off with theirs."""
        query = select(anomalies.AnomalyRow).where(anomalies.AnomalyRow.relations.is_not(None))
        for row in session.scalars(query):
            rest = [one for one in row.relations or () if one["series_id"] not in names]
            if len(rest) < len(row.relations or ()):
                row.relations, row.text = rest, without_others(row.text)


def again(attempt: Callable[[], Any]) -> Any:
    """Return what an attempt returns; one that others were in the way of is made anew.

    Raises
    ------
    Unavailable
        When they always are.
    """
    for _ in range(_TRIES):
        try:
            return attempt()
        except Stale:
            continue
    raise Unavailable("database_busy", "others change the same all the time; try again later")
