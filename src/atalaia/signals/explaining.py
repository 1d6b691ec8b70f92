"""Why there is an alarm, or none: what the history, the model and the other series say of it.

Everything that is read is bounded: points by the settings ``explain_max_points`` and ``explain_days``, rows by the
numbers below. The number of statements does not depend on how many anomalies or series there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from atalaia.algorithms.explaining.likeness import AFTER, BEFORE, SLACK, likeness, scaled
from atalaia.algorithms.explaining.rarity import Rarity, rarity
from atalaia.algorithms.explaining.sharing import Label, SharedLabel, contributing
from atalaia.algorithms.hindsight import hindsight
from atalaia.core.anomalies import Anomaly, AnomalyState
from atalaia.core.clock import MICROS, isoformat, now_us, to_us
from atalaia.core.errors import Unavailable
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.series import Series
from atalaia.signals.explanations import (
    AnomalyExplained,
    Hindsight,
    Looked,
    PointExplained,
    Similar,
    Together,
)
from atalaia.signals.ports import Judge, Judgement
from atalaia.signals.quietness import Opinion, Situation, reasons, what_next
from atalaia.signals.service import Signals
from atalaia.signals.store import anomalies, catalogue
from atalaia.signals.thresholds import Threshold

_DAY_US = 86_400 * MICROS
_MOST_TOGETHER = 500
"""Anomalies that were open at the same time, of those that are read."""
_MOST_EPISODES = 100
"""Earlier anomalies whose shapes are compared."""
_FEW_EPISODES = 3
"""With fewer of its own, those of series with the same label are compared too, at most `_MOST_SIBLINGS`."""
_MOST_SIBLINGS = 20
_MOST_LABELS = 16
_SHOWN = 20
_SHOWN_SIMILAR = 5
_HALVINGS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Some history of one series, in order of time; `inside` are the points of the anomaly."""

    timestamps: IntArray
    values: FloatArray
    inside: NDArray[np.bool_]

    @property
    def looked(self) -> Looked:
        """What part of the history that is."""
        if not len(self.timestamps):
            return Looked(0, 0, 0)
        return Looked(int(self.timestamps[0]), int(self.timestamps[-1]), len(self.timestamps))


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of an anomaly and of what surrounds it."""

    anomaly: Anomaly
    series: Series
    newest_us: int
    together: list[tuple[anomalies.AnomalyRow, dict[str, str]]]
    counts: Mapping[Label, int]
    series_total: int
    own: list[anomalies.AnomalyRow]
    siblings: list[anomalies.AnomalyRow]
    feedback: Mapping[str, tuple[anomalies.Feedback, ...]]

    def anomaly_of(self, row: anomalies.AnomalyRow) -> Anomaly:
        """Return an anomaly with what was said of it."""
        return anomalies.anomaly_of(row, self.feedback.get(row.id, ()))


class Explaining:
    """Answers to the question why."""

    def __init__(self, signals: Signals, judge: Judge) -> None:
        self.signals = signals
        self._judge = judge
        self._settings = signals.settings

    def anomaly(self, anomaly_id: str) -> AnomalyExplained:
        """Return why there is an anomaly, or raise `Missing`."""
        with self.signals.database.read() as session:
            known = self._known(session, anomaly_id)
        past = self._past(known)
        similar, compared = self._similar(known, past)
        judged = self._judged(known.series, past)[0]
        strangeness = hindsight(past.values)
        rare, basis = self._rarity(known, past, judged, strangeness)
        together = _sharing(known)
        return AnomalyExplained(
            anomaly=known.anomaly,
            looked=past.looked,
            rarity=rare,
            rarity_basis=basis,
            hindsight=_looking_back(past, strangeness),
            together=together[:_SHOWN],
            together_count=len(known.together),
            together_more=len(known.together) == _MOST_TOGETHER,
            labels=_shared_labels(known)[:_SHOWN],
            similar=similar,
            compared=compared,
            threshold=self._threshold(known.series),
            what_next=what_next(known.anomaly, [one.anomaly for one in similar]),
        )

    def point(self, series_id: str, at_us: int | None) -> PointExplained:
        """Return why a series did or did not alarm at a moment, by default at its newest point.

        Raises
        ------
        Missing
            When the series is unknown.
        """
        newest_us = self.signals.newest([series_id])
        with self.signals.database.read() as session:
            series = self.signals.series(session, series_id)
        asked_us = at_us if at_us is not None else newest_us if newest_us is not None else now_us()
        middle_us = asked_us if newest_us is None else min(asked_us, newest_us)
        stamps, values = self._read(series, middle_us, middle_us)
        past = self._unknown(series, Past(stamps, values, np.arange(len(stamps)) == len(stamps) - 1))
        judged, model = self._judged(series, past)
        point_us = int(stamps[-1]) if len(stamps) else None
        row, pending, alarmed = self._held(series.number, point_us)
        situation = Situation(
            asked_us=asked_us,
            point_us=point_us,
            step_us=_step_us(series),
            scored_us=None if series.last_at is None else to_us(series.last_at),
            model=model,
            opinion=None if judged is None else _opinion(judged),
            opened_us=None if row is None else row.opened_at,
            pending=pending,
            open_after=self._settings.open_after_points,
            close_after=self._settings.close_after_points,
            events=self._events(series, asked_us if point_us is None else point_us),
        )
        told = PointExplained(
            series_id=series.series_id,
            at_us=asked_us,
            looked=past.looked,
            point_us=point_us,
            value=float(values[-1]) if len(values) else None,
            alarmed=alarmed,
            threshold=self._threshold(series),
            reasons=reasons(situation),
        )
        return told if judged is None else _with_opinion(told, judged)

    def _held(self, number: int, point_us: int | None) -> tuple[anomalies.AnomalyRow | None, int, Anomaly | None]:
        """Return the anomaly that holds a point, with what was said of it; see `_holding`."""
        with self.signals.database.read() as session:
            row = None if point_us is None else anomalies.holding(session, number, point_us)
            row, pending = _holding(row, point_us)
            if row is None:
                return None, pending, None
            said = anomalies.feedback_of(session, [row.id])
            return row, pending, anomalies.anomaly_of(row, said.get(row.id, ()))

    def _known(self, session: Session, anomaly_id: str) -> Known:
        anomaly = self.signals.anomalies.get(session, anomaly_id)
        series = self.signals.series(session, anomaly.series_id)
        opened_us, last_us = to_us(anomaly.opened_at), to_us(anomaly.last_at)
        together = anomalies.overlapping(
            session, opened_us, last_us, other_than=series.number, limit=_MOST_TOGETHER
        )
        labels = sorted(series.labels.items())[:_MOST_LABELS]
        counts, total = catalogue.label_counts(session, labels)
        counted = dict(zip(labels, counts, strict=True))
        own = anomalies.episodes(session, [series.number], opened_us, limit=_MOST_EPISODES)
        siblings: list[anomalies.AnomalyRow] = []
        if len(own) < _FEW_EPISODES and (kin := _closest(counted)) is not None:
            numbers = set(catalogue.labelled(session, *kin, _MOST_SIBLINGS + 1)) - {series.number}
            siblings = anomalies.episodes(session, sorted(numbers), opened_us, limit=_MOST_SIBLINGS)
        shown = [row.id for row in (*(row for row, _ in together), *own, *siblings)]
        newest_us = max(last_us, to_us(series.last_at) if series.last_at is not None else 0)
        said = anomalies.feedback_of(session, shown)
        return Known(anomaly, series, newest_us, together, counted, total, own, siblings, said)

    def _past(self, known: Known) -> Past:
        stamps, values = self._read(known.series, to_us(known.anomaly.peak_at), known.newest_us)
        opened_us, last_us = to_us(known.anomaly.opened_at), to_us(known.anomaly.last_at)
        return self._unknown(known.series, Past(stamps, values, (stamps >= opened_us) & (stamps <= last_us)))

    def _unknown(self, series: Series, past: Past) -> Past:
        """Return a past without what lies inside known events, which no model saw; what is asked about stays."""
        numbers = np.full(len(past.timestamps), series.number, np.int32)
        known = self.signals.calendar.known(numbers, past.timestamps)
        if known is None:
            return past
        kept = ~known | past.inside
        return Past(past.timestamps[kept], past.values[kept], past.inside[kept])

    def _events(self, series: Series, moment_us: int) -> list[str]:
        with self.signals.database.read() as session:
            found = self.signals.calendar.covering(session, series.number, moment_us)
        return [
            f"{one.event.kind.value} {one.event.title!r} ({one.event.event_id}), "
            f"{isoformat(one.start_us)} to {isoformat(one.end_us)}"
            for one in found
        ]

    def _read(self, series: Series, middle_us: int, newest_us: int) -> tuple[IntArray, FloatArray]:
        """Return points around a moment: three quarters of what may be read before it, a quarter after it."""
        most, step_us = self._settings.explain_max_points, _step_us(series) or 0.0
        before, after = 3 * most // 4, most // 4
        span = self._settings.explain_days * _DAY_US
        start = max(0, middle_us - int(min(span, before * step_us or span)))
        end = max(middle_us, min(newest_us, middle_us + int(min(_DAY_US, after * step_us or _DAY_US)))) + 1
        start, end = self._bounded([series.number], start, middle_us, end)
        points = self.signals.history.read([series.number], start, end)
        place = int(np.searchsorted(points.timestamps, middle_us, side="right"))
        kept = slice(max(0, place - before), place + after)
        return points.timestamps[kept], points.values[kept]

    def _bounded(self, numbers: Sequence[int], start: int, middle: int, end: int) -> tuple[int, int]:
        """Return a range around a moment of which the blocks do not hold many more points than may be read.

        How many they hold is estimated; the tail is bounded by itself.
        """
        most = 2 * self._settings.explain_max_points
        for _ in range(_HALVINGS):
            if self.signals.history.about(numbers, start, end) <= most:
                break
            start, end = middle - (middle - start) // 2, middle + (end - middle) // 2 + 1
        return start, end

    def _judged(self, series: Series, past: Past) -> tuple[Judgement | None, str]:
        if not len(past.values):
            return None, "none"
        learn = min(len(past.values) // 4, int(np.argmax(past.inside)) if past.inside.any() else 0)
        try:
            at = (series.series_id, series.fleet_id, past.timestamps, past.values)
            judged = self._judge.judge(*at, learn, self._threshold(series).in_force)
        except Unavailable:
            return None, "not_loaded"
        return judged, "there" if judged is not None else "none"

    def _threshold(self, series: Series) -> Threshold:
        with self.signals.database.read() as session:
            columns, _ = self.signals.memory.statistics(session)
            return self.signals.thresholds.of(session, series.number, series.fleet_id, columns)

    def _rarity(
        self, known: Known, past: Past, judged: Judgement | None, strangeness: FloatArray
    ) -> tuple[Rarity | None, str]:
        apart_us = int(self._settings.close_after_points * (_step_us(known.series) or MICROS))
        found = None if judged is None else rarity(past.timestamps, judged.score, past.inside, apart_us)
        if found is not None:
            return found, "model"
        if not strangeness.any():
            return None, "none"
        return rarity(past.timestamps, strangeness, past.inside, apart_us), "hindsight"

    def _similar(self, known: Known, past: Past) -> tuple[list[Similar], int]:
        """Return the earlier episodes that look most like this one, and how many were compared."""
        peak_us = to_us(known.anomaly.peak_at)
        place = _place(past.timestamps, peak_us)
        if place is None:
            return [], 0
        x = scaled(past.values)
        found = _alike(known, known.own, x, place, {known.series.number: (past.timestamps, x)})
        if known.siblings:
            found += _alike(known, known.siblings, x, place, self._read_siblings(known))
        best = sorted(found, key=lambda one: (-one.likeness, one.anomaly.anomaly_id))
        return best[:_SHOWN_SIMILAR], len(found)

    def _read_siblings(self, known: Known) -> dict[int, tuple[IntArray, FloatArray]]:
        """Return the scaled values of other series around their newest episodes."""
        numbers = sorted({row.number for row in known.siblings})
        margin = int((BEFORE + AFTER + SLACK) * (_step_us(known.series) or MICROS))
        peaks = [row.peak_at for row in known.siblings]
        end = max(peaks) + margin + 1
        start = max(0, min(peaks) - margin, end - int(self._settings.explain_days * _DAY_US))
        start, _ = self._bounded(numbers, start, end, end)
        points = self.signals.history.read(numbers, start, end)
        bounds = np.searchsorted(points.series, [[number, number + 1] for number in numbers]).tolist()
        return {
            number: (points.timestamps[first:last], scaled(points.values[first:last]))
            for number, (first, last) in zip(numbers, bounds, strict=True)
        }


def _closest(counted: Mapping[Label, int]) -> Label | None:
    """Return the label that the fewest other series have."""
    shared = [label for label, count in counted.items() if count > 1]
    return min(shared, key=lambda label: (counted[label], label)) if shared else None


def _step_us(series: Series) -> float | None:
    return series.step_s * MICROS if series.step_s else None


def _place(timestamps: IntArray, moment_us: int) -> int | None:
    place = int(np.searchsorted(timestamps, moment_us))
    return place if place < len(timestamps) and timestamps[place] == moment_us else None


def _alike(
    known: Known,
    rows: Sequence[anomalies.AnomalyRow],
    x: FloatArray,
    place: int,
    points: Mapping[int, tuple[IntArray, FloatArray]],
) -> list[Similar]:
    found: list[Similar] = []
    for row in rows:
        timestamps, other = points[row.number]
        there = _place(timestamps, row.peak_at)
        alike = None if there is None else likeness(x, place, other, there)
        if alike is not None:
            found.append(Similar(known.anomaly_of(row), alike))
    return found


def _sharing(known: Known) -> list[Together]:
    """Return the anomalies whose series share labels, those that share most first."""
    own = known.series.labels.items()
    shared = [(row, dict(own & labels.items())) for row, labels in known.together]
    found = [Together(known.anomaly_of(row), dict(sorted(labels.items()))) for row, labels in shared if labels]
    return sorted(found, key=lambda one: (-len(one.labels), -one.anomaly.peak_score, one.anomaly.anomaly_id))


def _shared_labels(known: Known) -> list[SharedLabel]:
    others = {row.number: labels for row, labels in known.together}
    return contributing(known.series.labels, list(others.values()), known.counts, known.series_total)


def _looking_back(past: Past, strangeness: FloatArray) -> Hindsight | None:
    inside = past.inside
    if not (strangeness.any() and inside.any() and not inside.all()):
        return None
    score = float(strangeness[inside].max())
    return Hindsight(score, float(np.mean(strangeness[~inside] < score)))


def _holding(row: anomalies.AnomalyRow | None, point_us: int | None) -> tuple[anomalies.AnomalyRow | None, int]:
    """Return the anomaly that holds a point, or of how many strange points the interval is that may become one."""
    if row is None or point_us is None:
        return None, 0
    if row.state == anomalies.PENDING:
        return None, row.strange if point_us <= row.last_at else 0
    return (row, 0) if point_us <= row.last_at or row.state == AnomalyState.OPEN else (None, 0)


def _with_opinion(told: PointExplained, judged: Judgement) -> PointExplained:
    """Return the answer with what the model says of its point, the last one that was judged."""
    score = float(judged.score[-1])
    return replace(
        told,
        score=score if isfinite(score) else None,
        explanation=judged.explain(len(judged.score) - 1),
        model=judged.model,
        confidence=judged.confidence,
        learnt=judged.learnt,
        needed=judged.needed,
        is_replayed=judged.is_replayed,
    )


def _opinion(judged: Judgement) -> Opinion:
    return Opinion(
        score=float(judged.score[-1]),
        alarm=bool(judged.alarm[-1]),
        is_accepted=judged.is_accepted,
        is_replayed=judged.is_replayed,
        confidence=judged.confidence,
        learnt=judged.learnt,
        needed=judged.needed,
    )
