"""Readings of the sensors of one asset, brought onto common moments.

Sensors are read at steps of their own, a bit early or late, or for a while not at all. A moment is the time around
a multiple of the usual step: what a sensor shows at it is the mean of its readings there, else its last reading for
as long as that is not too old, else nothing. A moment at which no sensor was read is none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.core.points import MAX_MAGNITUDE, FloatArray, Group, IntArray

MOST_HELD = 10
"""A reading stands for at most so many moments after its own, however seldom its sensor is read."""

NEVER = -1
"""Stands for the time of the last reading of a sensor without one."""

_NEWEST = 10_000
"""Readings of a sensor, the newest, that say how often it is read, and when."""
_LONGEST_US = 366 * 86_400 * 1_000_000
"""No step is taken for longer than a year, so that moments are numbers that can be counted with."""


@dataclass(frozen=True, slots=True, eq=False)
class Pace:
    """How often the k sensors of an asset are read.

    Attributes
    ----------
    step_us
        Time from one moment to the next: the usual step of the sensor in the middle, when they are put in order of
        theirs; of two the shorter one.
    origin_us
        Moments are at this and whole steps from it, so that most readings lie near one, not between two.
    spans
        int64[k], for so many moments, its own included, no later reading of a sensor is to be expected; 0 where
        several fall to one moment.
    holds
        int64[k], for so many moments after its own a reading counts.
    last_us
        int64[k], when each sensor was read last; `NEVER` for none.
    """

    step_us: int
    origin_us: int
    spans: IntArray
    holds: IntArray
    last_us: IntArray

    @staticmethod
    def of(group: Group) -> "Pace":
        """Return how often sensors with such histories are read."""
        steps = np.array([_usual_step(group.series(i)[0]) for i in range(len(group))], np.int64)
        known = np.sort(steps[steps > 0])
        step = int(known[(len(known) - 1) // 2]) if len(known) else 1_000_000
        stamps = [group.series(i)[0][-_NEWEST:] for i in range(len(group))]
        ratio = np.where(steps > 0, steps / step, 1.0)
        return Pace(
            step,
            _origin(stamps, step),
            np.floor(ratio + 0.1).astype(np.int64),
            np.clip(np.ceil(ratio - 0.1), 1, MOST_HELD).astype(np.int64),
            np.array([s[-1] if len(s) else NEVER for s in stamps], np.int64),
        )

    def places(self, timestamps: IntArray) -> IntArray:
        """Return the moment that each time belongs to, as a number that grows with it."""
        return (timestamps - self.origin_us + self.step_us // 2) // self.step_us

    def times(self, places: IntArray) -> IntArray:
        """Return when these moments are, in microseconds."""
        return self.origin_us + places * self.step_us

    def without(self, kept: NDArray[np.intp]) -> "Pace":
        """Return the pace of those sensors alone that are `kept`."""
        return Pace(self.step_us, self.origin_us, self.spans[kept], self.holds[kept], self.last_us[kept])

    def check(self) -> None:
        """Raise ValueError if this is no pace that `of` returns."""
        if not (0 < self.step_us <= _LONGEST_US and 0 <= self.origin_us < self.step_us):
            raise ValueError("the moments have no step")
        if (self.spans < 0).any() or (self.holds < 1).any() or (self.holds > MOST_HELD).any():
            raise ValueError("a sensor has no step")
        if (self.last_us < NEVER).any() or (self.last_us > 2**62).any() or (self.spans > 2**40).any():
            raise ValueError("a sensor was read at no time")


def moments(group: Group, pace: Pace, most: int) -> tuple[IntArray, FloatArray]:
    """Return the newest moments of a history, at most so many.

    Parameters
    ----------
    group
        The readings of the k sensors.

    Returns
    -------
    tuple
        When they are, int64[n], increasing, and what each sensor shows, float64[n, k], NaN where nothing.
    """
    usable = np.abs(group.values) <= MAX_MAGNITUDE
    at, sensors = pace.places(group.timestamps[usable]), group.rows[usable]
    places = np.unique(at)[-most:]
    if not len(places):
        return np.empty(0, np.int64), np.empty((0, len(group)))
    inside = at >= places[0]
    cells = np.searchsorted(places, at[inside]) * len(group) + sensors[inside]
    size = len(places) * len(group)
    counts = np.bincount(cells, minlength=size)
    sums = np.bincount(cells, group.values[usable][inside], minlength=size)
    values = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    values = values.reshape(len(places), len(group))
    hold(places, pace.holds, values)
    return pace.times(places), values


@compiled
def hold(places: IntArray, holds: IntArray, values: FloatArray) -> None:
    """Let readings stand for the moments after theirs at which their sensor was not read."""
    for i in range(values.shape[1]):
        last = -1
        for t in range(len(places)):
            if not np.isnan(values[t, i]):
                last = t
            elif last >= 0 and places[t] - places[last] <= holds[i]:
                values[t, i] = values[last, i]


def _usual_step(timestamps: IntArray) -> int:
    steps = np.diff(timestamps[-_NEWEST:])
    steps = steps[steps > 0]
    return min(int(np.median(steps)), _LONGEST_US) or 1 if len(steps) else 0


def _origin(stamps: Iterable[IntArray], step_us: int) -> int:
    """Return the time after a multiple of the step at which most readings are: their mean on a circle."""
    total = 0.0 + 0.0j
    for one in stamps:
        total += np.exp(2j * pi * ((one % step_us) / step_us)).sum() / max(len(one), 1)
    return int(round(float(np.angle(total)) / (2.0 * pi) * step_us)) % step_us
