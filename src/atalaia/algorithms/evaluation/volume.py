"""VUS-PR: the volume under the precision-recall surface.

Paparrizos et al., "Volume under the surface: a new accuracy evaluation measure for time-series anomaly detection",
VLDB 2022; computed as the TSB-AD benchmark does (Liu and Paparrizos, NeurIPS 2024), with 250 thresholds and a
tolerance of up to one period around each event.
"""

import numpy as np

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.evaluation.intervals import Marks, runs
from atalaia.core.points import FloatArray, IntArray

LEVELS = 250
"""Thresholds, from the highest score to the lowest."""


def vus_pr(scores: FloatArray, labels: Marks, window: int, levels: int = LEVELS) -> float:
    """Return the VUS-PR of `scores`, 0 to 1.

    Parameters
    ----------
    scores
        float64[n], higher is stranger. No opinion (NaN) counts as the lowest score.
    labels
        bool[n], which points are anomalous.
    window
        Most points of tolerance around an event: the period of the series, see `period`.
    levels
        Number of thresholds.

    Returns
    -------
    float
        NaN if no point is anomalous.
    """
    s = ranked_low(scores)
    starts, ends = runs(labels)
    if not len(starts):
        return float("nan")
    falling = -np.sort(-s)
    thresholds = falling[np.linspace(0, len(s) - 1, levels).astype(int)]
    passed_at = np.searchsorted(-thresholds, -s, side="left")
    predicted = np.searchsorted(-falling, -thresholds, side="right").astype(np.float64)
    areas = np.array([
        _area(passed_at, predicted, starts, ends, tolerance) for tolerance in range(int(window) + 1)
    ])  # fmt: skip
    return float(areas.mean())


def ranked_low(scores: FloatArray) -> FloatArray:
    """Return the scores with NaN replaced by what is lower than all others."""
    s = np.asarray(scores, np.float64)
    known = np.isfinite(s)
    if known.all():
        return s
    lowest = float(s[known].min()) if known.any() else 0.0
    return np.where(known, s, lowest - 1.0)


@compiled
def _area(passed_at: IntArray, predicted: FloatArray, starts: IntArray, ends: IntArray, tolerance: int) -> float:
    """Return the area under the precision-recall curve with labels that fade over `tolerance` points.

    ``passed_at[i]`` is the first threshold that point i reaches, ``predicted[k]`` how many points reach the k-th.
    """
    n, levels, half = len(passed_at), len(predicted), tolerance // 2
    inside, around, seen = np.zeros(levels + 1), np.zeros(levels + 1), np.zeros(levels + 1)
    positives, stretches, first = 0, 0, levels
    done = 0  # points before it have been counted
    for e in range(len(starts)):
        begin, end = max(starts[e] - half, done), min(ends[e] + half, n - 1)
        alone = e == 0 or ends[e - 1] + half < starts[e] - half
        if alone and e > 0:
            seen[first] += 1
            first = levels
        stretches += alone
        positives += ends[e] - starts[e] + 1
        for t in range(max(starts[e] - half, 0), end + 1):
            first = min(first, passed_at[t])
        for t in range(begin, end + 1):
            if starts[e] <= t <= ends[e]:
                inside[passed_at[t]] += 1
            elif e + 1 < len(starts) and t >= starts[e + 1]:
                break  # the next event counts its own points
            else:
                around[passed_at[t]] += _fading(t, e, starts, ends, half, tolerance)
            done = t + 1
    seen[first] += 1
    hits = soft = found = recall = area = 0.0
    for k in range(levels):
        hits, soft, found = hits + inside[k], soft + around[k], found + seen[k]
        reached = min((hits + soft) / (positives + soft / 2), 1.0) * (found / stretches)
        area += (reached - recall) * (hits + soft) / predicted[k]
        recall = reached
    return area


@compiled
def _fading(t: int, event: int, starts: IntArray, ends: IntArray, half: int, tolerance: int) -> float:
    """Return how anomalous a point between events counts: the sum over the events that it is near to, at most 1."""
    total = 0.0
    e = event
    while e < len(starts) and starts[e] - half <= t:  # events behind it
        if t < starts[e]:
            total += np.sqrt(1 - (starts[e] - t) / tolerance)
        e += 1
    e = event
    while e >= 0 and ends[e] + half >= t:  # events before it
        if t > ends[e]:
            total += np.sqrt(1 - (t - ends[e]) / tolerance)
        e -= 1
    return min(total, 1.0)
