"""The loops over moments: what the relations leave of each sensor, and how strange that is."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled, compiled_without_gil
from atalaia.core.points import FloatArray, IntArray

MOST_DEVIATION = 1e9
"""Readings farther from the mean than so many standard deviations count as this."""

MOST_STRANGE = 1e6
"""No sensor is stranger: the fourth power of this is still a number like others."""

MOST_WIDENING = 3.0
"""A band grows to so many times its width at most, so that all sensors failing at once are no new state."""

LEAST_LEFT = 1e-12
"""Of the precision of a sensor is left at least this share, whatever is missing and however it is rounded."""

POWER = 4
"""The score is the mean of this power of what was strangest at each of the last moments."""


class Known(NamedTuple):
    """What was learnt of k sensors, and where they stand; the arrays of a state.

    Attributes
    ----------
    mean, scale
        float64[k]: of the readings; NaN for a sensor that was not learnt.
    precision
        float64[k, k]: inverse of the covariance, see `Sums.solve`.
    limit
        float64[k]: what the mean of the last residuals may be away from its level, in scales.
    gain
        float64[k]: how much of it the level follows.
    level
        float64[k]: where the mean of the last residuals usually is.
    residuals, readings
        float64[m, k]: the last m, the moments in turn; NaN where missing. In scales.
    powers
        float64[h]: of what was strangest at the last h moments, in turn.
    seen
        int64[1]: moments that were scored.
    distrust
        How much wider the bands are where the others never were, see `widening`.
    """

    mean: FloatArray
    scale: FloatArray
    precision: FloatArray
    limit: FloatArray
    gain: FloatArray
    level: FloatArray
    residuals: FloatArray
    readings: FloatArray
    powers: FloatArray
    seen: IntArray
    distrust: float


@compiled
def _mark_missing(z: FloatArray, learnt: NDArray[np.bool_], missing: NDArray[np.bool_]) -> bool:
    """Write which learnt sensors are missing, and return whether these are others than `missing` said before."""
    changed = False
    for i in range(len(z)):
        absent = learnt[i] and math.isnan(z[i])
        changed = changed or absent != missing[i]
        missing[i] = absent
    return changed


@compiled
def leave_out(precision: FloatArray, missing: NDArray[np.bool_], half: FloatArray) -> int:
    """Prepare to tell sensors without those that are missing, and return how many these are.

    The precision of the others is then ``precision - half.T @ half`` (Schur's complement); `half`, float64[k, k],
    gets a row for each missing sensor.
    """
    sensors, count = len(missing), 0
    for j in range(sensors):
        if not missing[j]:
            continue
        square = precision[j, j]
        for b in range(count):
            square -= half[b, j] * half[b, j]
        root = math.sqrt(max(square, LEAST_LEFT * precision[j, j]))
        for i in range(sensors):
            total = precision[j, i]
            for b in range(count):
                total -= half[b, j] * half[b, i]
            half[count, i] = total / root
        count += 1
    return count


@compiled
def residuals_of(precision: FloatArray, z: FloatArray, half: FloatArray, count: int, residuals: FloatArray) -> None:
    """Write what the others leave of each sensor of `z`, NaN where it is NaN; see `leave_out` for the middle two.

    With sensors missing the others foretell worse. A residual is divided by how much its spread grows by that, so
    that one limit holds for all.
    """
    sensors = len(z)
    for i in range(sensors):
        residuals[i] = 0.0
    for j in range(sensors):
        if not math.isnan(z[j]):
            for i in range(sensors):
                residuals[i] += precision[j, i] * z[j]
    for a in range(count):
        shared = 0.0
        for j in range(sensors):
            shared += 0.0 if math.isnan(z[j]) else half[a, j] * z[j]
        for i in range(sensors):
            residuals[i] -= half[a, i] * shared
    for i in range(sensors):
        whole = left = precision[i, i]
        for a in range(count):
            left -= half[a, i] * half[a, i]
        left = max(left, LEAST_LEFT * whole)
        residuals[i] = np.nan if math.isnan(z[i]) else residuals[i] / (left * math.sqrt(whole / left))


@compiled_without_gil
def residuals_over(precision: FloatArray, z: FloatArray, residuals: FloatArray) -> None:
    """Write to `residuals` what the others leave of each sensor at n moments; both are float64[n, k]."""
    sensors = z.shape[1]
    half, missing, count = np.empty((sensors, sensors)), np.zeros(sensors, np.bool_), 0
    every = np.ones(sensors, np.bool_)
    for t in range(len(z)):
        if _mark_missing(z[t], every, missing):
            count = leave_out(precision, missing, half)
        residuals_of(precision, z[t], half, count, residuals[t])


@compiled
def _mean_of_column(ring: FloatArray, column: int) -> tuple[float, int]:
    """Return the mean of what is known in a column, and how much that is."""
    total, count = 0.0, 0
    for row in range(len(ring)):
        if not math.isnan(ring[row, column]):
            total += ring[row, column]
            count += 1
    return total / max(count, 1), count


@compiled_without_gil
def means_over(residuals: FloatArray, points: int, means: FloatArray) -> None:
    """Write to `means` the mean of the last residuals at n moments, as `pass_over` takes it.

    A mean of fewer than `points` residuals is made smaller, as if its spread fell with their number.
    """
    ring = np.full((points, residuals.shape[1]), np.nan)
    for t in range(len(residuals)):
        ring[t % points] = residuals[t]
        for i in range(residuals.shape[1]):
            mean, count = _mean_of_column(ring, i)
            means[t, i] = np.nan if math.isnan(residuals[t, i]) else mean * math.sqrt(count / points)


@compiled
def widening(distance: float, others: int, distrust: float) -> float:
    """Return by how much a band grows when the other sensors are where they never were.

    A relation holds where it was learnt. `distance` is the squared distance of the others from their mean, by their
    covariance; in the history it is as large as their number on average.
    """
    beyond = max(distance / max(others, 1) - 1.0, 0.0)
    return min(math.sqrt(1.0 + distrust * beyond), MOST_WIDENING)


@compiled
def _judge(known: Known, z: FloatArray, left: FloatArray, parts: FloatArray) -> int:
    """Write how strange each sensor of the last moment is, let levels follow, and return which is strangest.

    `z` is the moment in scales; `left` is room for the mean of the last residuals.
    """
    sensors, points = len(z), len(known.residuals)
    distance, there, strangest = 0.0, 0, -1
    for i in range(sensors):
        if not math.isnan(z[i]):
            left[i] = _mean_of_column(known.residuals, i)[0]
            distance += _mean_of_column(known.readings, i)[0] * left[i] * known.precision[i, i]
            there += 1
    for i in range(sensors):
        if math.isnan(z[i]):
            continue
        away = left[i] - known.level[i]
        others = distance - left[i] * left[i] * known.precision[i, i]
        few = math.sqrt(points / _mean_of_column(known.residuals, i)[1])
        allowed = known.limit[i] * few * widening(others, there - 1, known.distrust)
        parts[i] = min(abs(away) / allowed, MOST_STRANGE)
        if strangest < 0 or parts[i] > parts[strangest]:
            strangest = i
        if parts[i] <= 1.0:  # what is strange teaches nothing
            known.level[i] += known.gain[i] * away
    return strangest


@compiled
def pass_over(
    known: Known, values: FloatArray, score: FloatArray, sensor: NDArray[np.int32], parts: FloatArray
) -> None:
    """Score moments one after another, and move `known` along; the last three arrays are filled, of no opinion."""
    sensors, points, hold = values.shape[1], len(known.residuals), len(known.powers)
    half, missing, count = np.empty((sensors, sensors)), np.zeros(sensors, np.bool_), 0
    z, left, learnt = np.empty(sensors), np.empty(sensors), ~np.isnan(known.mean)
    for t in range(len(values)):
        for i in range(sensors):
            z[i] = (values[t, i] - known.mean[i]) / known.scale[i]
            if not math.isnan(z[i]):
                z[i] = min(max(z[i], -MOST_DEVIATION), MOST_DEVIATION)
        if np.isnan(z).all():
            continue
        if _mark_missing(z, learnt, missing):
            count = leave_out(known.precision, missing, half)
        place = known.seen[0] % points
        residuals_of(known.precision, z, half, count, known.residuals[place])
        known.readings[place] = z
        sensor[t] = _judge(known, z, left, parts[t])
        known.powers[known.seen[0] % hold] = parts[t, sensor[t]] ** POWER
        known.seen[0] += 1
        score[t] = (known.powers.sum() / hold) ** (1.0 / POWER)
