"""In which order to visit points of many series."""

import numpy as np

from atalaia.algorithms.compiled import compiled
from atalaia.core.points import IntArray

_FEW = 16


def by_series(rows: IntArray, series: int) -> IntArray | None:
    """Return the positions of n points sorted by row, those of one row in the order they have; None if they are.

    What is known of a fleet does not fit into a processor's caches, the points of a tick do. To bring the points
    into the order of the series takes a tenth of the time that is lost by visiting the series in disorder.

    Parameters
    ----------
    rows
        int64[n], 0 to ``series - 1``.
    series
        How many there are.

    Raises
    ------
    IndexError
        If a row is not the position of a series. Compiled loops do not look where they write.
    """
    if not len(rows):
        return None
    if not 0 <= int(rows.min()) <= int(rows.max()) < series:
        raise IndexError("a row is not the position of a series")
    if bool((rows[1:] >= rows[:-1]).all()):
        return None
    # The counting sort looks at every series.
    return np.argsort(rows, kind="stable") if len(rows) * _FEW < series else _counted(rows, series)


@compiled
def _counted(rows: IntArray, series: int) -> IntArray:
    starts = np.zeros(series + 1, np.int64)
    for i in range(len(rows)):
        starts[rows[i] + 1] += 1
    for row in range(series):
        starts[row + 1] += starts[row]
    order = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        order[starts[rows[i]]] = i
        starts[rows[i]] += 1
    return order
