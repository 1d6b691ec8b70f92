"""From which evidence on there is an alarm: what is kept is a number of false alarms a week.

Points of an alarm come together, so that shares of points say little about alarms. What is watched is the largest
evidence of each block of 30 points. Its upper half is taken for exponential, and the threshold is where one block
in so many is by chance. The quantiles that say so, 50 % and 80 %, hardly notice a few blocks with real anomalies;
a block in alarm teaches nothing, unless such blocks are so many that they are no exception.
"""

from math import log, sqrt
from typing import Protocol

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.local_time import WEEK_US
from atalaia.algorithms.memory.columns import (
    BLOCK_BINS,
    BLOCK_MOST,
    BLOCK_POINTS,
    BLOCK_WEIGHT,
    STEP,
    STRANGE,
    THRESHOLD,
    Pace,
    SingleArray,
)
from atalaia.core.points import FloatArray, IntArray

BLOCK = 30
FIRST_THRESHOLD = 45.0
"""While fewer than 8 blocks are known."""

_LEAST_THRESHOLD = 12.0
_FEW = 8.0
_LOW, _HIGH = 0.5, 0.8
_SPREAD = log((1 - _LOW) / (1 - _HIGH))
_LEAST_SLOPE = 0.3
_MEMORY = 4000.0
_PER_ROOT = 8.0
_EXCEPTION, _SHARE_BLOCKS = 0.05, 100.0


class Blocks(Protocol):
    """Columns with a budget."""

    @property
    def blocks(self) -> SingleArray:
        """float32[m, `BLOCK_BINS`]."""
        ...

    @property
    def budget(self) -> FloatArray:
        """float64[m, 4]."""
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
def watch(c: Blocks, p: Pace, row: int, evidence: float) -> None:
    """Take the evidence of one more point; at the end of a block find the threshold anew."""
    c.budget[row, BLOCK_MOST] = max(c.budget[row, BLOCK_MOST], evidence)
    c.marks[row, BLOCK_POINTS] += 1
    if c.marks[row, BLOCK_POINTS] < BLOCK:
        return
    most, threshold = c.budget[row, BLOCK_MOST], c.budget[row, THRESHOLD]
    c.marks[row, BLOCK_POINTS], c.budget[row, BLOCK_MOST] = 0, 0.0
    weight = c.budget[row, BLOCK_WEIGHT]
    strange = most >= threshold and weight >= _FEW
    share = c.budget[row, STRANGE]
    share += ((1.0 if strange else 0.0) - share) / min(weight + 1.0, _SHARE_BLOCKS)
    c.budget[row, STRANGE] = share
    if strange and share < _EXCEPTION:
        return
    place = min(max(int(_PER_ROOT * sqrt(min(most, threshold))), 0), BLOCK_BINS - 1)  # NaN is below 0
    c.blocks[row, place] += 1.0
    c.budget[row, BLOCK_WEIGHT] = weight + 1.0
    if weight + 1.0 > _MEMORY:
        c.budget[row, BLOCK_WEIGHT] /= 2.0
        for i in range(BLOCK_BINS):
            c.blocks[row, i] /= 2.0
    if weight + 1.0 >= _FEW:
        c.budget[row, THRESHOLD] = max(_threshold(c, p, row), _LEAST_THRESHOLD)


@compiled
def _threshold(c: Blocks, p: Pace, row: int) -> float:
    chance = p.per_week * BLOCK * c.times[row, STEP] / WEEK_US
    if chance >= 1 - _HIGH:
        return _quantile(c, row, max(1 - chance, _LOW))
    low, high = _quantile(c, row, _LOW), _quantile(c, row, _HIGH)
    slope = max((high - low) / _SPREAD, _LEAST_SLOPE) * (1.0 + 1.0 / sqrt(c.budget[row, BLOCK_WEIGHT]))
    return high + slope * log((1 - _HIGH) / chance)


@compiled
def _quantile(c: Blocks, row: int, share: float) -> float:
    wanted, below = share * c.budget[row, BLOCK_WEIGHT], 0.0
    for i in range(BLOCK_BINS):
        count = c.blocks[row, i]
        if below + count >= wanted and count > 0.0:
            return _square((i + (wanted - below) / count) / _PER_ROOT)
        below += count
    return _square(BLOCK_BINS / _PER_ROOT)


@compiled_inline
def _square(x: float) -> float:
    return x * x
