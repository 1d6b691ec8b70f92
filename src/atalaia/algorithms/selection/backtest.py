"""How a detector does on the last part of histories: what it finds of what was put in, and what it finds besides.

It learns the first part of each history, and judges the rest point by point, as it would have lived: once
untouched, and once for each of several copies with anomalies in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.protocol import Detector, State, Streaming
from atalaia.algorithms.evaluation.intervals import SAME_ALERT_POINTS, alerts
from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.selection.injecting import KINDS, Injected
from atalaia.algorithms.selection.trials import Trial
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD

SAID_WEIGHT = 3
"""What a person said of an anomaly counts like so many anomalies that were put in."""

BLOCK_POINTS = SAME_ALERT_POINTS
"""The untouched rest is ranked in stretches of so many points, and an anomaly may be noticed so late."""


@dataclass(frozen=True, slots=True)
class Share:
    """`found` out of `all`."""

    found: int = 0
    all: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.found + other.found, self.all + other.all)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a detector did in a backtest.

    Attributes
    ----------
    kinds
        Anomalies that were put in, and found, by kind: a point inside, or at most ten later, is over the threshold
        that is not over it without them.
    separation
        What share of the stretches of ten untouched points score lower than an anomaly that was put in, whatever
        the threshold; mean over them.
    useful, noise
        Anomalies that people called useful, and found; and what they called noise or expected, and flagged.
    false_alarms, days
        Alarms in the untouched rest that touch nothing that people called useful, and how long all series were
        watched.
    vus_pr
        How well its scores rank the points of the copies; mean over them.
    seconds
        CPU time of learning and judging.
    bytes_per_series
        What it keeps of a series.
    """

    kinds: Mapping[str, Share]
    separation: float
    useful: Share
    noise: Share
    false_alarms: int
    days: float
    vus_pr: float
    seconds: float
    bytes_per_series: float

    @property
    def injected(self) -> Share:
        """All anomalies that were put in."""
        return sum(self.kinds.values(), Share())

    @property
    def evidence(self) -> float:
        """`separation`, joined by what people said: useful anomalies that were found, and noise that was not."""
        said = self.useful.all + self.noise.all
        agreed = self.useful.found + self.noise.all - self.noise.found
        weight = self.injected.all + SAID_WEIGHT * said
        return (self.injected.all * self.separation + SAID_WEIGHT * agreed) / weight if weight else 0.0

    @property
    def recall(self) -> float:
        """Share that was found of what was put in and of what people called useful."""
        asked = self.injected.all + SAID_WEIGHT * self.useful.all
        return (self.injected.found + SAID_WEIGHT * self.useful.found) / asked if asked else 0.0

    @property
    def false_a_day(self) -> float:
        """False alarms per series and day."""
        return self.false_alarms / self.days if self.days else 0.0

    @property
    def precision(self) -> float:
        """Share of the alarms that were right; what people called noise and was flagged counts more."""
        right = self.injected.found + SAID_WEIGHT * self.useful.found
        wrong = self.false_alarms + (SAID_WEIGHT - 1) * self.noise.found
        return right / (right + wrong) if right else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision."""
        both = self.recall + self.precision
        return 2.0 * self.recall * self.precision / both if both else 0.0


@dataclass
class _Tally:
    kinds: dict[str, Share] = field(default_factory=lambda: dict.fromkeys(KINDS, Share()))
    ranks: list[float] = field(default_factory=list[float])
    useful: Share = Share()
    noise: Share = Share()
    false_alarms: int = 0
    days: float = 0.0
    volumes: list[float] = field(default_factory=list[float])


def backtest(detector: Detector, trials: Sequence[Trial], stopwatch: Callable[[], float]) -> Figures:
    """Return what `detector` does in the trials; `stopwatch` tells the CPU seconds used so far."""
    tally, began, seconds = _Tally(), stopwatch(), 0.0
    kept = 0
    for trial in trials:
        began = stopwatch()
        state = detector.fit(Group.of([trial.learnt]))
        kept += sum(array.nbytes for array in state.values())
        untouched = _judge(detector, _copied(state), trial.timestamps, trial.values)
        told = [_judge(detector, _copied(state), trial.timestamps, copy.values) for copy in trial.copies]
        seconds += stopwatch() - began
        _count_said(tally, trial, untouched)
        for copy, scores in zip(trial.copies, told, strict=True):
            _count_found(tally, copy, scores, untouched, trial.window)
    return Figures(
        kinds={kind: share for kind, share in tally.kinds.items() if share.all},
        separation=float(np.mean(tally.ranks)) if tally.ranks else 0.0,
        useful=tally.useful,
        noise=tally.noise,
        false_alarms=tally.false_alarms,
        days=tally.days,
        vus_pr=float(np.mean(tally.volumes)) if tally.volumes else 0.0,
        seconds=seconds,
        bytes_per_series=kept / max(len(trials), 1),
    )


def _copied(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def _judge(detector: Detector, state: State, timestamps: IntArray, values: FloatArray) -> FloatArray:
    rows = np.zeros(len(values), np.int64)
    if isinstance(detector, Streaming):
        return detector.advance(state, rows, timestamps, values).scores.score
    return detector.score(state, rows, timestamps, values).score


def _over(scores: FloatArray) -> NDArray[np.bool_]:
    return np.nan_to_num(scores, nan=0.0) > THRESHOLD


def _count_found(tally: _Tally, copy: Injected, scores: FloatArray, untouched: FloatArray, window: int) -> None:
    new = _over(scores) & ~_over(untouched)
    usual = np.nan_to_num(untouched, nan=0.0)[: len(untouched) // BLOCK_POINTS * BLOCK_POINTS]
    blocks = usual.reshape(-1, BLOCK_POINTS).max(axis=1)
    for event in copy.events:
        noticed = slice(event.first, event.last + 1 + BLOCK_POINTS)
        tally.kinds[event.kind] += Share(int(new[noticed].any()), 1)
        others = np.delete(blocks, np.s_[noticed.start // BLOCK_POINTS : -(-noticed.stop // BLOCK_POINTS)])
        if len(others):
            peak = float(np.nan_to_num(scores[noticed], nan=0.0).max())
            tally.ranks.append(float((others < peak).mean()))
    if copy.events:
        tally.volumes.append(vus_pr(scores, copy.labels, window))


def _count_said(tally: _Tally, trial: Trial, untouched: FloatArray) -> None:
    flags = _over(untouched)
    right = np.zeros(len(flags), np.bool_)
    for said in trial.said:
        first = int(np.searchsorted(trial.timestamps, said.first_us, side="left"))
        last = int(np.searchsorted(trial.timestamps, said.last_us, side="right"))
        if first >= last:  # it lies elsewhere
            continue
        found = Share(int(flags[first:last].any()), 1)
        if said.matters:
            right[first:last] = True
            tally.useful += found
        else:
            tally.noise += found
    matters = np.concatenate([[0], np.cumsum(right)])
    begin, end = alerts(flags)
    tally.false_alarms += int((matters[end + 1] == matters[begin]).sum())
    tally.days += trial.days
