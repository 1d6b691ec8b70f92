"""Where the thresholds of the series lie: what fleets promise, what their scores were like, and what people said.

A detector's own threshold is at score 1.0. The threshold in force is a multiple of it, and scores are told in parts
of it, so that 1.0 is where the alarm is whatever moved it. What people said of the anomalies of a series moves the
threshold of that series; a budget of false alarms moves those of all series of a fleet, each as its own scores ask
for, see `atalaia.algorithms.calibration`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import structlog
from sqlalchemy.orm import Session

from atalaia.algorithms.calibration import USUAL, Tails, pooled, thresholds
from atalaia.core.anomalies import FeedbackKind
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Conflict, Missing
from atalaia.core.points import FloatArray, NumberArray
from atalaia.kit.database import Database
from atalaia.kit.notes import note
from atalaia.signals.ports import Scorer
from atalaia.signals.rules import LEAST_FACTOR, MOST_FACTOR, corrected, factor_of, per_series_week, step_of
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.statistics import StatisticsColumns
from atalaia.signals.store import thresholds as store
from atalaia.signals.store.anomalies import LAPSES, AnomalyRow

_DAY_US = 86_400 * MICROS
_DAYS = 7
_WEEK = 7.0
_FIND_S = 10.0
_SHARE = 0.03
"""Finding them may take this share of the time."""
_READ_S = 60.0
_MOVED = 1e-3
"""Thresholds that moved by less are not set anew."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """What is promised for some series.

    Attributes
    ----------
    numbers
        int32[m], the series, sorted.
    per_week
        False alarms a series and week.
    correction
        By which all their thresholds are moved beside that.
    """

    numbers: NumberArray
    per_week: float
    correction: float = 1.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold of one series, as a multiple of its detector's own.

    Attributes
    ----------
    in_force
        What counts: both of the others together.
    calibrated
        What the budget of its fleet makes of it; 1.0 without one.
    factor
        What people make of it.
    per_week
        False alarms a week that are promised; None without a budget.
    changes
        What people said of it, oldest first.
    """

    in_force: float
    calibrated: float
    factor: float
    per_week: float | None
    changes: tuple[store.ChangeRow, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a fleet promises, and what it gave.

    Attributes
    ----------
    per_day
        False alarms a day of the whole fleet.
    sensitivity
        By which it was set, None if by the number.
    alarms
        That opened in the days before its newest point, those left out that people found useful; None when it has
        no points.
    """

    fleet_id: str
    per_day: float
    sensitivity: float | None
    series_count: int
    since: int
    correction: float
    alarms: int | None
    days: float


class Thresholds:
    """Finds the thresholds in force, and hands them to who scores."""

    def __init__(self, database: Database, scorer: Scorer, settings: SignalsSettings) -> None:
        self._database = database
        self._scorer = scorer
        self._settings = settings
        self._revision = -1
        self._promises: list[Promise] = []
        self._factors: dict[int, float] = {}
        self._set: FloatArray = np.ones(0)
        self._find_at = self._read_at = self._correct_at = 0.0

    def follow(self, columns: StatisticsColumns) -> None:
        """Set the thresholds anew if something was changed, or it is time to look at the scores again."""
        now = time.monotonic()
        with self._database.read() as session:
            revision = store.revision(session)
            if revision != self._revision or (self._promising and now >= self._read_at):
                self._read(session, columns)
                self._revision, self._read_at, self._find_at = revision, now + _READ_S, 0.0
        if now >= self._find_at and (self._promises or self._factors or len(self._set)):
            found = self._found(columns.tails)
            ended = time.monotonic()
            self._find_at = ended + max(_FIND_S, (ended - now) / _SHARE)
            if len(found) != len(self._set) or bool((np.abs(found - self._set) > _MOVED).any()):
                self._scorer.set_thresholds(found)
                self._set = found

    def correct(self, columns: StatisticsColumns) -> None:
        """Move the thresholds of fleets that gave more alarms than promised, or fewer, once a day of points."""
        now = time.monotonic()
        if not self._promises or now < self._correct_at:
            return
        self._correct_at = now + _READ_S
        with self._database.read() as session:
            due = [row for row in store.budgets(session) if self._is_due(session, row, columns)]
        for row in due:
            self._correct(row.fleet_id, columns)

    def of(self, session: Session, number: int, fleet_id: str | None, columns: StatisticsColumns) -> Threshold:
        """Return the threshold of one series."""
        changes = store.changes_of(session, number)
        factor = factor_of([row.factor for row in changes if row.undone_at is None])
        promise = self._promise(session, fleet_id, columns) if fleet_id else self._usual(np.array([number]))
        if promise is None:
            return Threshold(_within(factor), 1.0, factor, None, tuple(changes))
        place = np.array([number], np.int32)
        calibrated = float(_calibrated(promise, columns.tails, place)[0])
        return Threshold(_within(factor * calibrated), calibrated, factor, promise.per_week, tuple(changes))

    def heed(self, session: Session, row: AnomalyRow, kind: FeedbackKind) -> int | None:
        """Move the threshold of a series as feedback on one of its anomalies says, instead of what was said before.

        Returns the id of the change, None where it stays where it is.
        """
        step = None if row.part in LAPSES else step_of(kind, row.peak_score)  # those have no score to be moved
        for before in store.changes_of(session, row.number):
            if before.anomaly_id == row.id and before.undone_at is None:
                before.undone_at = now_us()
        store.changed(session)
        return None if step is None else self._change(session, row.number, kind.value, step, row.id)

    def set_factor(self, session: Session, number: int, series_id: str, factor: float) -> None:
        """Move the threshold of a series to a factor, whatever was said of its anomalies."""
        held = [row for row in store.changes_of(session, number) if row.undone_at is None]
        before = factor_of([row.factor for row in held])
        self._change(session, number, "set", factor / before, None)
        note(session, "threshold_set", series_id, factor=factor, before=before)
        store.changed(session)

    def undo(self, session: Session, number: int, series_id: str, change_id: int) -> None:
        """Take one change back.

        Raises
        ------
        Missing, Conflict
            When the series has no such change, or it was taken back before.
        """
        found = [row for row in store.changes_of(session, number) if row.id == change_id]
        if not found:
            raise Missing("unknown_change", f"the threshold of {series_id[:80]!r} has no change {change_id}")
        if found[0].undone_at is not None:
            raise Conflict("already_undone", f"change {change_id} was taken back before")
        found[0].undone_at = now_us()
        note(session, "threshold_change_undone", series_id, change=change_id, kind=found[0].kind)
        store.changed(session)

    def budget(self, session: Session, fleet_id: str, columns: StatisticsColumns) -> Budget:
        """Return what a fleet promises and gave, or raise `Missing`."""
        row = session.get(store.BudgetRow, fleet_id)
        if row is None:
            raise Missing("no_budget", f"fleet {fleet_id[:80]!r} has no budget of false alarms")
        numbers = store.numbers_in(session, fleet_id)
        ends = _ends(row.since, columns.newest(np.array(numbers, np.int32)))
        return Budget(
            fleet_id,
            per_day_of(row, len(numbers)),
            row.sensitivity,
            len(numbers),
            row.since,
            row.correction,
            sum(store.opened_by_day(session, fleet_id, ends)) if ends else None,
            (ends[-1] - ends[0]) / _DAY_US if ends else 0.0,
        )

    def realised(self, session: Session, columns: StatisticsColumns) -> float:
        """Return alarms over what was promised, of the fleet where that is most; NaN while no budget can tell."""
        found = [self.budget(session, row.fleet_id, columns) for row in store.budgets(session)]
        rates = [one.alarms / (one.days * one.per_day) for one in found if one.alarms is not None and one.per_day]
        return max(rates, default=nan)

    def set_budget(
        self,
        session: Session,
        fleet_id: str,
        per_day: float | None,
        sensitivity: float | None,
        columns: StatisticsColumns,
    ) -> None:
        """Let a fleet give so many false alarms a day, or as many as a sensitivity stands for."""
        newest = columns.newest(np.array(store.numbers_in(session, fleet_id), np.int32))
        since = newest if newest is not None else now_us()
        row = session.get(store.BudgetRow, fleet_id)
        if row is None:
            row = store.BudgetRow(fleet_id=fleet_id)
            session.add(row)
        row.per_day, row.sensitivity = per_day, sensitivity
        row.since, row.correction, row.corrected_at = since, 1.0, since
        note(session, "budget_set", fleet_id, false_alarms_per_day=per_day, sensitivity=sensitivity)
        store.changed(session)

    def drop_budget(self, session: Session, fleet_id: str) -> None:
        """Let the detectors of a fleet have their own thresholds again, or raise `Missing`."""
        row = session.get(store.BudgetRow, fleet_id)
        if row is None:
            raise Missing("no_budget", f"fleet {fleet_id[:80]!r} has no budget of false alarms")
        session.delete(row)
        note(session, "budget_dropped", fleet_id)
        store.changed(session)

    @property
    def _promising(self) -> bool:
        return bool(self._promises) or self._settings.false_alarms_per_week is not None

    def _change(self, session: Session, number: int, kind: str, step: float, anomaly_id: str | None) -> int:
        row = store.ChangeRow(number=number, kind=kind, factor=step, anomaly_id=anomaly_id, at=now_us())
        session.add(row)
        session.flush()
        return row.id

    def _read(self, session: Session, columns: StatisticsColumns) -> None:
        steps: dict[int, list[float]] = {}
        for number, step in store.all_changes(session):
            steps.setdefault(number, []).append(step)
        self._factors = {number: factor_of(found) for number, found in steps.items()}
        fleets = [(row, store.numbers_in(session, row.fleet_id)) for row in store.budgets(session)]
        promises = [_promised(row, numbers) for row, numbers in fleets]
        rest = np.ones(len(columns.received), np.bool_)
        for _, numbers in fleets:
            rest[[number for number in numbers if number < len(rest)]] = False
        usual = self._usual(np.flatnonzero(rest & (columns.received > 0)))
        self._promises = [one for one in (*promises, usual) if one is not None and len(one.numbers)]

    def _usual(self, numbers: NumberArray | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Promise | None:
        per_week = self._settings.false_alarms_per_week
        return None if per_week is None else Promise(numbers.astype(np.int32), per_week)

    def _promise(self, session: Session, fleet_id: str, columns: StatisticsColumns) -> Promise | None:
        row, numbers = session.get(store.BudgetRow, fleet_id), store.numbers_in(session, fleet_id)
        return self._usual(np.array(numbers)) if row is None else _promised(row, numbers)

    def _found(self, tails: Tails) -> FloatArray:
        """Return the thresholds by number."""
        highest = max([*self._factors, *(int(one.numbers[-1]) for one in self._promises)], default=-1)
        found = np.ones(highest + 1)
        for promise in self._promises:
            known = promise.numbers[promise.numbers < len(tails.last)]
            found[known] = _calibrated(promise, tails, known)
        for number, factor in self._factors.items():
            found[number] *= factor
        return np.clip(found, LEAST_FACTOR, MOST_FACTOR)

    def _is_due(self, session: Session, row: store.BudgetRow, columns: StatisticsColumns) -> bool:
        newest = columns.newest(np.array(store.numbers_in(session, row.fleet_id), np.int32))
        return newest is not None and newest - row.corrected_at >= _DAY_US

    def _correct(self, fleet_id: str, columns: StatisticsColumns) -> None:
        with self._database.write() as session:
            row = session.get(store.BudgetRow, fleet_id)
            if row is None or not self._is_due(session, row, columns):
                return
            numbers = store.numbers_in(session, fleet_id)
            newest = columns.newest(np.array(numbers, np.int32))
            ends = _ends(row.since, newest)
            if ends and newest is not None:
                by_day = store.opened_by_day(session, fleet_id, ends)
                row.correction = corrected(row.correction, by_day, per_day_of(row, len(numbers)))
                row.corrected_at = newest
                store.changed(session)
                _log.info("budget_corrected", fleet=fleet_id, correction=row.correction, alarms=sum(by_day))


def per_day_of(row: store.BudgetRow, series: int) -> float:
    """Return how many false alarms a day a fleet of so many series may give."""
    if row.per_day is not None:
        return row.per_day
    assert row.sensitivity is not None, "a budget is a number or a sensitivity"
    return per_series_week(row.sensitivity) * series / _WEEK


def _promised(row: store.BudgetRow, numbers: Sequence[int]) -> Promise:
    per_week = per_day_of(row, len(numbers)) * _WEEK / max(len(numbers), 1)
    return Promise(np.array(numbers, np.int32), per_week, row.correction)


def _calibrated(promise: Promise, tails: Tails, numbers: NumberArray) -> FloatArray:
    peers = promise.numbers[promise.numbers < len(tails.last)]
    prior = pooled(tails, peers) if len(peers) > 1 else USUAL
    known = numbers[numbers < len(tails.last)]
    found = np.ones(len(numbers))
    per_week = np.full(len(known), promise.per_week)
    found[numbers < len(tails.last)] = thresholds(tails, known, per_week, prior)
    return found * promise.correction


def _ends(since: int, newest: int | None) -> list[int]:
    """Return the moments between which the last days lie, those from before `since` left out."""
    if newest is None:
        return []
    days = min((newest - since) // _DAY_US, _DAYS)
    return [newest + 1 - day * _DAY_US for day in range(days, -1, -1)] if days > 0 else []


def _within(factor: float) -> float:
    return min(max(factor, LEAST_FACTOR), MOST_FACTOR)
