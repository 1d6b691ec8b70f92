"""How rare a number is among those that a view of a series had: a histogram with an exponential tail."""

from math import log, log2
from typing import Protocol

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.memory.columns import BINS, EXCESS, TAIL, UNIT, WEIGHT, SingleArray
from atalaia.core.points import FloatArray

FEW = 30.0
"""Fewer points say nothing about what is rare."""

MOST_EVIDENCE = 30.0
"""No view says more: one that never varied would otherwise decide alone."""

_LOWEST = 12
_PER_OCTAVE = 4
_TAIL_SHARE = 0.05
_LOG_TAIL = -log(_TAIL_SHARE)
_LEAST_EXCESS = 0.05
_MOST_EXCESSES = 6.0
_MEMORY = 15_000.0


class Histograms(Protocol):
    """Columns with a histogram for each view."""

    @property
    def counts(self) -> SingleArray:
        """float32[m, views, `BINS`]."""
        ...

    @property
    def tails(self) -> FloatArray:
        """float64[m, views, 4]."""
        ...


@compiled_inline
def _place(x: float) -> float:
    """Return in which bin a multiple of the unit is, with its fraction."""
    if not x > 1e-9:  # NaN neither, which as an index would lead out of the array
        return 0.0
    return min(max((log2(x) + _LOWEST) * _PER_OCTAVE, 0.0), BINS - 1e-6)


@compiled_inline
def _edge(place: float) -> float:
    """Return the multiple of the unit that is at a place."""
    return 2.0 ** (place / _PER_OCTAVE - _LOWEST)


@compiled
def evidence(c: Histograms, row: int, view: int, x: float) -> float:
    """Return the negative logarithm of the share of points with at least `x`, 0 while it is unknown.

    Over the value that 5 % of the points exceed, excesses are taken for exponential.
    """
    weight, unit = c.tails[row, view, WEIGHT], c.tails[row, view, UNIT]
    if weight < FEW:
        return 0.0
    if unit == 0.0:
        return min(log(2.0 * (weight + 1.0)), MOST_EVIDENCE) if x > 0.0 else 0.0
    x /= unit
    tail = c.tails[row, view, TAIL]
    if x > tail > 0.0:
        return min(_LOG_TAIL + (x - tail) / c.tails[row, view, EXCESS], MOST_EVIDENCE)
    place = _place(x)
    first = int(place)
    above = c.counts[row, view, first] * (1.0 - (place - first))
    for i in range(first + 1, BINS):
        above += c.counts[row, view, i]
    return -log((above + 0.5) / (weight + 1.0))


@compiled
def reach(c: Histograms, row: int, view: int, said: float) -> float:
    """Return the number that has so much evidence, NaN while it is unknown; `said` is that of 5 % or more."""
    weight, unit, tail = c.tails[row, view, WEIGHT], c.tails[row, view, UNIT], c.tails[row, view, TAIL]
    if weight < FEW or (unit > 0.0 and tail == 0.0):
        return np.nan
    return unit * (tail + c.tails[row, view, EXCESS] * max(said - _LOG_TAIL, 0.0))


@compiled
def remember(c: Histograms, row: int, view: int, x: float) -> None:
    """Let a view know of one more number; what is far in the tail counts as if it was nearer."""
    if c.tails[row, view, UNIT] == 0.0 and x > 0.0:
        c.tails[row, view, UNIT] = x
    unit, tail = c.tails[row, view, UNIT], c.tails[row, view, TAIL]
    x = x / unit if unit > 0.0 else 0.0
    if tail > 0.0:
        x = min(x, tail + _MOST_EXCESSES * c.tails[row, view, EXCESS])
    c.counts[row, view, int(_place(x))] += 1.0
    c.tails[row, view, WEIGHT] += 1.0
    if c.tails[row, view, WEIGHT] > _MEMORY:
        c.tails[row, view, WEIGHT] /= 2.0
        for i in range(BINS):
            c.counts[row, view, i] /= 2.0


@compiled
def measure_tail(c: Histograms, row: int, view: int) -> None:
    """Find anew where the tail begins, and how far it reaches on average."""
    wanted, above, first = _TAIL_SHARE * c.tails[row, view, WEIGHT], 0.0, BINS - 1
    while first > 0 and above + c.counts[row, view, first] < wanted:
        above += c.counts[row, view, first]
        first -= 1
    share = (wanted - above) / max(c.counts[row, view, first], 1e-9)
    begin = _edge(first + 1.0 - share)
    weight = total = 0.0
    for i in range(first, BINS):
        middle = _edge(i + 0.5)
        if middle > begin:
            weight += c.counts[row, view, i]
            total += c.counts[row, view, i] * (middle - begin)
    c.tails[row, view, TAIL] = begin
    c.tails[row, view, EXCESS] = max(total / weight if weight > 0.0 else 0.0, _LEAST_EXCESS * begin)
