"""The protocol ``online``: detectors learn from a history and judge what follows, each point from those before
it."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from atalaia.algorithms.evaluation.contest import Judge, Judged, Stretch, warm_up
from atalaia.algorithms.evaluation.events import NOTHING, Count, best_f1, count, recall_within, sweep
from atalaia.algorithms.evaluation.intervals import Marks
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.evaluation.nab import LOW_FALSE_POSITIVES, STANDARD, Detections, is_file_of_nab, nab_score
from atalaia.algorithms.evaluation.outcomes import Figures, Outcome, mean_of
from atalaia.algorithms.evaluation.ranking import auc_pr
from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.local_time import DAY_US
from atalaia.algorithms.periods import period
from atalaia.core.points import FloatArray

MOST_POINTS = 15_000
"""Points of a history, and points that are judged, at most."""

GROUPING = 0.03
"""For the score of NAB an alarm within this share of a file after another is the same alarm."""

_DAYS_A_WEEK = 7.0
_MEANS = ("vus_pr", "auc_pr", "event_f1", "recall_1fa_day", "recall_1fa_week")

Progress = Callable[[str, str], None]
"""Told the contestant and the series that are judged next."""


@dataclass
class _Tally:
    """What adds up over the series of one contestant."""

    per_series: dict[str, Figures] = field(default_factory=dict[str, Figures])
    alarms: Count = NOTHING
    days: float = 0.0
    quiet_alarms: int = 0
    quiet_days: float = 0.0
    seconds: float = 0.0
    points: int = 0
    files: list[Detections] = field(default_factory=list[Detections])
    grouped: list[Detections] = field(default_factory=list[Detections])


def run_online(
    series: Iterable[Labelled],
    judges: Mapping[str, Judge],
    stopwatch: Callable[[], float],
    *,
    per_week: float = 1.0,
    progress: Progress = lambda name, series: None,
) -> list[Outcome]:
    """Return the figures of each contestant.

    The history is what the source marks as such, else the first half; the last 15,000 points of it are learnt, the
    first 15,000 points after it are judged. Of several sensors the first is looked at.

    Parameters
    ----------
    stopwatch
        Gives the CPU seconds that this process has used.
    per_week
        False alarms per series and week that a contestant may give.

    Returns
    -------
    list[Outcome]
        ``vus_pr``, ``auc_pr``, ``event_f1`` (at the best threshold of each series), ``recall_1fa_day`` and
        ``recall_1fa_week`` (of events, at the best threshold with at most one false alert a day or week), each the
        mean over the series with a labelled event after the history. Of alarms at the threshold that the
        contestant set itself for `per_week`, over all series whose times are known: ``promised_fa_day``,
        ``realised_fa_day`` (false alarms per series and day), ``recall``, ``precision``, and ``quiet_alarms_week``
        on series without any labelled event. ``seconds_per_10k`` are CPU seconds of learning and judging for
        10,000 points learnt or judged. For NAB's own files ``nab_standard`` and ``nab_low_fp`` with alarms grouped
        (see `GROUPING`), and ``..._single`` without.
    """
    warm_up(judges)
    tallies = {name: _Tally() for name in judges}
    for one in series:
        past, future, labels = split(one)
        for name, judge in judges.items():
            progress(name, one.name)
            began = stopwatch()
            judged = judge(past, future, per_week)
            _add(tallies[name], one, past, future, labels, judged, stopwatch() - began)
    return [_outcome(name, tally, per_week) for name, tally in tallies.items()]


def split(one: Labelled) -> tuple[Stretch, Stretch, Marks]:
    """Return what is learnt, what is judged, and the labels of that."""
    first = len(one) // 2 if one.history is None else one.history
    most = len(one) if is_file_of_nab(one.data, one.name) else MOST_POINTS
    values, moments = one.values[:, 0], one.moments
    learnt, judged = slice(max(first - most, 0), first), slice(first, first + most)
    return (
        Stretch(moments[learnt], values[learnt]),
        Stretch(moments[judged], values[judged]),
        one.labels[judged],
    )


def _add(
    tally: _Tally, one: Labelled, past: Stretch, future: Stretch, labels: Marks, judged: Judged, seconds: float
) -> None:
    days = len(future) * future.step_us / DAY_US
    told = count(np.nan_to_num(judged.scores, nan=-np.inf) > judged.threshold, labels)
    figures: dict[str, float | None] = {"seconds_per_10k": 1e4 * seconds / max(len(past) + len(future), 1)}
    if one.timestamps is not None and days > 0:
        tally.alarms, tally.days = tally.alarms + told, tally.days + days
        figures |= {"realised_fa_day": told.false / days, "recall": told.recall, "precision": told.precision}
        if not one.labels.any():
            tally.quiet_alarms, tally.quiet_days = tally.quiet_alarms + told.false, tally.quiet_days + days
    if labels.any():
        counts = sweep(judged.scores, labels)
        figures |= {
            "vus_pr": vus_pr(judged.scores, labels, period(future.values)),
            "auc_pr": auc_pr(judged.scores, labels),
            "event_f1": best_f1(counts),
            "recall_1fa_day": recall_within(counts, days),
            "recall_1fa_week": recall_within(counts, days / _DAYS_A_WEEK),
        }
    tally.per_series[_name_in(tally, one)] = {name: _known(figure) for name, figure in figures.items()}
    tally.seconds, tally.points = tally.seconds + seconds, tally.points + len(past) + len(future)
    if is_file_of_nab(one.data, one.name):
        unsaid = np.full(len(past), np.nan)
        tally.files.append(Detections(np.concatenate([unsaid, judged.scores]), one.labels))
        grouped = group_alarms(judged.scores, int(GROUPING * len(one)))
        tally.grouped.append(Detections(np.concatenate([unsaid, grouped]), one.labels))


def group_alarms(scores: FloatArray, points: int) -> FloatArray:
    """Return the scores that exceed all of the `points` before them, and the lowest in place of the others.

    Whatever the threshold, an alarm then is the first of its group.
    """
    lowest = float(np.nanmin(scores)) if np.isfinite(scores).any() else 0.0
    grouped, largest = np.full(len(scores), lowest), deque[int]()
    for i, score in enumerate(scores):
        while largest and largest[0] < i - points:
            largest.popleft()
        if not np.isfinite(score):
            continue
        if not largest or score > scores[largest[0]]:
            grouped[i] = score
        while largest and scores[largest[-1]] <= score:
            largest.pop()
        largest.append(i)
    return grouped


def _name_in(tally: _Tally, one: Labelled) -> str:
    """Return the name of a series, with its set where two sets have one of this name."""
    return one.name if one.name not in tally.per_series else f"{one.data}/{one.name}"


def _outcome(name: str, tally: _Tally, per_week: float) -> Outcome:
    told, days = tally.alarms, tally.days
    figures: dict[str, float | None] = {mean: mean_of(tally.per_series, mean) for mean in _MEANS}
    figures |= {
        "promised_fa_day": per_week / _DAYS_A_WEEK,
        "realised_fa_day": told.false / days if days else None,
        "recall": _known(told.recall),
        "precision": _known(told.precision),
        "quiet_alarms_week": _DAYS_A_WEEK * tally.quiet_alarms / tally.quiet_days if tally.quiet_days else None,
        "seconds_per_10k": 1e4 * tally.seconds / tally.points if tally.points else None,
    }
    if tally.files:
        figures |= {
            "nab_standard": _known(nab_score(tally.grouped, STANDARD)),
            "nab_low_fp": _known(nab_score(tally.grouped, LOW_FALSE_POSITIVES)),
            "nab_standard_single": _known(nab_score(tally.files, STANDARD)),
            "nab_low_fp_single": _known(nab_score(tally.files, LOW_FALSE_POSITIVES)),
        }
    return Outcome(name, figures, tally.per_series)


def _known(figure: float | None) -> float | None:
    return figure if figure is not None and isfinite(figure) else None
