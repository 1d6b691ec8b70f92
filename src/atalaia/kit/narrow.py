"""Whole numbers in as few bytes as their range needs: times of one minute in milliseconds take two, not eight.

Numbers are kept as multiples of a unit above the smallest of them; where all are the same, nothing is kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS = (1_000_000, 1_000)
"""Units to try: seconds and milliseconds, in microseconds."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """Whole numbers: ``smallest + unit * multiples``.

    Attributes
    ----------
    multiples
        Unsigned and as small as can be; None where all numbers are the smallest.
    """

    smallest: int
    unit: int
    multiples: NDArray[Any] | None


def narrow(numbers: NDArray[Any], units: tuple[int, ...] = ()) -> Narrow:
    """Return `numbers` in few bytes; `units` are tried in their order."""
    if not len(numbers):
        return Narrow(0, 1, None)
    smallest, largest = int(numbers.min()), int(numbers.max())
    if smallest == largest:
        return Narrow(smallest, 1, None)
    if largest - smallest > np.iinfo(numbers.dtype).max:
        return Narrow(0, 1, numbers)  # their differences would overflow
    above = numbers - numbers.dtype.type(smallest) if smallest else numbers
    for unit in units:
        multiples = above // unit
        if bool((multiples * unit == above).all()):
            return Narrow(smallest, unit, _fitting(multiples, (largest - smallest) // unit))
    return Narrow(smallest, 1, _fitting(above, largest - smallest))


def widen(packed: Narrow, size: int, kind: type[Any]) -> NDArray[Any]:
    """Return the numbers that `packed` keeps, as an array of `size` numbers of a kind."""
    if packed.multiples is None:
        return np.full(size, packed.smallest, kind)
    wide = packed.multiples.astype(kind)
    if packed.unit != 1:
        wide *= packed.unit
    if packed.smallest:
        wide += packed.smallest
    return wide


def _fitting(multiples: NDArray[Any], largest: int) -> NDArray[Any]:
    return multiples.astype(np.min_scalar_type(largest), copy=False)
