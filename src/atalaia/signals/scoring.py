"""The follower: reads accepted batches in order, scores them, and lets anomalies open, grow and close.

One drain is one transaction: running statistics, anomalies and the marks on the batches change together, so
that a process killed at any moment neither loses nor doubles an anomaly. Points that are not newer than all
before them (late or repeated ones) are kept in history, but raise no alarm and teach no statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.algorithms.running import Running, fold
from atalaia.core.anomalies import AnomalyState
from atalaia.core.errors import Stale
from atalaia.core.facts import AnomalyClosed, AnomalyOpened, Fact
from atalaia.core.ids import new_id
from atalaia.core.points import FloatArray, IntArray, NumberArray, Points
from atalaia.core.scores import THRESHOLD
from atalaia.kit.arrow import points_from_ipc
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.ports import ScoredBlock, Scorer
from atalaia.signals.rules import Interval, advance, in_order
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import anomalies, catalogue, history

DRAIN_POINTS = 500_000
"""Points that one transaction scores at most."""


@dataclass(frozen=True, slots=True)
class _Block:
    """The fresh points of a drain, sorted by series and time, and the series that they belong to."""

    series: Sequence[catalogue.Known]
    rows: IntArray
    timestamps: IntArray
    values: FloatArray


class Scoring:
    """Scores the tail."""

    def __init__(
        self, database: Database, outbox: Outbox, scorer: Scorer, settings: SignalsSettings, telemetry: Telemetry
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._scorer = scorer
        self._settings = settings
        self._telemetry = telemetry

    def drain(self) -> bool:
        """Score the batches that wait, up to a bound; return whether there were any."""
        with self._database.read() as session:
            batches = history.unscored(session, DRAIN_POINTS)
            if not batches:
                return False
            arrived = [points_from_ipc(batch.points) for batch in batches]
            numbers, received = np.unique(Points.concat(arrived).series, return_counts=True)
            series = catalogue.known_of_numbers(session, numbers.tolist())
        before = _running(series)
        block = _fresh(arrived, numbers, series, before)
        scored = self._scorer.score_block([s.series_id for s in series], block.rows, block.timestamps, block.values)
        after = fold(before, block.rows, block.timestamps, block.values)
        try:
            with self._database.write() as session:
                history.mark_scored(session, [batch.id for batch in batches])
                catalogue.save_known(session, _known(series, received, after))
                facts = _Growth(session, self._settings, block, scored).grow()
                self._outbox.publish(session, *facts)
        except Stale:
            return True  # another process has scored them; look for what is left
        if opened := sum(isinstance(fact, AnomalyOpened) for fact in facts):
            self._telemetry.count("anomalies_opened_total", by=opened)
        return True


class _Growth:
    """How the anomalies of a drain's series open, grow and close."""

    def __init__(self, session: Session, settings: SignalsSettings, block: _Block, scored: ScoredBlock) -> None:
        self._session = session
        self._settings = settings
        self._block = block
        self._scored = scored
        self._facts: list[Fact] = []

    def grow(self) -> list[Fact]:
        """Change the rows of the anomalies; return what is to be told of them."""
        series, rows = self._block.series, self._block.rows
        going = anomalies.growing(self._session, [one.number for one in series])
        strange = set(np.unique(rows[self._scored.scores.score > THRESHOLD]).tolist())
        bounds = np.searchsorted(rows, np.arange(len(series) + 1)).tolist()
        for position, one in enumerate(series):
            row = going.get(one.number)
            if row is not None or position in strange:
                self._advance(one, row, slice(bounds[position], bounds[position + 1]))
        return self._facts

    def _advance(self, series: catalogue.Known, row: anomalies.AnomalyRow | None, part: slice) -> None:
        closed, current = advance(
            _interval(row) if row else None,
            self._block.timestamps[part].tolist(),
            self._scored.scores.score[part].tolist(),
            part.start,
            open_after=self._settings.open_after_points,
            close_after=self._settings.close_after_points,
        )
        if row is not None and current is None and not closed:
            self._session.delete(row)  # it fizzled out before it opened
        for interval in [*closed, *([current] if current else [])]:
            self._save(row or self._new(series), interval, interval is not current)
            row = None  # the first takes it over, every further one is new

    def _new(self, series: catalogue.Known) -> anomalies.AnomalyRow:
        row = anomalies.AnomalyRow(
            id=new_id("anm"), number=series.number, series_id=series.series_id, state=anomalies.PENDING
        )
        self._session.add(row)
        return row

    def _save(self, row: anomalies.AnomalyRow, interval: Interval, is_closed: bool) -> None:
        if row.state == anomalies.PENDING and interval.is_open:
            self._facts.append(AnomalyOpened(row.id, row.series_id, interval.peak_score))
        if is_closed:
            self._facts.append(AnomalyClosed(row.id, row.series_id, interval.peak_score))
        columns = _columns(interval, is_closed)
        if (peak := interval.peak) is not None:
            seen = float(self._block.values[peak])
            columns |= anomalies.columns_of_peak(self._scored.explain(peak), self._scored.model(peak), seen)
        for name, value in columns.items():
            setattr(row, name, value)


def _interval(row: anomalies.AnomalyRow) -> Interval:
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


def _running(series: Sequence[catalogue.Known]) -> Running:
    return Running(
        count=np.array([s.count for s in series], np.int64),
        mean=np.array([s.mean for s in series], np.float64),
        m2=np.array([s.m2 for s in series], np.float64),
        first_ts=np.array([s.first_ts or 0 for s in series], np.int64),
        last_ts=np.array([s.last_ts or 0 for s in series], np.int64),
        last_value=np.array([np.nan if s.last_value is None else s.last_value for s in series], np.float64),
        step_us=np.array([np.nan if s.step_us is None else s.step_us for s in series], np.float64),
    )


def _fresh(
    arrived: Sequence[Points], numbers: NumberArray, series: Sequence[catalogue.Known], before: Running
) -> _Block:
    """Return what is newer than all batches before it; inside a batch, order means nothing."""
    points = Points.concat([batch.latest() for batch in arrived])
    rows = np.searchsorted(numbers, points.series).astype(np.int64)
    chosen = in_order(rows, points.timestamps, np.where(before.count > 0, before.last_ts, -1))
    return _Block(series, rows[chosen], points.timestamps[chosen], points.values[chosen])


def _known(series: Sequence[catalogue.Known], received: NDArray[np.intp], after: Running) -> list[catalogue.Known]:
    """Return what is known of the series after the drain; NaN (not known yet) is stored as NULL."""
    columns = zip(
        [one.number for one in series],
        [one.series_id for one in series],
        [one.received + count for one, count in zip(series, received.tolist(), strict=True)],
        after.first_ts.tolist(),
        after.last_ts.tolist(),
        after.count.tolist(),
        after.mean.tolist(),
        after.m2.tolist(),
        [None if np.isnan(value) else value for value in after.last_value.tolist()],
        [None if np.isnan(step) else step for step in after.step_us.tolist()],
        strict=True,
    )
    return [catalogue.Known(*row) for row in columns]
