"""How the last points of a series look: together, from one to the next, and in how they scatter."""

from math import log

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.streaming.columns import (
    CHANGE,
    EVIDENCE_EXCESS,
    EVIDENCE_SHARE,
    JUMP_PAST,
    JUMP_UNIT,
    LAST_REST,
    LAST_SCALES,
    LIMIT,
    MEAN,
    OWN_PAST,
    OWN_UNIT,
    RECENT,
    SHIFT_PAST,
    SHIFT_UNIT,
    SPREAD_PAST,
    SPREAD_UNIT,
    USUAL,
    Columns,
    Pace,
)
from atalaia.algorithms.streaming.judging import FORGOTTEN_US
from atalaia.algorithms.streaming.learning import (
    EVIDENCE_START,
    EVIDENCE_WEIGHT,
    FIRST_EVIDENCE_EXCESS,
    FIRST_EVIDENCE_SHARE,
    MOST_EVIDENCE,
    PER_HOUR,
    USUAL_POINTS,
    beyond,
    clip,
    said_after,
    tail_after,
    time_weight,
    unit_after,
    unit_weight,
    usual_after,
)

# How far a point counts, in scales.
_RECENT_CLIP = 4.0
_MEAN_CLIP = 8.0
_STEP_CLIP = 8.0

# What a point weighs in the level of the last hour, in the mean of the last few, and in that of the squared steps.
_RECENT_WEIGHT = 1.0 / 12.0
_MEAN_WEIGHT = 0.2
_CHANGE_WEIGHT = 0.05
_MANY = 1 << 30

# Units that views have at first, which are those of white noise.
_OWN, _SHIFT, _JUMP, _SPREAD = 1.0, 0.33, 1.4, 0.35

# A constant series has no units of its own; small steps of a coarse one are no jumps.
_LEAST = 1e-3
_LEAST_SPREAD = 0.02
_LEAST_JUMP = 0.1


@compiled
def begin_looking(c: Columns, p: Pace, row: int) -> None:
    """Write what the views of a series know at first."""
    for column in range(c.views.shape[1]):
        c.views[row, column] = 0.0
    c.views[row, OWN_UNIT], c.views[row, SHIFT_UNIT] = _OWN, _SHIFT
    c.views[row, JUMP_UNIT], c.views[row, SPREAD_UNIT] = _JUMP, _SPREAD
    look_anew(c, p, row)


@compiled
def look_anew(c: Columns, p: Pace, row: int) -> None:
    """Forget the last points and the tail of all evidence; keep what is usual."""
    forget(c, row, 0.0, 0.0)
    c.views[row, CHANGE] = 1.0
    share, excess = FIRST_EVIDENCE_SHARE, FIRST_EVIDENCE_EXCESS
    c.views[row, EVIDENCE_SHARE], c.views[row, EVIDENCE_EXCESS] = share, excess
    c.views[row, LIMIT] = beyond(share, excess, EVIDENCE_START, 0.0, MOST_EVIDENCE, p.rarity)


@compiled
def forget(c: Columns, row: int, rest: float, scales: float) -> None:
    """Forget what was recent; the last point shall have been off by `rest`."""
    for column in range(OWN_PAST, MEAN + 1):
        c.views[row, column] = 0.0
    c.views[row, LAST_REST], c.views[row, LAST_SCALES] = rest, scales


@compiled_inline
def count_evidence(c: Columns, p: Pace, row: int, evidence: float, points: int) -> None:
    """Let the limit learn from all evidence of a point."""
    tail = c.views[row, EVIDENCE_SHARE], c.views[row, EVIDENCE_EXCESS], c.views[row, LIMIT]
    tail = tail_after(*tail, evidence, points, EVIDENCE_WEIGHT, EVIDENCE_START, 0.0, MOST_EVIDENCE, p.rarity)
    c.views[row, EVIDENCE_SHARE], c.views[row, EVIDENCE_EXCESS], c.views[row, LIMIT] = tail


@compiled_inline
def look(
    c: Columns, row: int, rest: float, own: float, off: float, elapsed: int, points: int, learns: bool
) -> None:
    """Let the views see a point.

    Parameters
    ----------
    rest, own
        How far it is from what level and seasons expect, and the scale, in units of the series.
    off
        How many usual deviations it is from what was expected.
    points
        How many points the series is learnt from.
    learns
        Whether what is usual may learn from it.
    """
    views, scales = c.views, rest / own
    if elapsed >= FORGOTTEN_US:
        forget(c, row, rest, scales)
    mean = views[row, MEAN] + _MEAN_WEIGHT * (clip(scales, _MEAN_CLIP) - views[row, MEAN])
    step = clip(scales - views[row, LAST_SCALES], _STEP_CLIP)
    change = views[row, CHANGE] + _CHANGE_WEIGHT * (step * step - views[row, CHANGE])
    jump, seen = abs(rest - views[row, LAST_REST]), log(np.float32(change + 1e-6))
    usual = usual_after(views[row, USUAL], seen, points) if learns else float(views[row, USUAL])
    spread = abs(seen - views[row, USUAL]) if points > USUAL_POINTS else 0.0
    shift = abs(mean)
    a, b, c_ = views[row, SHIFT_UNIT], max(views[row, JUMP_UNIT], _LEAST_JUMP * own), views[row, SPREAD_UNIT]
    per_all = 1.0 / (a * b * c_)
    views[row, OWN_PAST] = said_after(views[row, OWN_PAST], off)
    views[row, SHIFT_PAST] = said_after(views[row, SHIFT_PAST], shift * (b * c_ * per_all))
    views[row, JUMP_PAST] = said_after(views[row, JUMP_PAST], jump * (a * c_ * per_all))
    views[row, SPREAD_PAST] = said_after(views[row, SPREAD_PAST], spread * (a * b * per_all))
    weight = time_weight(elapsed, PER_HOUR, _RECENT_WEIGHT, _MANY)
    views[row, RECENT] += weight * (clip(scales, _RECENT_CLIP) - views[row, RECENT])
    views[row, MEAN], views[row, LAST_REST], views[row, LAST_SCALES], views[row, CHANGE] = (
        mean,
        rest,
        scales,
        change,
    )
    if learns:
        weight = unit_weight(points)
        views[row, OWN_UNIT] = unit_after(views[row, OWN_UNIT], off * views[row, OWN_UNIT], weight, _LEAST)
        views[row, SHIFT_UNIT] = unit_after(views[row, SHIFT_UNIT], shift, weight, _LEAST)
        views[row, JUMP_UNIT] = unit_after(views[row, JUMP_UNIT], jump, weight, 0.0)
        views[row, SPREAD_UNIT] = unit_after(views[row, SPREAD_UNIT], spread, weight, _LEAST_SPREAD)
        views[row, USUAL] = usual
