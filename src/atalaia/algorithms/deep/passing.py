"""The loops around the networks: windows before they are asked, and what their answers say and teach."""

from math import isfinite, sqrt

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.deep.columns import CENTRE, DEVIATION, SCALE, Batch, Columns, Found, Stretches
from atalaia.algorithms.deep.networks import JUDGED, LENGTH, MOST, SingleArray
from atalaia.algorithms.memory.budget import FIRST_THRESHOLD, watch
from atalaia.algorithms.memory.columns import ACCEPTED, ALARM, CALM, LAST, LEARNT, SEEN, STEP, THRESHOLD, Pace
from atalaia.algorithms.memory.passing import turn
from atalaia.algorithms.memory.rarity import evidence, measure_tail, reach, remember
from atalaia.algorithms.streaming.judging import least_scale

WARM_UP = 64
"""Points that tell the scale of a series that has no history."""

_LIMIT = 1e140
_MOST_Z = 1e6
_FIRST_MOST = 10.0
_TAIL_EVERY = 50

_KEPT, _LEFT_OUT, _SETTLED = 0, 1, 2
"""A point joins the window; it does not; the level moves to it, and the window is flat there."""

_WORTH = 4.0
"""The budget is made for the evidence of several views; the one of a network counts as so many."""


@compiled
def begin(c: Columns, row: int, centre: float, scale: float, step_us: int) -> None:
    """Write what a series knows before its first window."""
    c.levels[row, CENTRE], c.levels[row, SCALE] = centre, max(scale, least_scale(centre))
    c.times[row, STEP] = max(step_us, 1)
    c.budget[row, THRESHOLD] = FIRST_THRESHOLD


@compiled
def _warm_up(c: Columns, row: int, value: float, moment: int) -> bool:
    """Take one of the first points; return whether it was the last of them."""
    seen = c.marks[row, SEEN] + 1
    apart = value - c.levels[row, CENTRE]
    c.levels[row, CENTRE] += apart / seen
    if seen > 1:
        c.levels[row, DEVIATION] += (abs(apart) - c.levels[row, DEVIATION]) / (seen - 1)
        c.times[row, STEP] += (moment - c.times[row, LAST] - c.times[row, STEP]) // (seen - 1)
    c.marks[row, SEEN], c.times[row, LAST] = seen, moment
    if seen < WARM_UP:
        return False
    c.marks[row, SEEN] = 0
    begin(c, row, c.levels[row, CENTRE], c.levels[row, DEVIATION], c.times[row, STEP])
    return True


@compiled_inline
def _in_scales(c: Columns, row: int, value: float) -> float:
    z = (value - c.levels[row, CENTRE]) / c.levels[row, SCALE]
    return min(max(z, -_MOST_Z), _MOST_Z) if z == z else 0.0


@compiled_inline
def _is_new(c: Columns, row: int, value: float, moment: int, last: int) -> bool:
    return abs(value) <= _LIMIT and (moment > last or c.points[row] == 0)


@compiled
def show(c: Columns, foretells: bool, batch: Batch, stretches: Stretches, windows: SingleArray) -> None:
    """Write the windows of points, as if each point joined them.

    What foretells is shown the points before, and what restores the point itself too.
    """
    ring = np.empty(LENGTH, np.float32)
    for s in range(len(stretches.first)):
        first, k = int(stretches.first[s]), int(stretches.place[s])
        row = batch.rows[first]
        if c.levels[row, SCALE] == 0.0:
            continue
        seen, last = int(c.marks[row, SEEN]), int(c.times[row, LAST])
        ring[:] = c.recent[row]
        for i in range(first, int(stretches.end[s])):
            z = np.float32(_in_scales(c, row, batch.values[i]))
            oldest = seen if foretells else seen + 1
            for j in range(LENGTH):
                windows[k, j] = ring[(oldest + j) % LENGTH]
            if not foretells:
                windows[k, LENGTH - 1] = z
            k += 1
            if _is_new(c, row, batch.values[i], batch.timestamps[i], last):
                ring[seen % LENGTH] = z
                seen, last = seen + 1, batch.timestamps[i]


@compiled
def _weigh(
    c: Columns, foretells: bool, batch: Batch, i: int, window: SingleArray, answer: SingleArray, found: Found
) -> None:
    """Write the error of a point as its series stands, and the one that is allowed; NaN where nothing is known."""
    found.expected[i] = found.allowed[i] = found.error[i] = found.most[i] = np.nan
    row, value = batch.rows[i], batch.values[i]
    scale = c.levels[row, SCALE]
    if scale == 0.0 or c.marks[row, SEEN] < LENGTH:
        return
    most = reach(c, row, 0, c.budget[row, THRESHOLD] / _WORTH)
    most = max(most if most == most else _FIRST_MOST, least_scale(c.levels[row, CENTRE]) / scale)
    if foretells:
        expected = c.levels[row, CENTRE] + scale * (window[LENGTH - 1] + answer[0])
        if isfinite(expected):
            found.expected[i], found.allowed[i], found.most[i] = expected, scale * most, most
            found.error[i] = abs(min(max(value, -_LIMIT), _LIMIT) - expected) / scale
        return
    newest = (min(max(value, -_LIMIT), _LIMIT) - c.levels[row, CENTRE]) / scale - answer[LENGTH - 1]
    total = newest * newest
    for j in range(LENGTH - JUDGED, LENGTH - 1):
        apart = min(max(window[j], -MOST), MOST) - answer[j]
        total += apart * apart
    if isfinite(total):
        found.error[i], found.most[i] = sqrt(total / JUDGED), most


@compiled
def _is_loud(foretells: bool, batch: Batch, i: int, found: Found) -> bool:
    if foretells:
        value, expected, allowed = batch.values[i], found.expected[i], found.allowed[i]
        return value > expected + allowed or value < expected - allowed
    return found.error[i] > found.most[i]


@compiled
def weigh(
    c: Columns, foretells: bool, batch: Batch, windows: SingleArray, answers: SingleArray, found: Found
) -> None:
    """Write what n points are worth as their series stand, which stay as they are."""
    for i in range(len(batch.rows)):
        _weigh(c, foretells, batch, i, windows[i], answers[i], found)


@compiled
def _teach(c: Columns, row: int, error: float) -> None:
    remember(c, row, 0, error)
    c.marks[row, LEARNT] += 1
    if c.marks[row, LEARNT] % _TAIL_EVERY == 0:
        measure_tail(c, row, 0)


@compiled
def pass_over(
    c: Columns,
    p: Pace,
    foretells: bool,
    batch: Batch,
    stretches: Stretches,
    windows: SingleArray,
    answers: SingleArray,
    found: Found,
) -> None:
    """Weigh and learn points, in their order, each stretch as far as the windows and answers are good for it."""
    for s in range(len(stretches.first)):
        first, end, place = int(stretches.first[s]), int(stretches.end[s]), int(stretches.place[s])
        i, k, row, left_out = first, place, batch.rows[first], False
        while i < end:
            value, moment = batch.values[i], batch.timestamps[i]
            if not left_out:
                k = place + i - first
            _weigh(c, foretells, batch, i, windows[k], answers[k], found)
            found.onset[i], found.alarm[i] = False, c.state[row] != CALM
            i += 1
            if not _is_new(c, row, value, moment, c.times[row, LAST]):
                continue
            c.points[row] += 1
            if c.levels[row, SCALE] == 0.0:
                if _warm_up(c, row, value, moment):
                    break
                continue
            kept = _learn(c, p, foretells, batch, i - 1, found)
            if kept == _SETTLED or left_out and kept == _KEPT:
                break
            left_out = kept == _LEFT_OUT
        stretches.done[s] = i


@compiled
def _learn(c: Columns, p: Pace, foretells: bool, batch: Batch, i: int, found: Found) -> int:
    """Let a new point teach its series; return what became of it.

    What an outage foretells would be nothing usual: its points are left out of the window, which stands still.
    """
    row, error, moment = batch.rows[i], found.error[i], batch.timestamps[i]
    z, before = _in_scales(c, row, batch.values[i]), c.state[row]
    c.times[row, LAST] = moment
    if error == error:
        loud = _is_loud(foretells, batch, i, found)
        found.onset[i] = turn(c, p, row, 2.0 if loud else 0.0, moment)
        now = c.state[row]
        found.alarm[i] = now != CALM
        watch(c, p, row, _WORTH * evidence(c, row, 0, error))
        if now != ALARM:
            _teach(c, row, error)
        elif foretells and loud:
            return _LEFT_OUT
        if before == ALARM and now == ACCEPTED:
            c.levels[row, CENTRE] += c.levels[row, SCALE] * z
            c.recent[row, :] = 0.0
            return _SETTLED
    c.recent[row, c.marks[row, SEEN] % LENGTH] = z
    c.marks[row, SEEN] += 1
    return _KEPT
