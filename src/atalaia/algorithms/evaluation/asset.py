"""The protocol ``asset``: who notices that an asset is off, point by point, with a threshold set without labels.

Each contestant learns from the part of a run that is marked as history, without its labels, and then scores the
rest in order of time, each moment from what came up to it. A moment is flagged when its score exceeds 1.0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.assets.protocol import AssetDetector
from atalaia.algorithms.evaluation.outcomes import Figures, Outcome
from atalaia.algorithms.evaluation.peers.assets import prediction_error_scores, t2_scores
from atalaia.algorithms.forests import IsolationForest
from atalaia.algorithms.relations import Relations
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD

Marks = NDArray[np.bool_]
Contestant = Callable[[FloatArray, FloatArray], FloatArray]
"""From a history, float64[n, k], and the moments after it, float64[m, k], to the scores of these, float64[m]."""
Volume = Callable[[FloatArray, Marks, int], float]
"""VUS-PR of scores, labels and a tolerance in points; NaN without a label."""

VOLUME_POINTS = 100
"""Tolerance around an event for VUS-PR: runs of one asset have no period of their own."""

UNDETECTABLE = ("fault03", "fault09", "fault15")
"""Runs of the Tennessee Eastman process whose faults change nothing that its sensors show; see `run_asset`."""


@dataclass(frozen=True, slots=True, eq=False)
class Asset:
    """One run of an asset, with labels.

    Attributes
    ----------
    name
        Of the run.
    columns
        Names of its k sensors.
    timestamps
        int64[n], or None where the source has none.
    values
        float64[n, k], NaN where a sensor was not read.
    labels
        bool[n], which moments are anomalous.
    is_train
        bool[n], which moments are history: the first ones.
    """

    name: str
    columns: tuple[str, ...]
    timestamps: IntArray | None
    values: FloatArray
    labels: Marks
    is_train: Marks


def by(detector: AssetDetector) -> Contestant:
    """Return `detector` as a contestant."""

    def scores(history: FloatArray, values: FloatArray) -> FloatArray:
        return detector.advance(detector.fit(history), values).score

    return scores


def contestants() -> dict[str, Contestant]:
    """Return who competes, by name; peers are called ``peer:...``."""
    return {
        "relations": by(Relations()),
        "isolation_forest": by(IsolationForest()),
        "peer:t2": t2_scores,
        "peer:pca_spe": prediction_error_scores,
    }


def run_asset(
    assets: Sequence[Asset],
    stopwatch: Callable[[], float],
    *,
    vus_pr: Volume | None = None,
    who: Mapping[str, Contestant] | None = None,
) -> list[Outcome]:
    """Return the figures of each contestant.

    Parameters
    ----------
    assets
        Runs; each contestant learns each anew.
    stopwatch
        Gives the CPU seconds that this process has used.
    vus_pr
        How ranking is measured; None leaves ``vus_pr`` out.
    who
        Contestants by name, those of `contestants` if None.

    Returns
    -------
    list[Outcome]
        Figures over all runs count the moments of all runs together, as the leaderboard of SKAB does:

        - ``f1``: of flagged moments, ``2 hits / (2 hits + false + missed)``;
        - ``far``: share of the moments without a fault that are flagged, also those before and after a fault;
        - ``mar``: share of the faulty moments that are not flagged; ``detection`` is ``1 - mar``;
        - ``detection_detectable``: the mean over runs of the detection, without runs called as in `UNDETECTABLE`.
          It is there when a run of all is called ``fault..``;
        - ``delay_points``: median over found faults of the moments from their beginning to the first flag in them;
        - ``vus_pr``: mean over runs with a fault;
        - ``seconds_per_10k``: CPU seconds of learning and scoring for 10,000 scored moments.

        Per run the same but ``detection_detectable``. A figure that a run does not have, e.g. ``mar`` without a
        fault, is None.
    """
    rest = [_Rest.of(asset) for asset in assets]
    return [_outcome(name, judge, rest, stopwatch, vus_pr) for name, judge in (who or contestants()).items()]


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """One run, parted into what is learnt and what is judged."""

    name: str
    history: FloatArray
    values: FloatArray
    labels: Marks

    @staticmethod
    def of(asset: Asset) -> "_Rest":
        learnt = int(asset.is_train.sum())
        if not asset.is_train[:learnt].all():
            raise ValueError(f"the history of {asset.name} is not its beginning")
        return _Rest(asset.name, asset.values[:learnt], asset.values[learnt:], asset.labels[learnt:])


@dataclass(frozen=True, slots=True)
class _Counts:
    """Moments of one run or of all."""

    hits: int = 0
    false: int = 0
    missed: int = 0
    calm: int = 0

    @staticmethod
    def of(flags: Marks, labels: Marks) -> "_Counts":
        pairs = ((flags, labels), (flags, ~labels), (~flags, labels), (~flags, ~labels))
        return _Counts(*(int((one & other).sum()) for one, other in pairs))

    def __add__(self, other: "_Counts") -> "_Counts":
        hits, false = self.hits + other.hits, self.false + other.false
        return _Counts(hits, false, self.missed + other.missed, self.calm + other.calm)

    def figures(self) -> dict[str, float | None]:
        found = _share(self.hits, self.hits + self.missed)
        return {
            "f1": _share(2 * self.hits, 2 * self.hits + self.false + self.missed),
            "far": _share(self.false, self.false + self.calm),
            "mar": None if found is None else 1.0 - found,
            "detection": found,
        }


def _outcome(
    name: str, judge: Contestant, runs: Sequence[_Rest], stopwatch: Callable[[], float], vus_pr: Volume | None
) -> Outcome:
    total, points, spent = _Counts(), 0, 0.0
    delays: list[float] = []
    per_series: dict[str, Figures] = {}
    for run in runs:
        began = stopwatch()
        scores = judge(run.history, run.values)
        took = stopwatch() - began
        flags = scores > THRESHOLD  # NaN, no opinion, is no flag
        counts, waits = _Counts.of(flags, run.labels), _delays(flags, run.labels)
        total, points, spent = total + counts, points + len(flags), spent + took
        delays += waits
        per_series[run.name] = {
            **counts.figures(),
            **_others(waits, took, len(flags)),
            **({} if vus_pr is None else {"vus_pr": _known(vus_pr(scores, run.labels, VOLUME_POINTS), run.labels)}),
        }
    figures = {**total.figures(), **_others(delays, spent, points), **_detectable(per_series)}
    if vus_pr is not None:
        figures["vus_pr"] = _mean(per_series, "vus_pr")
    return Outcome(name, figures, per_series)


def _others(delays: Sequence[float], seconds: float, points: int) -> dict[str, float | None]:
    return {
        "delay_points": median(delays) if delays else None,
        "seconds_per_10k": 1e4 * seconds / points if points else None,
    }


def _detectable(per_series: Mapping[str, Figures]) -> dict[str, float | None]:
    runs = {name: figures for name, figures in per_series.items() if name.startswith("fault")}
    kept = {name: figures for name, figures in runs.items() if name not in UNDETECTABLE}
    return {"detection_detectable": _mean(kept, "detection")} if runs else {}


def _mean(per_series: Mapping[str, Figures], name: str) -> float | None:
    known = [figure for figures in per_series.values() if (figure := figures.get(name)) is not None]
    return sum(known) / len(known) if known else None


def _delays(flags: Marks, labels: Marks) -> list[float]:
    """Return how many moments each fault that is found was there before it was flagged."""
    steps = np.diff(np.concatenate([[0], labels.astype(np.int8), [0]]))
    found: list[float] = []
    for start, end in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        inside = np.flatnonzero(flags[start:end])
        found += [float(inside[0])] if len(inside) else []
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _known(figure: float, labels: Marks) -> float | None:
    return figure if labels.any() and isfinite(figure) else None
