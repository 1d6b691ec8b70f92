"""Values as whole numbers of decimal places: what a sensor sends with four decimals takes two bytes, not eight.

A value of k decimals is the float that is nearest to ``whole / 10**k``, and dividing gives exactly that float
again, since both numbers are exact floats and IEEE 754 rounds a quotient correctly. Each series is taken as a
whole, so that its number of decimals costs nothing; one that does not fit stays as it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray, NumberArray

MAX_DECIMALS = 9
"""More than the decimals of any sensor; numbers that were computed have about 17."""
RAW = -1
"""Stands for the decimals of a value that is not kept as a whole number."""
_POWERS = 10.0 ** np.arange(MAX_DECIMALS + 1)
_LARGEST = 2.0**53
"""Larger whole numbers are not exact as floats."""
_PROBES = 4

DecimalsArray = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Scaled:
    """Values as whole numbers.

    Attributes
    ----------
    whole
        int64[n]; 0 where the value stays as it is.
    decimals
        int8[n], how many decimals each has, `RAW` where the value stays as it is.
    """

    whole: IntArray
    decimals: DecimalsArray


def scale(series: NumberArray, values: FloatArray) -> Scaled:
    """Return `values` as whole numbers where that is exact.

    Parameters
    ----------
    series
        int32[n], the series of each value; those of one series lie together.
    """
    starts = np.flatnonzero(np.r_[True, series[1:] != series[:-1]]) if len(series) else np.empty(0, np.intp)
    counts = np.diff(np.r_[starts, len(series)])
    found = np.full(len(starts), RAW, np.int8)
    whole = np.zeros(len(series), np.int64)
    for decimals in range(MAX_DECIMALS + 1):
        hopeful = np.flatnonzero(found == RAW)
        hopeful = hopeful[_probe(values, starts[hopeful], counts[hopeful], decimals)]
        if not len(hopeful):
            continue
        rows = _rows_of(hopeful, starts, counts, len(series))
        numbers, exact = _numbers(values[rows], decimals)
        bounds = np.cumsum(counts[hopeful]) - counts[hopeful]
        fits = np.logical_and.reduceat(exact, bounds)
        found[hopeful[fits]] = decimals
        whole[rows] = np.where(np.repeat(fits, counts[hopeful]), numbers, 0)
    return Scaled(whole, np.repeat(found, counts))


def unscale(scaled: Scaled, values: FloatArray | None) -> FloatArray:
    """Return the values of `scaled`; where they stayed as they are, they come from `values`."""
    low, high = (int(scaled.decimals.min()), int(scaled.decimals.max())) if len(scaled.decimals) else (0, 0)
    if low == high and low != RAW:
        return scaled.whole / _POWERS[low]
    back = scaled.whole / _POWERS[scaled.decimals]  # the power for RAW is any: it is not used
    return back if values is None else np.where(scaled.decimals == RAW, values, back)


def _probe(values: FloatArray, starts: IntArray, counts: IntArray, decimals: int) -> NDArray[np.bool_]:
    """Say which series may have so many decimals, by a few of their values."""
    fits = np.ones(len(starts), np.bool_)
    for probe in range(_PROBES):
        fits &= _numbers(values[starts + (counts - 1) * probe // (_PROBES - 1)], decimals)[1]
    return fits


def _rows_of(chosen: IntArray, starts: IntArray, counts: IntArray, size: int) -> slice | NDArray[np.intp]:
    if len(chosen) == len(starts):
        return slice(0, size)
    taken = np.zeros(len(starts), np.bool_)
    taken[chosen] = True
    return np.flatnonzero(np.repeat(taken, counts))


def _numbers(values: FloatArray, decimals: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the whole numbers for so many decimals, and which of them are exact."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.rint(values * _POWERS[decimals])
        exact = (numbers / _POWERS[decimals] == values) & (np.abs(numbers) < _LARGEST)
        return numbers.astype(np.int64), exact
