"""The protocol ``whole``: each series is scored looking back at all of it, as the TSB-AD benchmark does."""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite

import numpy as np

from atalaia.algorithms.evaluation.contest import Retrospect
from atalaia.algorithms.evaluation.events import best_f1, sweep
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.evaluation.outcomes import Figures, Outcome, mean_of
from atalaia.algorithms.evaluation.ranking import auc_pr
from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.periods import period

MOST_POINTS = 40_000
"""Longer series are left out, unless more is asked for: most methods take hours for them."""

_MEANS = ("vus_pr", "auc_pr", "event_f1")


def run_whole(
    series: Iterable[Labelled],
    methods: Mapping[str, Retrospect],
    stopwatch: Callable[[], float],
    *,
    progress: Callable[[str, str], None] = lambda name, series: None,
) -> list[Outcome]:
    """Return the figures of each method, and those that others have published for the same series.

    The window of VUS-PR is the period of the series, see `atalaia.algorithms.periods`.

    Parameters
    ----------
    stopwatch
        Gives the CPU seconds that this process has used.

    Returns
    -------
    list[Outcome]
        ``vus_pr``, ``auc_pr`` and ``event_f1`` (at the best threshold of each series) as means over the series
        with a labelled event, ``seconds_per_10k`` in CPU seconds; of published methods ``vus_pr`` alone, called
        ``published:...``, where every series has one.
    """
    found: dict[str, dict[str, Figures]] = {name: {} for name in methods}
    published: dict[str, dict[str, Figures]] = {}
    seconds, points = dict.fromkeys(methods, 0.0), 0
    for method in methods.values():
        method(np.random.default_rng(1).normal(size=400))  # so that what it compiles or loads is not counted
    for one in series:
        points += len(one)
        window = period(one.values[:, 0])
        for name, method in methods.items():
            progress(name, one.name)
            began = stopwatch()
            scores = method(one.values[:, 0])
            took = stopwatch() - began
            seconds[name] += took
            figures: dict[str, float | None] = {"seconds_per_10k": 1e4 * took / len(one)}
            if one.labels.any():
                volume = vus_pr(scores, one.labels, window)
                figures |= {"vus_pr": volume, "auc_pr": auc_pr(scores, one.labels)}
                figures["event_f1"] = best_f1(sweep(scores, one.labels))
            found[name][one.name] = figures
        for name, figure in one.published.items():
            if isfinite(figure):
                published.setdefault(f"published:{name}", {})[one.name] = {"vus_pr": figure}
    means = [
        Outcome(
            name,
            _means(per_series) | {"seconds_per_10k": 1e4 * seconds[name] / points if points else None},
            per_series,
        )
        for name, per_series in found.items()
    ]
    return means + _published(published, max((len(per_series) for per_series in found.values()), default=0))


def _means(per_series: Mapping[str, Figures]) -> dict[str, float | None]:
    return {mean: mean_of(per_series, mean) for mean in _MEANS}


def _published(published: Mapping[str, Mapping[str, Figures]], scored: int) -> list[Outcome]:
    """Return the published methods that have a figure for each of the series that were scored, the best first."""
    whole = {name: per_series for name, per_series in published.items() if len(per_series) == scored}
    theirs = [Outcome(name, {"vus_pr": mean_of(whole[name], "vus_pr")}, whole[name]) for name in sorted(whole)]
    return sorted(theirs, key=lambda outcome: -(outcome.figures["vus_pr"] or 0.0))
