"""The score of the Numenta Anomaly Benchmark.

Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark", ICMLA 2015.
Each labelled window gives its detector up to one point, the more the earlier it is detected; a window without a
detection costs, and so does a detection outside, the less the nearer it is behind a window. One threshold over
all files is chosen, the best for the detector. 0 is a detector that says nothing, 100 a perfect one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.evaluation.intervals import Marks, runs
from atalaia.core.points import FloatArray

PROBATION_SHARE, MOST_PROBATION_POINTS = 0.15, 750
"""The first points of a file, which are not scored: so much of it, and of no more than 5,000 points."""


_CATEGORIES = frozenset({
    "artificialNoAnomaly", "artificialWithAnomaly", "realAWSCloudwatch", "realAdExchange", "realKnownCause",
    "realTraffic", "realTweets",
})  # fmt: skip


def is_file_of_nab(data: str, series: str) -> bool:
    """Return whether a series is one of NAB, by its set, or by how NAB names its files."""
    return data == "nab" or series.partition("__")[0] in _CATEGORIES


@dataclass(frozen=True, slots=True)
class Profile:
    """What the kinds of mistakes cost."""

    false_positive: float
    false_negative: float


STANDARD = Profile(0.11, 1.0)
LOW_FALSE_POSITIVES = Profile(0.22, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """One file: scores in any unit, float64[n], and its labelled windows, bool[n]."""

    scores: FloatArray
    windows: Marks


def probation(points: int) -> int:
    """Return how many points of a file of so many are not scored."""
    return int(PROBATION_SHARE * min(points, MOST_PROBATION_POINTS / PROBATION_SHARE))


def nab_score(files: Sequence[Detections], profile: Profile = STANDARD) -> float:
    """Return the normalised score over `files`, at the threshold that is best for it; NaN without a window."""
    scores, gains, window_of, windows = _worth(files, profile)
    if not windows:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    best = total = -profile.false_negative * windows
    reached: dict[int, float] = {}
    for place, i in enumerate(order):
        gain, window = float(gains[i]), int(window_of[i])
        if window < 0:
            total += gain
        else:
            before = reached.get(window, -profile.false_negative)
            reached[window] = max(before, gain)
            total += reached[window] - before
        if place + 1 == len(order) or scores[order[place + 1]] != scores[i]:
            best = max(best, total)
    worst = -profile.false_negative * windows
    return 100.0 * (best - worst) / (windows - worst)


def _worth(files: Sequence[Detections], profile: Profile) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """Return for each scored point of all files its score, what a detection there gives, and its window or -1."""
    parts: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    windows = 0
    for file in files:
        first = probation(len(file.scores))
        gains, window_of = _gains(file.windows, profile)
        counted = window_of[first:]
        named = np.unique(counted[counted >= 0])
        window_of = np.where(window_of >= 0, np.searchsorted(named, window_of) + windows, -1)
        windows += len(named)
        parts.append((np.asarray(file.scores, np.float64)[first:], gains[first:], window_of[first:]))
    if not parts:
        return np.empty(0), np.empty(0), np.empty(0), 0
    scores, gains, window_of = (np.concatenate([part[i] for part in parts]) for i in range(3))
    known = np.isfinite(scores)
    return scores[known], gains[known], window_of[known], windows


def _gains(windows: Marks, profile: Profile) -> tuple[FloatArray, FloatArray]:
    """Return what a detection at each point of a file gives, and which window it is in, or -1."""
    starts, ends = runs(windows)
    gains = np.full(len(windows), -profile.false_positive)
    window_of = np.full(len(windows), -1)
    for k in range(len(starts)):
        start, end = int(starts[k]), int(ends[k])
        following = int(starts[k + 1]) if k + 1 < len(starts) else len(windows)
        width = end - start + 1
        if width > 1:
            behind = np.arange(end + 1, following, dtype=np.float64)
            gains[end + 1 : following] = profile.false_positive * _sigmoid((behind - end) / (width - 1))
        inside = np.arange(start, end + 1, dtype=np.float64)
        gains[start : end + 1] = _sigmoid((inside - end - 1) / width) / _sigmoid(np.array(-1.0))
        window_of[start : end + 1] = k
    return gains, window_of


def _sigmoid(position: FloatArray) -> FloatArray:
    """Return the scale from 1 (a window's begin, -1) over 0 (its end) to -1 (three widths behind it)."""
    return np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)
