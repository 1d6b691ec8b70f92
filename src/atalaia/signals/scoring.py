"""The follower: reads accepted batches in order, scores them, and lets anomalies open, grow and close.

One process follows; others wait until its lease has run out. What it knows of the series is in its memory, in
columns. One round is one transaction: anomalies and the marks on the batches change together. The memory is stored
now and then, together with the number of the round that it covers. A process that takes over reads what was stored
and folds in the batches of the later rounds anew, so that one killed at any moment neither loses nor doubles
anything. Points that are not newer than all before them (late or repeated ones) are kept in history, but raise no
alarm and teach nothing. Nor do those that lie inside known events; they count in the running statistics alone.

Work that may take longer than the lease renews it on the way, and is given up when the process is to stop: whoever
follows next does it again.
"""

import threading
import time
from collections.abc import Sequence

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Broken, Stale, Unavailable
from atalaia.core.facts import AnomalyOpened, Fact
from atalaia.core.points import Points
from atalaia.kit.arrow import points_from_ipc
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.leases import is_gone, owner_name
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.calendar import Calendar
from atalaia.signals.growth import Growth
from atalaia.signals.history import History
from atalaia.signals.lapses import Lapses
from atalaia.signals.memory import Memory
from atalaia.signals.ports import Pupil, ScoredBlock, Scorer
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.statistics import PAGE, in_time_order
from atalaia.signals.store import catalogue, history
from atalaia.signals.store import follower as store
from atalaia.signals.thresholds import Thresholds
from atalaia.signals.unknown import watch

DRAIN_POINTS = 500_000
"""Points that one transaction scores at most."""
_REPLAY_POINTS = 2_000_000
_FEW_BATCHES = 500
_STORE_PAUSE_S = 5.0
"""After the store could not be reached."""
_STORE_SHARE = 0.05
"""Storing the memory may take this share of the time."""
_log = structlog.get_logger(__name__)


class Scoring:
    """Scores the tail."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        scorer: Scorer,
        memory: Memory,
        past: History,
        thresholds: Thresholds,
        settings: SignalsSettings,
        telemetry: Telemetry,
        calendar: Calendar,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._scorer = scorer
        self._memory = memory
        self._past = past
        self._thresholds = thresholds
        self._settings = settings
        self._telemetry = telemetry
        self._calendar = calendar
        self.lapses = Lapses(database, outbox, memory, calendar, settings, telemetry)
        self._owner = owner_name()
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._has_lease = False
        self._scratch = np.full(PAGE, -1, np.int64)
        self._renew_at = 0.0
        self._store_at = 0.0
        self._store_not_before = 0.0

    def drain(self) -> bool:
        """Score the batches that wait, up to a bound; return whether there were any."""
        with self._lock:
            if self._stopping.is_set():
                return False
            try:
                return self._leads() and self._follow()
            except Stale as error:
                _log.info("memory_forgotten", reason=error.detail)
                self._memory.forget()
                return True  # if another process follows now: look whether it still does

    def stop(self) -> None:
        """Begin no further round, and give up what takes long; what it has learnt by then is not stored."""
        self._stopping.set()

    def release(self) -> None:
        """Stop, store the memory if it is whole, and let another process follow at once."""
        self.stop()  # before the lock is taken: who holds it gives up
        with self._lock:
            if not self._has_lease:
                return
            try:
                if self._memory.is_live and self._memory.is_behind:
                    self._memory.save(self._owner, self._scorer, self._renew)
                with self._database.write() as session:
                    store.own(session, self._owner).until = 0
            except Stale as error:
                _log.info("memory_not_stored", reason=error.detail)
            except Exception:
                _log.exception("memory_not_stored")
            self._memory.forget()
            self._has_lease = False

    def _follow(self) -> bool:
        if not self._memory.is_live:
            self._recover()
        self._teach()
        self._thresholds.follow(self._memory.live)
        with self._database.read() as session:
            batches = history.unscored(session, DRAIN_POINTS)
        if batches:
            try:
                self._score(batches)
            except BaseException:
                self._memory.forget()  # it knows of points that are not marked as scored
                raise
        if len(batches) < _FEW_BATCHES and sum(batch.rows for batch in batches) < DRAIN_POINTS:  # nothing waits
            self.lapses.look(self._owner)
        self._store_if_due()
        return bool(batches)

    def _score(self, batches: Sequence[history.Batch]) -> None:
        points = self._learn(batches)
        self.lapses.arrived(points.series)
        scored, known = self._watch(points)
        with self._database.write() as session:
            row = store.own(session, self._owner)
            row.round += 1
            row.until = self._lease_end()
            history.mark_scored(session, [batch.id for batch in batches], row.round)
            facts = self._grow(session, scored, known)
            self._outbox.publish(session, *facts)
        self._renewed()
        self._memory.round = row.round
        if known is not None:
            self._telemetry.count("points_known_total", by=int(known.sum()))
        if opened := sum(isinstance(fact, AnomalyOpened) for fact in facts):
            self._telemetry.count("anomalies_opened_total", by=opened)

    def _watch(self, points: Points, *, replayed: bool = False) -> tuple[ScoredBlock, NDArray[np.bool_] | None]:
        """Return the scores of points, and which of these lie inside known events, None when none can."""
        known = self._calendar.known(points.series, points.timestamps)
        scored = watch(self._scorer, points, known, replayed=replayed)
        told = scored.points
        self._memory.live.watch(told.series, told.timestamps, scored.raw())
        if known is not None:  # what comes before the points was scored before
            known = np.concatenate([np.zeros(len(told) - len(points), np.bool_), known])
        return scored, known

    def _grow(self, session: Session, scored: ScoredBlock, known: NDArray[np.bool_] | None) -> list[Fact]:
        return Growth(session, self._settings, scored, known).grow()

    def _learn(self, batches: Sequence[history.Batch]) -> Points:
        """Fold batches into the statistics; return those of their points that are newer than all before them."""
        arrived = [points_from_ipc(batch.points) for batch in batches]
        columns = self._memory.live
        for points in arrived:
            columns.receive(points.series)
        points = Points.concat([self._in_order(points) for points in arrived])
        return points.take(columns.learn(points.series, points.timestamps, points.values))

    def _in_order(self, points: Points) -> Points:
        """Return a batch in order of time, and each point of a series once: in a batch, order means nothing.

        In order of time across series too: what belongs together, as sensors of an asset do, comes together.
        """
        highest = int(points.series.max(initial=0))
        if highest >= len(self._scratch):
            self._scratch = np.full(2 * highest, -1, np.int64)
        if not in_time_order(points.series, points.timestamps, self._scratch):
            points = points.latest()
        if len(points) < 2 or bool((points.timestamps[1:] >= points.timestamps[:-1]).all()):
            return points
        return points.take(np.argsort(points.timestamps, kind="stable"))

    def _leads(self) -> bool:
        """Return whether this process follows; it takes over when nobody else does."""
        if self._memory.is_live and time.monotonic() < self._renew_at:
            return True
        with self._database.read() as session:  # those who wait do not disturb those who write
            is_free = self._may_own(store.who_follows(session))
        if is_free:
            with self._database.write() as session:
                is_free = self._take(session)
        self._has_lease = is_free
        if not is_free:
            self._memory.forget()
            return False
        self._renewed()
        return True

    def _take(self, session: Session) -> bool:
        """Take the lease, or renew it; return whether that was possible."""
        row = store.follower(session)
        if not self._may_own(row):
            return False
        if row is None:
            row = store.FollowerRow(id=1, owner=self._owner, until=0, round=0, stored=0)
            session.add(row)
        elif row.owner != self._owner:
            _log.info("following", before=row.owner)
            row.owner = self._owner
            self._memory.forget()
        row.until = self._lease_end()
        return True

    def _may_own(self, row: store.FollowerRow | None) -> bool:
        return row is None or row.owner == self._owner or row.until <= now_us() or is_gone(row.owner)

    def _lease_end(self) -> int:
        return now_us() + int(self._settings.follow_lease_s * MICROS)

    def _renewed(self) -> None:
        self._renew_at = time.monotonic() + self._settings.follow_lease_s / 3

    def _renew(self) -> None:
        """Renew the lease if a third of it has passed.

        Raises
        ------
        Stale
            When another process follows now.
        """
        if time.monotonic() < self._renew_at:
            return
        with self._database.write() as session:
            store.own(session, self._owner).until = self._lease_end()
        self._renewed()

    def _go_on(self) -> None:
        """Renew the lease in the middle of what takes long, before each of its steps.

        Raises
        ------
        Stale
            When another process follows now, or this one is to stop.
        """
        if self._stopping.is_set():
            raise Stale("lease_lost", "this process is to stop; whoever follows next does this again")
        self._renew()

    def _recover(self) -> None:
        """Bring the memory to where the database is."""
        if not self._memory.load(self._scorer, self._go_on):
            self._memory.begin(self._owner)
            self._rebuild()
        while True:
            self._go_on()
            with self._database.read() as session:
                batches = history.replayable(session, self._memory.round, _REPLAY_POINTS)
            if not batches:
                break
            points = self._learn(batches)
            self._watch(points, replayed=True)
            self._memory.round = max(batch.round or 0 for batch in batches)
        with self._database.read() as session:
            self._memory.follow_from(store.last_round(session))
        self._store_at = 0.0

    def _rebuild(self) -> None:
        """Learn the statistics from the blocks of history: nothing usable was stored."""
        with self._database.read() as session:
            numbers = sorted(number for _, number in catalogue.each_number(session))
        columns = self._memory.live
        try:
            for part in self._past.parts(numbers, 0, 2**62, _REPLAY_POINTS, blocks_only=True):
                self._go_on()
                columns.receive(part.series)
                columns.learn(part.series, part.timestamps, part.values)
        except Broken as error:  # what comes is scored all the same
            _log.error("history_not_read", error=error.detail)

    def _teach(self) -> None:
        """Let streaming models that are new here learn what was scored since they were trained."""
        for pupil in self._scorer.pupils():
            self._go_on()
            if not pupil.shares:  # it has to learn once its series have points
                continue
            try:
                self._catch_up(pupil)
            except Broken as error:  # it learns from what comes
                _log.error("history_not_read", error=error.detail)
            pupil.done()
            self._memory.outdate()

    def _catch_up(self, pupil: Pupil) -> None:
        columns = self._memory.live
        for numbers, since_us in pupil.shares:
            newest = columns.newest(numbers)
            if newest is None or newest < since_us:
                continue
            for part in self._past.parts(numbers.tolist(), since_us, newest + 1, _REPLAY_POINTS):
                self._go_on()
                seen = columns.known(part)  # the others are still to be scored
                known = self._calendar.known(seen.series, seen.timestamps)
                seen = seen if known is None else seen.take(~known)
                pupil.teach(seen.series, seen.timestamps, seen.values)

    def _store_if_due(self) -> None:
        self._thresholds.correct(self._memory.live)
        if time.monotonic() < max(self._store_at, self._store_not_before) or not self._memory.is_behind:
            return
        started = time.monotonic()
        try:
            self._memory.save(self._owner, self._scorer, self._go_on)
        except BaseException as error:
            self._memory.forget()
            if isinstance(error, Unavailable) and error.code == "blobs_unavailable":  # scoring goes on meanwhile
                self._store_not_before = time.monotonic() + min(_STORE_PAUSE_S, self._settings.store_memory_s)
            raise
        took = time.monotonic() - started
        self._store_at = time.monotonic() + max(self._settings.store_memory_s, took / _STORE_SHARE)
