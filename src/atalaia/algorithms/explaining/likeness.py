"""How alike two episodes are: the values around their peaks, as deviations from what is usual for their series."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from atalaia.algorithms.detectors.spread import median_and_mad
from atalaia.core.points import FloatArray

BEFORE, AFTER = 16, 16
"""Points before and after a peak that make its shape."""

SLACK = 8
"""Peaks may lie so many points apart inside two shapes that are alike."""

_LEAST = 8
_MOST = 1e6


def scaled(values: FloatArray) -> FloatArray:
    """Return the values of a series as deviations from its median, in multiples of its usual deviation."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(len(values))
    most = max(float(np.abs(known).max()), 1e-300)
    x = np.nan_to_num(values / most, nan=float(np.median(known / most)), posinf=1.0, neginf=-1.0)
    centre, spread = median_and_mad(x)
    spread = spread or float(np.abs(x - centre).mean()) or 1.0
    return np.clip((x - centre) / spread, -_MOST, _MOST)


def likeness(x: FloatArray, place: int, other: FloatArray, other_place: int) -> float | None:
    """Return how alike the shapes of two episodes are, from 0.0 to 1.0.

    That is 1 less the distance of the two windows, in parts of the lengths of both, where they lie best on each
    other; so it is 1.0 for the same shape, and a half or less for one that goes the other way.

    Parameters
    ----------
    x, other
        Scaled series, see `scaled`.
    place, other_place
        Positions of the peaks in them.

    Returns
    -------
    float or None
        None when fewer than 8 points are known around either peak.
    """
    start = max(0, place - BEFORE)
    shape = x[start : place + AFTER]
    first = max(0, other_place - (place - start) - SLACK)
    around = other[first : other_place - (place - start) + SLACK + len(shape)]
    length = min(len(shape), len(around))
    if length < _LEAST:
        return None
    shape = shape[:length]
    windows = sliding_window_view(around, length)
    lengths = np.linalg.norm(windows, axis=1) + float(np.linalg.norm(shape))
    distances = np.linalg.norm(windows - shape, axis=1)
    apart = np.divide(distances, lengths, out=np.zeros(len(windows)), where=lengths > 0)
    return float(1.0 - apart.min())
