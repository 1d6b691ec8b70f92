"""Peers that score a stream point by point, from what came before."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from atalaia.algorithms.evaluation.contest import Judge, Judged, Stretch
from atalaia.algorithms.evaluation.events import thresholds
from atalaia.algorithms.evaluation.intervals import alerts
from atalaia.algorithms.local_time import HOUR_US, WEEK_US
from atalaia.core.points import FloatArray

_MODELS = 18
_LAGS = 5
_SMOOTH = 3
_KMEANS_ROUNDS = 20
_SAMPLE = 1000
_LEAST_WINDOW = 120


def with_threshold(scores_of: Callable[[FloatArray, float, int], FloatArray]) -> Judge:
    """Return a peer whose threshold is set on its history, as users of it would.

    It is the lowest one over which the history has no more alerts than the budget allows, and at least one: a peer
    that promises nothing can only be set by what it did before.

    Parameters
    ----------
    scores_of
        From all values, the distance of two points in microseconds, and how many points are history, to the scores
        of all.
    """

    def judge(past: Stretch, future: Stretch, per_week: float) -> Judged:
        values = filled(np.concatenate([past.values, future.values]))
        scores = scores_of(values, past.step_us, len(past))
        known = scores[: len(past)]
        allowed = max(1.0, per_week * len(past) * past.step_us / WEEK_US)
        return Judged(scores[len(past) :], _threshold(known[np.isfinite(known)], allowed))

    return judge


def filled(values: FloatArray) -> FloatArray:
    """Return the values with the one before in place of each that is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))
    return np.where(known[last], values[last], values[np.argmax(known)])


def _threshold(scores: FloatArray, allowed: float) -> float:
    """Return the lowest of some thresholds such that neither it nor a higher one has more alerts than allowed."""
    lowest = float("inf")
    for threshold in thresholds(scores):
        if len(alerts(scores > threshold)[0]) > allowed:
            break
        lowest = float(threshold)
    return lowest


def netdata(values: FloatArray, step_us: float, past: int) -> FloatArray:
    """Return scores as Netdata's agent makes them: the consensus of 18 models, each of six hours.

    Points become vectors of five lagged, smoothed differences. Every three hours two centres (k-means) are learnt
    from the six hours before; a point is as strange as it is to the model that knows it best, in multiples of the
    99 % distance of that model's own six hours (learn.netdata.cloud, "Machine learning").
    """
    features = _lagged(np.convolve(np.diff(values, prepend=values[0]), np.ones(_SMOOTH) / _SMOOTH)[: len(values)])
    width = max(int(6 * HOUR_US / step_us), _LEAST_WINDOW)
    scores = np.full(len(values), np.nan)
    models: list[tuple[FloatArray, float]] = []
    for start in range(0, len(values), max(width // 2, 1)):
        block = slice(start, start + max(width // 2, 1))
        if models:
            scores[block] = np.min([_from(features[block], centres) / scale for centres, scale in models], axis=0)
        known = features[max(block.stop - width, 0) : block.stop]
        centres = _two_means(known)
        scale = float(np.quantile(_from(known, centres), 0.99))
        models = [*models, (centres, max(scale, 1e-12))][-_MODELS:]
    return scores


def _lagged(x: FloatArray) -> FloatArray:
    return sliding_window_view(np.concatenate([np.zeros(_LAGS), x]), _LAGS + 1)[:, 1:]


def _two_means(points: FloatArray) -> FloatArray:
    order = np.linspace(0, len(points) - 1, min(_SAMPLE, len(points))).astype(np.int64)
    sample = points[order]
    size = np.abs(sample).sum(axis=1)
    centres = np.stack([sample[size.argmin()], sample[size.argmax()]])
    for _ in range(_KMEANS_ROUNDS):
        nearest = np.square(sample[:, None] - centres).sum(axis=2).argmin(axis=1)
        for k in range(2):
            if bool((nearest == k).any()):
                centres[k] = sample[nearest == k].mean(axis=0)
    return centres


def _from(points: FloatArray, centres: FloatArray) -> FloatArray:
    return np.sqrt(np.square(points[:, None] - centres).sum(axis=2)).mean(axis=1)


def grafana(values: FloatArray, step_us: float, past: int) -> FloatArray:
    """Return scores as Grafana's adaptive band makes them: the distance from an hour's mean in a day's deviations.

    The mean of the last hour, and twice the standard deviation of the last 26 hours as the band
    (grafana/promql-anomaly-detection).
    """
    hour, long = (max(int(span / step_us), 2) for span in (HOUR_US, 26 * HOUR_US))
    means, squares = _trailing(values, hour), _trailing(values, long)
    deviation = np.sqrt(np.maximum(_trailing(values**2, long) - squares**2, 0.0))
    floor = max(float(np.nanmedian(deviation)) * 0.1, 1e-12)
    return np.abs(values - means) / np.maximum(2 * deviation, floor)


def _trailing(x: FloatArray, width: int) -> FloatArray:
    """Return the mean of the points before each, at most `width` of them."""
    sums = np.concatenate([[0.0], np.cumsum(x)])
    end = np.arange(len(x))
    start = np.maximum(end - width, 0)
    with np.errstate(invalid="ignore"):
        return (sums[end] - sums[start]) / (end - start)


def robust_z(values: FloatArray, step_us: float, past: int) -> FloatArray:
    """Return the distance from the median of the history, in median absolute deviations."""
    level = float(np.median(values[:past])) if past else 0.0
    spread = float(np.median(np.abs(values[:past] - level))) if past else 0.0
    return np.abs(values - level) / max(spread, abs(level) * 1e-6, 1e-12)


CAUSAL_PEERS: dict[str, Judge] = {
    "peer:netdata": with_threshold(netdata),
    "peer:grafana": with_threshold(grafana),
    "peer:robust_z": with_threshold(robust_z),
}
