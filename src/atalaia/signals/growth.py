"""How the anomalies of the series grow with a round of scored points: they open, go on and close."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.core.anomalies import AnomalyState
from atalaia.core.clock import MICROS
from atalaia.core.facts import AnomalyClosed, AnomalyOpened, Fact
from atalaia.core.ids import new_id
from atalaia.core.points import IntArray
from atalaia.signals.ports import ScoredBlock
from atalaia.signals.rules import Interval, advance
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.statistics import positions_of
from atalaia.signals.store import anomalies, catalogue


class Growth:
    """What one round changes; only series in alarm, or with an interval that goes on, cost anything.

    Parameters
    ----------
    scored
        The points of the round, in order of time inside each series, and their scores.
    known
        Which of them lie inside known events, None for none: they end what goes on.
    """

    def __init__(
        self,
        session: Session,
        settings: SignalsSettings,
        scored: ScoredBlock,
        known: NDArray[np.bool_] | None = None,
    ) -> None:
        self._session = session
        self._settings = settings
        self._points = scored.points
        self._scored = scored
        self._known = known
        self._facts: list[Fact] = []
        self._added: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._gone: list[str] = []

    def grow(self) -> list[Fact]:
        """Change the rows of the anomalies; return what is to be told of them."""
        numbers = self._points.series
        going = anomalies.growing(self._session)
        strange = set(np.unique(numbers[self._scored.alarm]).tolist())
        places = positions_of(numbers, sorted(strange | going.keys()))
        ordered = numbers[places]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        ends = np.append(starts, len(ordered))[1:].tolist()
        names = catalogue.names_of(self._session, sorted(strange - going.keys()))
        for start, end in zip(starts, ends, strict=True):
            number = int(ordered[start])
            row = going.get(number)
            if row is not None or number in names:
                self._advance(number, row.series_id if row else names[number], row, places[start:end])
        anomalies.save(self._session, self._added, self._changed, self._gone)
        return self._facts

    def _advance(self, number: int, series_id: str, row: anomalies.Growing | None, places: IntArray) -> None:
        before = _interval(row) if row else None
        closed, current = advance(
            before,
            self._points.timestamps[places].tolist(),
            self._scored.score[places].tolist(),
            self._scored.alarm[places].tolist(),
            places.tolist(),
            known=None if self._known is None else self._known[places].tolist(),
            open_after=self._settings.open_after_points,
            close_after=self._settings.close_after_points,
            refractory_us=int(self._settings.refractory_s * MICROS),
        )
        if row is not None and current is None and not closed:
            self._gone.append(row.id)  # it fizzled out before it opened
        for interval in [*closed, *([current] if current else [])]:
            if row is None:
                self._add(number, series_id, interval, interval is not current)
            elif interval != before or interval is not current:
                self._change(row, interval, interval is not current)
            row = None  # the first takes it over, every further one is new

    def _add(self, number: int, series_id: str, interval: Interval, is_closed: bool) -> None:
        anomaly_id = new_id("anm")
        self._tell(anomaly_id, series_id, interval, anomalies.PENDING, is_closed)
        named = {"id": anomaly_id, "number": number, "series_id": series_id}
        self._added.append({**named, **self._columns(interval, is_closed)})

    def _change(self, row: anomalies.Growing, interval: Interval, is_closed: bool) -> None:
        self._tell(row.id, row.series_id, interval, row.state, is_closed)
        self._changed.append({"id": row.id, **self._columns(interval, is_closed)})

    def _tell(self, anomaly_id: str, series_id: str, interval: Interval, state: str, is_closed: bool) -> None:
        if state == anomalies.PENDING and interval.is_open:
            self._facts.append(AnomalyOpened(anomaly_id, series_id, interval.peak_score))
        if is_closed:
            self._facts.append(AnomalyClosed(anomaly_id, series_id, interval.peak_score))

    def _columns(self, interval: Interval, is_closed: bool) -> dict[str, Any]:
        columns = _columns(interval, is_closed)
        if (peak := interval.peak) is not None:
            seen = float(self._points.values[peak])
            told = (self._scored.explain(peak), self._scored.model(peak), seen, self._scored.relations(peak))
            columns |= anomalies.columns_of_peak(*told)
        return columns


def _interval(row: anomalies.Growing) -> Interval:
    is_open = row.state == AnomalyState.OPEN
    return Interval(row.opened_at, row.last_at, row.peak_at, row.peak_score, row.strange, row.quiet, is_open)


def _columns(interval: Interval, is_closed: bool) -> dict[str, Any]:
    going_on = AnomalyState.OPEN.value if interval.is_open else anomalies.PENDING
    return {
        "state": AnomalyState.CLOSED.value if is_closed else going_on,
        "opened_at": interval.opened_at,
        "last_at": interval.last_at,
        "peak_at": interval.peak_at,
        "peak_score": interval.peak_score,
        "strange": interval.strange,
        "quiet": interval.quiet,
    }
