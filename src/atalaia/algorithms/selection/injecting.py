"""Anomalies put into a copy of a history: where they were put is the label.

Sizes are drawn in units of the series: the geometric mean of its noise (how far neighbours are apart) and its
spread (how far all values are). So an anomaly stands out of the noise, but may lie inside the range of a season.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.spread import median_and_mad, robust_scale, usable
from atalaia.core.points import FloatArray

KINDS = ("spike_up", "spike_down", "level", "slope", "flat", "season")
"""Lone points too high, or too low; a level that jumps and comes back; one that creeps away; a value that stays;
a season that is lost, or comes at the wrong time."""

SLOT_POINTS = 40
"""Each anomaly has so many points at least for itself and for the calm around it."""

_SPIKES = (4.0, 16.0)
_LEVELS = (3.0, 9.0)
_SLOPES = (4.0, 12.0)
_MOST_POINTS = 64
_ROOT_2 = 1.4142135623730951


@dataclass(frozen=True, slots=True)
class Event:
    """An anomaly that was put in: its kind, and its first and last point."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Injected:
    """A copy of some values, float64[n], with `events` in it; it differs from them nowhere else."""

    values: FloatArray
    events: tuple[Event, ...]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """bool[n], which points belong to an event."""
        marks = np.zeros(len(self.values), np.bool_)
        for event in self.events:
            marks[event.first : event.last + 1] = True
        return marks


@dataclass(frozen=True, slots=True)
class Nature:
    """What is known of a series before anomalies are put into it.

    Attributes
    ----------
    unit
        Size of what neither is noise nor stands out by itself; 0.0 of a constant series.
    period
        Points after which it repeats itself, 0 where it does not.
    """

    unit: float
    period: int


def nature_of(values: FloatArray, period: int = 0) -> Nature:
    """Return the nature of a series that repeats itself after `period` points, 0 where it does not."""
    known = values[usable(values)]
    if len(known) < 2:
        return Nature(0.0, period)
    spread = median_and_mad(known)[1]
    noise = robust_scale(np.abs(np.diff(known))) / _ROOT_2
    # A series that seldom moves has no noise, and one that seldom leaves its level no spread.
    unit = float(np.sqrt(noise) * np.sqrt(spread)) if noise > 0.0 and spread > 0.0 else max(noise, spread)
    return Nature(unit, period)


def room(points: int) -> int:
    """Return how many anomalies `points` points have room for, at most one of each kind."""
    return min(points // SLOT_POINTS, len(KINDS))


def inject(values: FloatArray, kinds: Sequence[str], nature: Nature, rng: np.random.Generator) -> Injected:
    """Return a copy of `values` with one anomaly of each of `kinds`, as far as they have room for them.

    Kinds that would change nothing are left out: a flat line where the values stay the same, a lost season where
    there is none, and all in a constant series. Values that are missing stay so.

    Parameters
    ----------
    values
        float64[n].
    kinds
        Out of `KINDS`.
    nature
        Of the history that `values` go on from.
    """
    changed = np.array(values, np.float64)
    order: list[str] = [kinds[int(i)] for i in rng.permutation(len(kinds))][: len(values) // SLOT_POINTS]
    events: list[Event] = []
    for position, kind in enumerate(order):
        slot = len(values) // len(order)
        length = _length(kind, slot, nature, rng)
        calm = slot - length
        first = position * slot + calm // 4 + int(rng.integers(0, calm // 2 + 1))
        part = slice(first, first + length)
        strange = _strange(kind, values, part, nature, rng)
        moved = usable(values[part]) & usable(strange) & (strange != values[part])
        if moved.any():
            inside = np.flatnonzero(moved)
            changed[part] = np.where(moved, strange, values[part])
            events.append(Event(kind, first + int(inside[0]), first + int(inside[-1])))
    return Injected(changed, tuple(events))


def _length(kind: str, slot: int, nature: Nature, rng: np.random.Generator) -> int:
    if kind.startswith("spike"):
        return int(rng.integers(1, 4))
    half = slot // 2
    if kind == "season":
        return min(max(nature.period // 2, 8), half)
    return int(rng.integers(min(8, half), min(_MOST_POINTS, half) + 1))


def _strange(kind: str, values: FloatArray, part: slice, nature: Nature, rng: np.random.Generator) -> FloatArray:
    """Return what stands in place of ``values[part]``."""
    inside = values[part]
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if kind == "spike_up":
        return inside + _size(_SPIKES, nature, rng)
    if kind == "spike_down":
        return inside - _size(_SPIKES, nature, rng)
    if kind == "level":
        return inside + sign * _size(_LEVELS, nature, rng)
    if kind == "slope":
        return inside + sign * _size(_SLOPES, nature, rng) * np.arange(1, len(inside) + 1) / len(inside)
    if kind == "flat":
        known = inside[usable(inside)]
        return np.full(len(inside), known[0] if len(known) else np.nan)
    if kind != "season":
        raise ValueError(f"{kind!r} is not a kind of anomaly")
    return _without_season(values, part, nature, lost=sign > 0)


def _without_season(values: FloatArray, part: slice, nature: Nature, *, lost: bool) -> FloatArray:
    """Return the values of half a period later or earlier, or their level with the steps from point to point."""
    inside = values[part]
    if nature.period < 4:
        return inside
    known = values[usable(values)]
    if lost and len(known):
        usual = _moving_mean(values, max(nature.period // 4, 3))
        return inside - usual[part] + float(np.median(known))
    away = nature.period // 2
    begin = part.start + away if part.stop + away <= len(values) else part.start - away
    return values[begin : begin + len(inside)] if begin >= 0 else inside


def _moving_mean(values: FloatArray, width: int) -> FloatArray:
    known = usable(values)
    summed: FloatArray = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counted = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(len(values)) - width // 2, 0)
    last = np.minimum(first + width, len(values))
    return (summed[last] - summed[first]) / np.maximum(counted[last] - counted[first], 1)


def _size(sizes: tuple[float, float], nature: Nature, rng: np.random.Generator) -> float:
    """Return a size, as often between the smallest and its double as between any other and its double."""
    return nature.unit * exp(rng.uniform(log(sizes[0]), log(sizes[1])))
