"""When a series has lapsed: it sends nothing any more, or one value again and again, as it never did for so long.

Limits are learnt from the running statistics of each series. They are infinite where too little is known, or where
the series has no habit that could be broken.
"""

import numpy as np

from atalaia.algorithms.running import Running
from atalaia.core.points import FloatArray, IntArray

LEAST_POINTS = 200
"""With fewer points nothing is known of the habits of a series."""
_STEADY = 0.25
"""Distances that scatter more than this have no regular step."""
_STEPS = 10.0
_MORE = 1.5
"""So much longer than the longest known silence is too long."""
_LEAST_FLAT_POINTS = 2_000
_MORE_FLAT = 8.0


def silence_limits(running: Running, waits_us: IntArray, least_us: float) -> FloatArray:
    """Return float64[m], after how many microseconds without a point each series has fallen silent.

    Parameters
    ----------
    waits_us
        int64[m], the longest time between two arrivals: points may come in batches.
    least_us
        No series falls silent sooner.
    """
    usual = np.maximum(_STEPS * running.step_us, _MORE * np.maximum(running.gap_us, waits_us))
    steady = (running.count >= LEAST_POINTS) & (running.unsteady <= _STEADY)
    return np.where(steady, np.maximum(usual, least_us), np.inf)


def flat_limits(running: Running, least: int) -> FloatArray:
    """Return float64[m], after how many repetitions of one value in a row each series has gone flat.

    Parameters
    ----------
    least
        No series goes flat sooner.
    """
    known = running.count - running.flat >= np.maximum(_LEAST_FLAT_POINTS, 4 * running.flat)
    return np.where(known, np.maximum(_MORE_FLAT * running.flat_usual, least), np.inf)
