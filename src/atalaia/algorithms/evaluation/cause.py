"""The protocol ``cause``: of incidents whose cause is known, at which place does each contestant name it?

AC@k is the part of cases whose cause is among the first k services; Avg@5 is the mean of AC@1 to AC@5. Services
that have the same score share their places: a cause that stands there counts by how many of them may come first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.causes.ranking import Evidence, rank
from atalaia.algorithms.evaluation.outcomes import Figures, Outcome, mean_of
from atalaia.algorithms.evaluation.peers.causes import n_sigma, robust_scorer
from atalaia.core.points import FloatArray, Group

Stopwatch = Callable[[], float]
"""Returns seconds from a clock that only runs forwards."""
Scores = Mapping[str, float]
"""A score of each service, the higher the likelier."""
FIGURES = ("ac1", "ac3", "ac5", "avg5")
_PLACES = 5
_PEERS = {"peer:baro": robust_scorer, "peer:nsigma": n_sigma}


@dataclass(frozen=True, slots=True)
class Case:
    """An incident whose cause is known.

    Attributes
    ----------
    causes
        Services any of which is right.
    """

    name: str
    evidence: Evidence
    causes: frozenset[str]


def run_cause(cases: Sequence[Case], stopwatch: Stopwatch) -> list[Outcome]:
    """Return what each contestant is worth: ours with all that is known, and peers with the metrics.

    Peers are given the alarmed metric alone where there is one, with which they do better than with all.

    Parameters
    ----------
    stopwatch
        What tells the time that a case takes.
    """
    contestants: dict[str, Callable[[Evidence], Scores]] = {"cause": _ours}
    contestants |= {name: _peer(score) for name, score in _PEERS.items()}
    return [_outcome(name, scores_of, cases, stopwatch) for name, scores_of in contestants.items()]


def hits(scores: Scores, causes: frozenset[str]) -> FloatArray:
    """Return, for k from 1 to 5, how surely a cause is among the first k: 1.0, 0.0, or between them at a tie."""
    found = np.zeros(_PLACES)
    named = [scores[cause] for cause in causes if cause in scores]
    if not named:
        return found
    best = max(named)
    before = sum(score > best for score in scores.values())
    tied = sum(score == best for score in scores.values())
    return np.clip((np.arange(1, _PLACES + 1) - before) / tied, 0.0, 1.0)


def _outcome(
    name: str, scores_of: Callable[[Evidence], Scores], cases: Sequence[Case], stopwatch: Stopwatch
) -> Outcome:
    per_case: dict[str, Figures] = {}
    for case in cases:
        start = stopwatch()
        scores = scores_of(case.evidence)
        seconds = stopwatch() - start
        found = hits(scores, case.causes)
        per_case[case.name] = {
            "ac1": float(found[0]),
            "ac3": float(found[2]),
            "ac5": float(found[4]),
            "avg5": float(found.mean()),
            "seconds_per_case": seconds,
        }
    return Outcome(name, {figure: mean_of(per_case, figure) for figure in (*FIGURES, "seconds_per_case")}, per_case)


def _ours(evidence: Evidence) -> Scores:
    return {suspect.service: suspect.score for suspect in rank(evidence).suspects}


def _peer(score: Callable[[Group, FloatArray], FloatArray]) -> Callable[[Evidence], Scores]:
    def scores_of(evidence: Evidence) -> Scores:
        alarmed = evidence.alarmed_metric
        found: dict[str, float] = {}
        for service, metric, value in zip(
            evidence.services, evidence.metrics, score(evidence.history, evidence.window).tolist(), strict=True
        ):
            if alarmed is None or metric == alarmed:
                found[service] = max(found.get(service, 0.0), value)
        return found

    return scores_of
