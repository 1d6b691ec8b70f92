"""What all metrics of a service say together, where no graph tells which one matters."""

import numpy as np

from atalaia.core.points import FloatArray, IntArray

_FEW_SERVICES = 3
"""A metric that fewer services have is compared with what other metrics show, not with itself."""
_WHOLE = 0.2
"""Scales below which even the furthest move of a metric is no whole vote: chance has a furthest move, too."""


def shares(scales: FloatArray, metrics: IntArray, services: IntArray) -> FloatArray:
    """Return how far each series moved, as a part of the furthest move of its metric in the same direction.

    Parameters
    ----------
    scales
        float64[m], signed; see `Shifts.scales`.
    metrics, services
        int64[m], of which metric and of which service each is, from 0 on.
    """
    if not len(scales):
        return np.zeros(0)
    count = int(metrics.max()) + 1
    lonely = _services_of_each(metrics, services, count) < _FEW_SERVICES
    found = np.zeros(len(scales))
    for side in (1.0, -1.0):
        far = np.maximum(side * scales, 0.0)
        largest = np.zeros(count)
        np.maximum.at(largest, metrics, far)
        moved = largest[largest > 0]
        if not len(moved):
            continue
        largest = np.maximum(np.where(lonely, np.maximum(largest, np.median(moved)), largest), _WHOLE)
        found = np.maximum(found, np.divide(far, largest[metrics], out=np.zeros(len(far)), where=far > 0))
    return found


def vote(parts: FloatArray, metrics: IntArray, services: IntArray, count: int) -> FloatArray:
    """Return a score of each of `count` services from the parts of their series, 1.0 for the highest.

    Of a metric that a service has several times the largest part counts. Services with many metrics have more
    votes, but not in proportion: they are noise as well.
    """
    score = np.zeros(count)
    if not len(parts):
        return score
    order = np.lexsort((-parts, metrics, services))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(services[order]) != 0) | (np.diff(metrics[order]) != 0)
    chosen = order[first]
    np.add.at(score, services[chosen], parts[chosen])
    votes = np.maximum(np.bincount(services[chosen], minlength=count), 1)
    score /= np.sqrt(votes)
    most = float(score.max(initial=0.0))
    return score / most if most > 0 else score


def _services_of_each(metrics: IntArray, services: IntArray, count: int) -> IntArray:
    pairs = np.unique(np.stack([metrics, services]), axis=1)
    return np.bincount(pairs[0], minlength=count)
