"""What the views of a series say of one point, as the series stands."""

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.memory.columns import (
    CENTRE,
    PROFILE,
    SCALE,
    STEP,
    THRESHOLD,
    VIEWS,
    Batch,
    Columns,
    Found,
    SingleArray,
)
from atalaia.algorithms.memory.rarity import evidence
from atalaia.algorithms.memory.windows import bank_distances, same_time_distances
from atalaia.core.points import FloatArray

_MOST_Z = 1e12
_MOST_SCORE = 1e6

_PER_SCORE, _MOST_TOLD, _PER_EVIDENCE = 10.0, 10.0, 3.0
"""A score of the profile counts as so much evidence, no score as more than that of so much, and all of them as no
more than so many times how rare such scores are: what the profile says every day at noon is not believed."""


@compiled_inline
def in_units(c: Columns, row: int, value: float) -> float:
    """Return a value as the windows hold it."""
    return min(max((value - c.levels[row, CENTRE]) / c.levels[row, SCALE], -_MOST_Z), _MOST_Z)


@compiled_inline
def slot_of(c: Columns, row: int, local: int) -> int:
    """Return the slot of a wall-clock moment."""
    return local // max(int(c.times[row, STEP]), 1)


@compiled
def measure(c: Columns, row: int, z: float, slot: int, told: float, sums: SingleArray, x: FloatArray) -> None:
    """Write what each view measures of a point, NaN where it says nothing.

    Parameters
    ----------
    z, slot, told
        The value in units of the windows, its slot, and what the profile scores it.
    sums
        float32[windows], scratch.
    x
        float64[`VIEWS`].
    """
    bank_distances(c, row, z, sums, x)
    same_time_distances(c, row, z, slot, x)
    x[PROFILE] = told


@compiled
def add_up(c: Columns, row: int, x: FloatArray, said: FloatArray) -> float:
    """Write the evidence of each view; return that of all."""
    total = 0.0
    for view in range(VIEWS):
        said[view] = 0.0
        if x[view] == x[view]:
            said[view] = evidence(c, row, view, x[view])
            if view == PROFILE:
                said[view] = min(_PER_SCORE * min(x[view], _MOST_TOLD), _PER_EVIDENCE * said[view])
            total += said[view]
    return total


@compiled
def decides(said: FloatArray, told_part: int) -> int:
    """Return which view says most; the profile takes part where it says that the point is strange."""
    best = 0
    for view in range(1, PROFILE):
        if said[view] > said[best]:
            best = view
    return PROFILE + told_part if said[PROFILE] > max(said[best], _PER_SCORE) else best


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
        z, slot = in_units(c, row, value), slot_of(c, row, batch.local[i])
        measure(c, row, z, slot, batch.told[i], sums, x)
        total = add_up(c, row, x, found.evidence[i])
        part = decides(found.evidence[i], batch.told_part[i])
        found.score[i], found.part[i] = score_of(c, row, total), part
