"""One pass over points: each is weighed as its series stands, and then it teaches it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled, compiled_inline, compiled_without_gil
from atalaia.algorithms.local_time import DAY_US, HOUR_US
from atalaia.algorithms.memory.budget import FIRST_THRESHOLD, watch
from atalaia.algorithms.memory.columns import (
    ACCEPTED,
    ALARM,
    ALARM_POINTS,
    CALM,
    CALM_POINTS,
    CENTRE,
    DEVIATION,
    LAST,
    LEARNT,
    LONGEST,
    PERIOD,
    SCALE,
    SEEN,
    SINCE,
    SLOTS,
    STEP,
    THRESHOLD,
    VIEWS,
    Batch,
    Columns,
    Found,
    Pace,
)
from atalaia.algorithms.memory.rarity import measure_tail, remember
from atalaia.algorithms.memory.weighing import (
    add_up,
    decides,
    in_units,
    measure,
    score_of,
    slot_of,
)
from atalaia.algorithms.memory.windows import keep_in_bank, keep_in_slots
from atalaia.algorithms.streaming.judging import least_scale
from atalaia.algorithms.streaming.learning import MIN_POINTS
from atalaia.core.points import FloatArray, IntArray

_LIMIT = 1e140
_TAIL_EVERY = 50
_MOST_STEP_US = 2 * HOUR_US


class Turning(Protocol):
    """Columns of series that can be in alarm."""

    @property
    def state(self) -> NDArray[np.int8]:
        """int8[m]."""
        ...

    @property
    def marks(self) -> IntArray:
        """int64[m, 8]."""
        ...

    @property
    def times(self) -> IntArray:
        """int64[m, 4]."""
        ...


@compiled
def begin(c: Columns, row: int, centre: float, scale: float, step_us: int, period: int) -> None:
    """Write what a series knows before its first window."""
    c.levels[row, CENTRE], c.levels[row, SCALE] = centre, scale
    c.times[row, STEP] = step_us
    c.marks[row, PERIOD] = period
    c.budget[row, THRESHOLD] = FIRST_THRESHOLD
    for i in range(SLOTS):
        c.slots[row, i] = np.nan


@compiled
def _warm_up(c: Columns, row: int, value: float, moment: int) -> None:
    """Take one of the first points; the last of them begins."""
    seen = c.marks[row, SEEN] + 1
    deviation = value - c.levels[row, CENTRE]
    c.levels[row, CENTRE] += deviation / seen
    if seen > 1:
        c.levels[row, DEVIATION] += (abs(deviation) - c.levels[row, DEVIATION]) / (seen - 1)
        c.times[row, STEP] += (moment - c.times[row, LAST] - c.times[row, STEP]) // (seen - 1)
    c.marks[row, SEEN], c.times[row, LAST] = seen, moment
    if seen == MIN_POINTS:
        centre, step = c.levels[row, CENTRE], max(c.times[row, STEP], 1)
        scale = max(c.levels[row, DEVIATION], least_scale(centre))
        c.levels[row, DEVIATION], c.marks[row, SEEN] = 0.0, 0
        begin(c, row, centre, scale, step, period_of(step))


@compiled_inline
def period_of(step_us: int) -> int:
    """Return how many slots of so many microseconds a day has, 0 where they are too long or too many."""
    period = int(round(DAY_US / max(step_us, 1)))
    return period if step_us <= _MOST_STEP_US and period + LONGEST <= SLOTS else 0


@compiled_inline
def _chance(count: int, salt: int) -> float:
    """Return a number between 0 and 1 that depends on nothing else (splitmix64, Steele et al., OOPSLA 2014)."""
    x = np.uint64(count * 2 + salt) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((x ^ (x >> np.uint64(31))) >> np.uint64(11)) / 9007199254740992.0


@compiled
def turn(c: Turning, p: Pace, row: int, score: float, moment: int) -> bool:
    """Let an alarm open, last, be accepted or close; return whether one opens."""
    loud, state = score > 1.0, c.state[row]
    c.marks[row, CALM_POINTS] = 0 if loud else min(c.marks[row, CALM_POINTS] + 1, 1 << 30)
    if state == CALM:
        if not loud:
            return False
        c.state[row], c.times[row, SINCE], c.marks[row, ALARM_POINTS] = ALARM, moment, 1
        return True
    c.marks[row, ALARM_POINTS] += 1
    if c.marks[row, CALM_POINTS] >= p.close_points:
        c.state[row] = CALM
    elif state == ALARM:
        lasted = moment - c.times[row, SINCE] >= p.accept_us and c.marks[row, ALARM_POINTS] >= LONGEST
        if lasted or c.marks[row, ALARM_POINTS] >= max(c.marks[row, LEARNT], LONGEST):
            c.state[row] = ACCEPTED
    return False


@compiled
def _teach(c: Columns, p: Pace, row: int, x: FloatArray) -> None:
    """Let the views learn what they measured of a point, and the bank its window."""
    for view in range(VIEWS):
        if x[view] == x[view]:
            remember(c, row, view, x[view])
    learnt = c.marks[row, LEARNT] + 1
    c.marks[row, LEARNT] = learnt
    if learnt % _TAIL_EVERY == 0:
        for view in range(VIEWS):
            measure_tail(c, row, view)
    keep_in_bank(c, row, p.windows, _chance(learnt, 0), _chance(learnt, 1))


@compiled
def pass_over(c: Columns, p: Pace, batch: Batch, found: Found, first: int, end: int) -> None:
    """Weigh and learn some of n points, in their order, under the GIL: for states that others read."""
    x, sums = np.empty(VIEWS), np.empty(c.bank.shape[2], np.float32)
    for i in range(first, end):
        row, moment, value = batch.rows[i], batch.timestamps[i], batch.values[i]
        found.score[i], found.part[i], found.onset[i] = np.nan, 0, False
        found.alarm[i] = c.state[row] != CALM
        if c.levels[row, SCALE] == 0.0:
            if abs(value) <= _LIMIT and (c.marks[row, SEEN] == 0 or moment > c.times[row, LAST]):
                _warm_up(c, row, value, moment)
            continue
        if value != value:
            continue
        z, slot = in_units(c, row, value), slot_of(c, row, batch.local[i])
        measure(c, row, z, slot, batch.told[i], sums, x)
        total = add_up(c, row, x, found.evidence[i])
        score = score_of(c, row, total)
        found.score[i], found.part[i] = score, decides(found.evidence[i], batch.told_part[i])
        if not abs(value) <= _LIMIT or moment <= c.times[row, LAST]:
            continue
        c.times[row, LAST] = moment
        found.onset[i] = turn(c, p, row, score, moment)
        found.alarm[i] = c.state[row] != CALM
        watch(c, p, row, total)
        keep_in_slots(c, row, z, slot)
        c.recent[row, c.marks[row, SEEN] % LONGEST] = z
        c.marks[row, SEEN] += 1
        if c.state[row] != ALARM:
            _teach(c, p, row, x)


@compiled_without_gil
def pass_over_own(c: Columns, p: Pace, batch: Batch, found: Found) -> None:
    """Weigh and learn n points, in their order, while other threads run: for states that nobody else has yet."""
    pass_over(c, p, batch, found, 0, len(batch.rows))
