"""Series that have lapsed: they fell silent, or repeat one value. No point shows that, so it is looked for.

The follower looks now and then, at all series at once, when nothing waits to be scored. Only series that are sent
as they are measured are looked at: an import of last year is not silent. Where much lapses at once, nothing opens:
then it is who sends that is down, or the network, and that is one notice, not an anomaly for each series.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.algorithms.lapses import flat_limits, silence_limits
from atalaia.core.anomalies import AnomalyState
from atalaia.core.clock import MICROS, now_us
from atalaia.core.facts import AnomalyClosed, AnomalyOpened, Fact
from atalaia.core.ids import new_id
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import Explanation, ModelRef
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.calendar import Calendar
from atalaia.signals.memory import Memory
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.statistics import StatisticsColumns
from atalaia.signals.store import anomalies, catalogue
from atalaia.signals.store import follower as store

MODEL = ModelRef("catalogue", "running-statistics", "habits")
"""Who says so: what is known of a series without any model."""
_LOOK_S = 10.0
_FEW = 2
"""So many series may always fall silent at once."""
_MOST_SCORE = 1e6
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Lapsed:
    """Which series have lapsed, by number, and by how much each of its limit."""

    part: str
    watched: int
    is_lapsed: NDArray[np.bool_]
    times: FloatArray
    since_us: IntArray


class Lapses:
    """Looks for series that have lapsed, and opens and closes their anomalies.

    Attributes
    ----------
    silent, watched
        Series that were silent at the last look, of those that are looked at.
    is_held
        Whether so many were that none of them is an anomaly.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        memory: Memory,
        calendar: Calendar,
        settings: SignalsSettings,
        telemetry: Telemetry,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._memory = memory
        self._calendar = calendar
        self._settings = settings
        self._telemetry = telemetry
        self._look_at = 0.0
        self._since_us = self._heard_us = 0
        self._columns: StatisticsColumns | None = None
        self.silent = self.watched = 0
        self.is_held = False

    def arrived(self, numbers: NumberArray) -> None:
        """Note that points of series have come just now, newer than all before them."""
        self._memory.live.arrive(numbers, now_us(), max(self._begun(), self._heard_us))

    def look(self, owner: str) -> None:
        """Look at all series, if it is time to, and change the anomalies of those that have lapsed or are back.

        Raises
        ------
        Stale
            When another process follows now.
        """
        if time.monotonic() < self._look_at or not (self._settings.watch_silence or self._settings.watch_flat):
            return
        self._look_at = time.monotonic() + _LOOK_S
        self.examine(owner, now_us())

    def examine(self, owner: str, now: int) -> None:
        """Look at all series as they stand at a moment.

        Raises
        ------
        Stale
            When another process follows now.
        """
        columns, begun = self._memory.live, self._begun()
        found = [self._silent(columns, now, begun), self._flat(columns)]
        with self._database.read() as session:
            there = anomalies.lapses(session)
        opening = [self._new(lapsed, there, now) for lapsed in found]
        closing = self._over(there, found, now)
        if not closing and not any(len(numbers) for numbers in opening):
            return
        with self._database.write() as session:
            store.own(session, owner)
            facts = self._close(session, closing, columns)
            for lapsed, numbers in zip(found, opening, strict=True):
                facts += self._open(session, lapsed, numbers, columns)
            self._outbox.publish(session, *facts)
        opened = sum(isinstance(fact, AnomalyOpened) for fact in facts)
        self._telemetry.count("anomalies_opened_total", by=opened)

    def _begun(self) -> int:
        """Return since when this memory hears of points: before that, silence is ours."""
        if self._columns is not self._memory.live:
            self._columns, self._since_us = self._memory.live, now_us()
        return self._since_us

    def _sent_live(self, columns: StatisticsColumns) -> NDArray[np.bool_]:
        behind = columns.arrived_us - columns.running.last_ts
        return (columns.arrived_us > 0) & (behind < self._settings.live_within_s * MICROS)

    def _silent(self, columns: StatisticsColumns, now: int, begun: int) -> Lapsed:
        settings, running = self._settings, columns.running
        limits = silence_limits(running, columns.wait_us, settings.silent_after_s * MICROS)
        waiting = (now - np.maximum(columns.arrived_us, begun)).astype(np.float64)
        watched = self._sent_live(columns) & np.isfinite(limits) & settings.watch_silence
        watched &= now - columns.arrived_us < settings.silent_at_most_days * 86_400 * MICROS
        times = np.where(watched, waiting / limits, 0.0)
        is_silent = times > 1.0
        self.silent, self.watched = int(is_silent.sum()), int(watched.sum())
        self._hold(late=int((times > 0.5).sum()))
        return Lapsed("missing", self.watched, is_silent, times, running.last_ts)

    def _hold(self, late: int) -> None:
        """Say once when much is late: those with short limits are silent first, so half a limit is late already."""
        share = self._settings.silent_share
        is_held = self.silent > 0 and late > max(_FEW, share * self.watched)
        if is_held and not self.is_held:
            _log.warning("senders_silent", late=late, watched=self.watched)
        elif self.is_held and not is_held:
            _log.info("senders_back", silent=self.silent, watched=self.watched)
        self.is_held = is_held
        if is_held:  # that nobody is heard now says nothing of any series: nobody learns it as its habit
            self._heard_us = now_us()

    def _flat(self, columns: StatisticsColumns) -> Lapsed:
        limits = flat_limits(columns.running, self._settings.flat_after_points)
        times = columns.running.flat / limits
        watched = self._sent_live(columns) & self._settings.watch_flat
        return Lapsed("flat", int(watched.sum()), (times > 1.0) & watched, times, columns.running.flat_since)

    def _new(self, lapsed: Lapsed, there: Iterable[anomalies.Lapse], now: int) -> NumberArray:
        """Return the series that have lapsed and have no anomaly for it, but for those inside a known event."""
        known = np.array([row.number for row in there if row.part == lapsed.part], np.int32)
        numbers = np.setdiff1d(np.flatnonzero(lapsed.is_lapsed).astype(np.int32), known)
        most = max(_FEW, self._settings.silent_share * lapsed.watched)
        if len(numbers) > most or (lapsed.part == "missing" and self.is_held):
            return numbers[:0]
        inside = self._calendar.known(numbers, np.full(len(numbers), now, np.int64))
        return numbers if inside is None else numbers[~inside]

    def _over(self, there: Sequence[anomalies.Lapse], found: Iterable[Lapsed], now: int) -> list[anomalies.Lapse]:
        """Return the anomalies whose series are back, or inside a known event."""
        if not there:
            return []
        lapsed = {one.part: one.is_lapsed for one in found}
        numbers = np.array([row.number for row in there], np.int32)
        inside = self._calendar.known(numbers, np.full(len(numbers), now, np.int64))
        is_known = [False] * len(there) if inside is None else inside.tolist()
        return [
            row for row, known in zip(there, is_known, strict=True) if known or not lapsed[row.part][row.number]
        ]

    def _close(self, session: Session, rows: Iterable[anomalies.Lapse], columns: StatisticsColumns) -> list[Fact]:
        changed: list[dict[str, Any]] = []
        facts: list[Fact] = []
        for row in rows:
            last = max(row.opened_at, int(columns.running.last_ts[row.number]))
            changed.append({"id": row.id, "state": AnomalyState.CLOSED.value, "last_at": last})
            facts.append(AnomalyClosed(row.id, row.series_id, row.peak_score))
        anomalies.save(session, [], changed, [])
        return facts

    def _open(
        self, session: Session, lapsed: Lapsed, numbers: NumberArray, columns: StatisticsColumns
    ) -> list[Fact]:
        names = catalogue.names_of(session, numbers.tolist())
        added: list[dict[str, Any]] = []
        facts: list[Fact] = []
        for number, series_id in sorted(names.items()):
            score = min(float(lapsed.times[number]), _MOST_SCORE)
            opened = int(lapsed.since_us[number])
            anomaly_id, value = new_id("anm"), float(columns.running.last_value[number])
            why = Explanation(None, None, None, lapsed.part, _text(lapsed.part, columns, number, score))
            times = {"opened_at": opened, "last_at": opened, "peak_at": opened, "peak_score": score}
            named = {"id": anomaly_id, "number": number, "series_id": series_id, "state": AnomalyState.OPEN.value}
            counts = {"strange": int(columns.running.flat[number]) if lapsed.part == "flat" else 0, "quiet": 0}
            added.append({**named, **times, **counts, **anomalies.columns_of_peak(why, MODEL, value)})
            facts.append(AnomalyOpened(anomaly_id, series_id, score))
        anomalies.save(session, added, [], [])
        return facts


def _text(part: str, columns: StatisticsColumns, number: int, score: float) -> str:
    running = columns.running
    if part == "flat":
        value, usual = running.last_value[number], int(running.flat_usual[number])
        count = int(running.flat[number]) + 1
        return f"{value:g} came {count:,} times in a row; at most about {usual + 1:,} are usual"
    step = _lasting(float(running.step_us[number]))
    longest = _lasting(max(float(running.gap_us[number]), float(columns.wait_us[number])))
    return f"no point came any more, though one comes every {step}; the longest silence known is about {longest}"


def _lasting(us: float) -> str:
    return str(timedelta(seconds=max(1, round(us / MICROS))))
