"""Thresholds that follow a promise: so many false alarms a week, whatever the detector.

A detector's own threshold is at score 1.0. How often scores of a series come near it without reaching it says where
its threshold must lie for one false alarm in so many weeks. Scores over `LOW` that belong together are an episode,
whose peak counts. The peaks between `LOW` and `HIGH` are taken for a truncated Pareto distribution: those that
reach the threshold may be real anomalies, and say nothing of false ones. Its exponent is found by Bayes' rule over
a grid, its rate as a Gamma posterior; both begin at what peers of the series have (an empirical Bayes estimate:
Efron and Morris, "Stein's paradox in statistics", 1977), so that a series which is new has the threshold of its
peers, and leaves it as its own episodes come in. The threshold of one alarm in so many weeks follows from both.
"""

from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled, compiled_without_gil
from atalaia.algorithms.local_time import DAY_US, WEEK_US
from atalaia.core.points import FloatArray, IntArray, NumberArray

LOW, HIGH = 0.5, 1.0
"""Peaks between them teach."""
QUIET = 10
"""So many points at `LOW` or below end an episode."""
LEAST, MOST = 0.65, 4.0
"""No threshold is moved farther than to these multiples of the detector's own."""

_SPREAD = 0.7
_MEMORY_WEEKS = 16.0
_STRICT = 0.9
"""The posterior is aimed at this share of what is promised: tails of real series bend upwards."""
_GRID: FloatArray = np.exp(np.linspace(log(0.5), log(16.0), 32))
_RATIO = HIGH / LOW


class Tails(NamedTuple):
    """What is known of the scores of m series.

    Attributes
    ----------
    episodes
        float32[m], episodes that ended with a peak below `HIGH`.
    excess
        float32[m], sum of the logarithms of those peaks, in parts of `LOW`.
    weeks
        float32[m], how long the series was watched; a gap counts for a day at most. From 16 weeks on all three are
        halved whenever they are full.
    peak
        float32[m], largest score of the episode that goes on, 0 without one.
    quiet
        int32[m], points since it was over `LOW` last.
    last
        int64[m], newest point, in microseconds since the epoch.
    """

    episodes: NDArray[np.float32]
    excess: NDArray[np.float32]
    weeks: NDArray[np.float32]
    peak: NDArray[np.float32]
    quiet: NDArray[np.int32]
    last: IntArray

    @staticmethod
    def empty(series: int) -> "Tails":
        """Return what is known of `series` series that were never watched."""
        return Tails(
            episodes=np.zeros(series, np.float32),
            excess=np.zeros(series, np.float32),
            weeks=np.zeros(series, np.float32),
            peak=np.zeros(series, np.float32),
            quiet=np.zeros(series, np.int32),
            last=np.zeros(series, np.int64),
        )

    def grown(self, series: int) -> "Tails":
        """Return the same with series that were never watched behind them, `series` in all."""
        more = Tails.empty(series - len(self.last))
        return Tails(
            episodes=np.concatenate([self.episodes, more.episodes]),
            excess=np.concatenate([self.excess, more.excess]),
            weeks=np.concatenate([self.weeks, more.weeks]),
            peak=np.concatenate([self.peak, more.peak]),
            quiet=np.concatenate([self.quiet, more.quiet]),
            last=np.concatenate([self.last, more.last]),
        )


class Prior(NamedTuple):
    """What a series is taken for before its own episodes say more.

    Attributes
    ----------
    rate, slope
        Episodes over `LOW` a week, and the exponent.
    weeks
        For so long a time of its own this counts.
    """

    rate: float
    slope: float
    weeks: float


USUAL = Prior(7.0, 4.0, 2.0)
"""Without peers, and what peers are taken for."""
KEEPS_ITS_OWN = Prior(16.0, 4.0, 4.0)
"""The same for a detector that keeps a budget of one false alarm a week by itself: then 1.0 is about right."""


def watch(tails: Tails, rows: IntArray | NumberArray, timestamps: IntArray, scores: FloatArray) -> None:
    """Fold the scores of n points in, which are in order of time inside each series.

    Parameters
    ----------
    tails
        Changed in place.
    rows
        Position of the series of each point.
    timestamps
        int64[n], microseconds since the epoch. A point that is not newer than the last one changes nothing.
    scores
        float64[n], in which 1.0 is the detector's own threshold; NaN says nothing.
    """
    _watch(tails, rows, timestamps, scores)


def pooled(tails: Tails, rows: IntArray | NumberArray) -> Prior:
    """Return what series have in common, for each of them to begin with."""
    sums = [float(column[rows].sum(dtype=np.float64)) for column in (tails.episodes, tails.excess, tails.weeks)]
    slope = _slope(sums[0], sums[1], USUAL.slope)
    return Prior(_rate(sums[0], sums[2], USUAL.rate, USUAL.weeks, slope), slope, USUAL.weeks)


def thresholds(
    tails: Tails, rows: IntArray | NumberArray, per_week: FloatArray, prior: Prior = USUAL
) -> FloatArray:
    """Return the thresholds of n series, as multiples of the detector's own.

    Parameters
    ----------
    per_week
        float64[n], false alarms a week that are promised, above 0.
    prior
        What all of them begin at.
    """
    found = np.empty(len(rows))
    _thresholds(tails, rows, per_week, prior.rate, prior.slope, prior.weeks, found)
    return found


@compiled
def _watch(tails: Tails, rows: IntArray | NumberArray, timestamps: IntArray, scores: FloatArray) -> None:
    for i in range(len(rows)):
        row, score = rows[i], scores[i]
        if np.isnan(score):
            continue
        elapsed = timestamps[i] - tails.last[row]
        if tails.last[row] == 0:
            elapsed = 0
        elif elapsed <= 0:
            continue
        tails.last[row] = timestamps[i]
        tails.weeks[row] += min(elapsed, DAY_US) / WEEK_US
        if score > LOW:
            tails.peak[row] = max(tails.peak[row], min(score, 1e6))
            tails.quiet[row] = 0
        elif tails.peak[row] > 0:
            tails.quiet[row] += 1
            if tails.quiet[row] >= QUIET:
                if tails.peak[row] < HIGH:
                    tails.episodes[row] += 1
                    tails.excess[row] += log(tails.peak[row] / LOW)
                tails.peak[row] = 0
        if tails.weeks[row] > _MEMORY_WEEKS:
            tails.weeks[row] /= 2
            tails.episodes[row] /= 2
            tails.excess[row] /= 2


@compiled
def _slope(episodes: float, excess: float, usual: float) -> float:
    most = -np.inf
    for slope in _GRID:
        most = max(most, _likelihood(slope, episodes, excess, usual))
    weight, total = 0.0, 0.0
    for slope in _GRID:
        one = exp(_likelihood(slope, episodes, excess, usual) - most)
        weight, total = weight + one, total + one * log(slope)
    return exp(total / weight)


@compiled
def _likelihood(slope: float, episodes: float, excess: float, usual: float) -> float:
    apart = log(slope / usual) / _SPREAD
    density = episodes * log(slope / (1.0 - _RATIO**-slope)) - slope * excess
    return density - 0.5 * apart * apart


@compiled
def _rate(episodes: float, weeks: float, usual: float, usual_weeks: float, slope: float) -> float:
    """Return how many episodes over `LOW` there are a week, those that reach `HIGH` by chance included."""
    seen = 1.0 - _RATIO**-slope
    return (episodes + usual_weeks * usual * seen) / (weeks + usual_weeks) / seen


@compiled_without_gil
def _thresholds(
    tails: Tails,
    rows: IntArray | NumberArray,
    per_week: FloatArray,
    usual_rate: float,
    usual_slope: float,
    usual_weeks: float,
    found: FloatArray,
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        episodes, excess, weeks = float(tails.episodes[row]), float(tails.excess[row]), float(tails.weeks[row])
        slope = _slope(episodes, excess, usual_slope)
        rate = _rate(episodes, weeks, usual_rate, usual_weeks, slope)
        at = LOW * (rate / (_STRICT * per_week[i])) ** (1.0 / slope)
        found[i] = min(max(at, LEAST), MOST)
