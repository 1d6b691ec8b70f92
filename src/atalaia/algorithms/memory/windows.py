"""How far the newest window of a series is from the windows that it knows."""

from math import sqrt

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.algorithms.memory.columns import (
    DAYS,
    FILLED,
    LENGTHS,
    LONGEST,
    PERIOD,
    SAME_TIME_LENGTHS,
    SEEN,
    SLOT,
    SLOTS,
    Columns,
    SingleArray,
)
from atalaia.core.points import FloatArray

LEAST_WINDOWS = 20
"""A bank with fewer windows says nothing."""

_ASIDE = 2
"""Slots before and after the same time of a day that are looked at too."""


@compiled_inline
def newest(c: Columns, row: int, back: int) -> float:
    """Return the value `back` points before the present one, which is not in the ring yet; `back` is at least 1."""
    return c.recent[row, (c.marks[row, SEEN] - back) % LONGEST]


@compiled
def bank_distances(c: Columns, row: int, z: float, sums: SingleArray, out: FloatArray) -> None:
    """Write for each of `LENGTHS` how far the window that ends with `z` is from the three nearest of the bank.

    The distance is the root of the mean squared difference, NaN where there is nothing to compare with. Windows
    that share points with it are left out.
    """
    out[: len(LENGTHS)] = np.nan
    # What an artefact claims is not trusted: compiled loops do not look where they write.
    filled, seen = min(c.marks[row, FILLED], c.bank.shape[2]), c.marks[row, SEEN]
    if filled < LEAST_WINDOWS or seen < LONGEST - 1:
        return
    sums[:filled] = 0.0
    at = 0
    for back in range(LONGEST):
        value = np.float32(z) if back == 0 else np.float32(newest(c, row, back))
        known = c.bank[row, back]
        for b in range(filled):
            difference = value - known[b]
            sums[b] += difference * difference
        if back + 1 == LENGTHS[at]:
            out[at] = _nearest_three(c, row, seen, LENGTHS[at], sums, filled)
            at += 1


@compiled
def _nearest_three(c: Columns, row: int, seen: int, length: int, sums: SingleArray, filled: int) -> float:
    first = second = third = np.inf
    for b in range(filled):
        x = sums[b]
        if x < third and seen - c.born[row, b] >= length:
            if x < first:
                first, second, third = x, first, second
            elif x < second:
                second, third = x, second
            else:
                third = x
    total, count = 0.0, 0
    for x in (first, second, third):
        if x < np.inf:
            total += x
            count += 1
    return sqrt(total / count / length) if count else np.nan


@compiled
def same_time_distances(c: Columns, row: int, z: float, slot: int, out: FloatArray) -> None:
    """Write for each of `SAME_TIME_LENGTHS` how far the window is from the second nearest at the same time of day.

    Compared are windows of the `DAYS` days before that end up to two slots before or after the same time.
    """
    shapes = len(LENGTHS)
    out[shapes : shapes + len(SAME_TIME_LENGTHS)] = np.nan
    period, seen = c.marks[row, PERIOD], c.marks[row, SEEN]
    longest = SAME_TIME_LENGTHS[1]
    if period == 0 or seen < longest:
        return
    short_first = short_second = long_first = long_second = np.inf
    for day in range(1, DAYS + 1):
        for aside in range(-_ASIDE, _ASIDE + 1):
            back = day * period + aside
            if back < longest or back + longest > SLOTS:
                continue
            total = short = 0.0
            for i in range(longest):
                value = z if i == 0 else newest(c, row, i)
                total += (value - c.slots[row, (slot - back - i) % SLOTS]) ** 2
                if i + 1 == SAME_TIME_LENGTHS[0]:
                    short = total
            if short < short_second:  # NaN, where there was no value, is not
                short_first, short_second = min(short, short_first), max(short, short_first)
            if total < long_second:
                long_first, long_second = min(total, long_first), max(total, long_first)
    if long_first < np.inf:
        out[shapes] = sqrt((short_second if short_second < np.inf else short_first) / SAME_TIME_LENGTHS[0])
        out[shapes + 1] = sqrt((long_second if long_second < np.inf else long_first) / longest)


@compiled
def keep_in_bank(c: Columns, row: int, windows: int, chance: float, place: float) -> None:
    """Let the window that ends with the newest value join the bank, with the chance that it has among all.

    Parameters
    ----------
    chance, place
        Numbers between 0 and 1, which decide.
    """
    filled, seen = c.marks[row, FILLED], c.marks[row, SEEN]
    if seen < LONGEST:
        return
    if filled < windows:
        at = filled
        c.marks[row, FILLED] = filled + 1
    elif chance < windows / min(seen, 15_000):
        at = int(place * windows)
    else:
        return
    for back in range(LONGEST):
        c.bank[row, back, at] = c.recent[row, (seen - 1 - back) % LONGEST]
    c.born[row, at] = seen - 1


@compiled
def keep_in_slots(c: Columns, row: int, z: float, slot: int) -> None:
    """Write a value at its time; times without a value in between get the one before."""
    last = c.times[row, SLOT]
    if c.marks[row, SEEN] > 1 and last < slot:
        before = c.slots[row, last % SLOTS]
        for missed in range(max(last + 1, slot - SLOTS), slot):
            c.slots[row, missed % SLOTS] = before
    c.slots[row, slot % SLOTS] = z
    c.times[row, SLOT] = slot
