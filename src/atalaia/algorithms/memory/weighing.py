"""What the views of a series say of one point, as the series stands."""

from math import log

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.memory.columns import (
    CENTRE,
    FAST_LEVEL,
    LAST_DEVIATION,
    LEVEL,
    SCALE,
    SPREAD,
    SPREADS,
    SQUARES,
    STEP,
    THRESHOLD,
    USUAL_SPREAD,
    VIEWS,
    Batch,
    Columns,
    Found,
    SingleArray,
)
from atalaia.algorithms.memory.rarity import evidence
from atalaia.algorithms.memory.windows import bank_distances, same_time_distances
from atalaia.core.points import FloatArray

SPREAD_POINTS = 20
"""Points whose steps make the spread."""

PER_BAND = 6.0
"""Deviations are counted in sixths of a band, which are scales of the profile while nothing made its band wider."""

LEVEL_CLIP, STEP_CLIP = 4.0, 8.0
"""Deviations and steps teach as if they were no larger."""

_MOST_Z = 1e12
_MOST_SCORE = 1e6


@compiled_inline
def clip(x: float, most: float) -> float:
    """Return `x`, or where it is farther from 0 than `most`, what is just as far."""
    return min(max(x, -most), most)


@compiled_inline
def in_units(c: Columns, row: int, value: float) -> float:
    """Return a value as the windows hold it."""
    return clip((value - c.levels[row, CENTRE]) / c.levels[row, SCALE], _MOST_Z)


@compiled_inline
def slot_of(c: Columns, row: int, local: int) -> int:
    """Return the slot of a wall-clock moment."""
    return local // max(int(c.times[row, STEP]), 1)


@compiled
def squares_after(c: Columns, row: int, q: float) -> float:
    """Return the sum of the last squared steps after a deviation of `q`."""
    step = clip(q - c.levels[row, LAST_DEVIATION], STEP_CLIP)
    gone = c.steps[row, c.marks[row, SPREADS] % SPREAD_POINTS]
    return max(c.levels[row, SQUARES] - gone + step * step, 0.0)


@compiled_inline
def spread_of(squares: float) -> float:
    """Return the logarithm of the mean squared step."""
    return log(squares / SPREAD_POINTS + 1e-6)


@compiled
def measure(c: Columns, row: int, z: float, q: float, slot: int, sums: SingleArray, x: FloatArray) -> None:
    """Write what each view measures of a point, NaN where it says nothing.

    Parameters
    ----------
    z, q, slot
        The value in units of the windows, its deviation from the expected in bands, and its slot.
    sums
        float32[windows], scratch.
    x
        float64[`VIEWS`].
    """
    bank_distances(c, row, z, sums, x)
    same_time_distances(c, row, z, slot, x)
    x[LEVEL] = x[SPREAD] = np.nan
    if not abs(q) < np.inf:
        return
    x[LEVEL] = abs(q - c.levels[row, FAST_LEVEL])
    if c.marks[row, SPREADS] >= SPREAD_POINTS:
        x[SPREAD] = abs(spread_of(squares_after(c, row, q)) - c.levels[row, USUAL_SPREAD])


@compiled
def add_up(c: Columns, row: int, x: FloatArray, said: FloatArray) -> float:
    """Write the evidence of each view, and return that of all."""
    total = 0.0
    for view in range(VIEWS):
        said[view] = 0.0
        if x[view] == x[view]:
            said[view] = evidence(c, row, view, x[view])
            total += said[view]
    return total


@compiled
def decides(said: FloatArray) -> int:
    """Return which view says most."""
    best = 0
    for view in range(1, VIEWS):
        if said[view] > said[best]:
            best = view
    return best


@compiled_inline
def score_of(c: Columns, row: int, total: float) -> float:
    """Return the score of a point with so much evidence."""
    return min(total / c.budget[row, THRESHOLD], _MOST_SCORE)


@compiled
def weigh(c: Columns, batch: Batch, found: Found) -> None:
    """Write what n points are worth as their series stand, which stay as they are."""
    x, sums = np.empty(VIEWS), np.empty(c.bank.shape[2], np.float32)
    for i in range(len(batch.rows)):
        row, value = batch.rows[i], batch.values[i]
        found.score[i], found.part[i] = np.nan, 0
        if c.levels[row, SCALE] == 0.0 or value != value:
            continue
        q = PER_BAND * (value - batch.expected[i]) / batch.allowed[i]
        measure(c, row, in_units(c, row, value), q, slot_of(c, row, batch.local[i]), sums, x)
        total = add_up(c, row, x, found.evidence[i])
        found.score[i], found.part[i] = score_of(c, row, total), decides(found.evidence[i])
