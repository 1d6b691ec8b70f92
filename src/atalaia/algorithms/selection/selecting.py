"""From histories to a choice: who can be taken is tried, in turn, on the same trials."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from atalaia.algorithms.detectors import DETECTORS, Detector, make_detector
from atalaia.algorithms.selection.backtest import backtest
from atalaia.algorithms.selection.choosing import LEAST_MERIT, MERITS, Choice, Tried, choose, too_large
from atalaia.algorithms.selection.trials import Past, Trial, prepare, unfit
from atalaia.core.errors import Invalid, Unavailable
from atalaia.core.points import Group

AUTO = "auto"
"""In place of the name of an algorithm: let the histories decide."""

MOST_SERIES = 20
"""Series of a fleet that are looked at."""

CALM = "streaming"
"""Taken where a history says nothing: it goes on learning."""

_WHITE_SHARE = 0.5


def sample(series: int, seed: int = 0) -> list[int]:
    """Return positions of the series of a fleet that are looked at, in order; all of a small one."""
    if series <= MOST_SERIES:
        return list(range(series))
    return sorted(np.random.default_rng(seed).choice(series, MOST_SERIES, replace=False).tolist())


def select(
    pasts: Sequence[Past],
    series: int,
    most_bytes: int,
    stopwatch: Callable[[], float],
    report: Callable[[float], None] = lambda share: None,
    registry: Mapping[str, type[Detector]] = DETECTORS,
) -> Choice:
    """Return the detector for a fleet of `series` series, of which `pasts` are some.

    Parameters
    ----------
    most_bytes
        What the states of all series may take together.
    stopwatch
        Tells the CPU seconds used so far.
    report
        Told after each detector which share of them is done.
    """
    detectors, left_out = _candidates(registry, series, most_bytes)
    trials = prepare(pasts)
    if not any(copy.events for trial in trials for copy in trial.copies):
        return _without_trials(pasts, detectors, left_out)
    tried: list[Tried] = []
    for done, detector in enumerate(detectors, 1):
        try:
            tried.append(Tried(detector.name, backtest(detector, trials, stopwatch)))
        except ImportError as reason:  # of a package that is loaded only when there is something to learn
            left_out.append(Tried(detector.name, None, f"cannot be used here: {reason}"))
        report(done / len(detectors))
    if not tried:
        raise Unavailable("no_algorithm", "no algorithm can be used here")
    white = sum(trial.is_white for trial in trials) > _WHITE_SHARE * len(trials)
    name, reason = choose([*tried, *left_out], white=white)
    return Choice(name, reason, (*tried, *left_out), len(trials), sum(map(_points, trials)), _said(tried), white)


def _candidates(
    registry: Mapping[str, type[Detector]], series: int, most_bytes: int
) -> tuple[list[Detector], list[Tried]]:
    """Return the detectors that can be tried, at least one, and why the others are not."""
    sizes: dict[str, tuple[float, Detector]] = {}
    left_out: list[Tried] = []
    for name in registry:
        try:
            detector = make_detector(name, {}, registry)
            state = detector.fit(Group.of([(np.empty(0, np.int64), np.empty(0))]))
        except (ImportError, Invalid, Unavailable) as reason:
            left_out.append(Tried(name, None, f"cannot be used here: {reason}"))
            continue
        sizes[name] = float(sum(array.nbytes for array in state.values())), detector
    if not sizes:
        raise Unavailable("no_algorithm", "no algorithm can be used here")
    smallest = min(size for size, _ in sizes.values())
    for name, (size, _) in sizes.items():
        if size > smallest and (reason := too_large(size, series, most_bytes)):
            left_out.append(Tried(name, None, reason))
    gone = {one.name for one in left_out}
    return [detector for name, (_, detector) in sizes.items() if name not in gone], left_out


def _without_trials(pasts: Sequence[Past], detectors: Sequence[Detector], left_out: Sequence[Tried]) -> Choice:
    """Return what is taken where nothing could be tried."""
    names = [detector.name for detector in detectors]
    name = CALM if CALM in names else max(names, key=lambda one: MERITS.get(one, LEAST_MERIT))
    why = Counter([reason for past in pasts if (reason := unfit(past))]).most_common(1)
    told = why[0][0] if why else "no anomaly would show in it"
    goes_on = ", which goes on learning from what it watches" if name == CALM else ""
    if not pasts:
        told = "there are no points"
    reason = f"{name}{goes_on}, since the history says nothing: {told}"
    others = tuple(Tried(one, None, "was not tried") for one in names)
    return Choice(name, reason, (*others, *left_out))


def _points(trial: Trial) -> int:
    return len(trial.learnt[1]) + len(trial.values)


def _said(tried: Sequence[Tried]) -> int:
    figures = next(one.figures for one in tried if one.figures is not None)
    return figures.useful.all + figures.noise.all
