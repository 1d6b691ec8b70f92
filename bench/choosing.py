"""How well histories choose their detectors: ``python -m bench.choosing FOLDER...``, each a set of labelled series.

What ``auto`` sees is the history of each series. What follows is judged by all detectors, so that the choice can be
compared with the same detector for all, and with the best of each series in hindsight (the oracle). `MERITS` are
figures of some of these sets: with ``--blind`` a set is judged with the merits of the others only.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atalaia.algorithms.detectors import DETECTORS, Streaming, make_detector
from atalaia.algorithms.evaluation.events import best_f1, count, sweep
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.evaluation.online import split
from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.periods import period
from atalaia.algorithms.selection import choosing
from atalaia.algorithms.selection.selecting import select
from atalaia.algorithms.selection.trials import Past
from atalaia.connectors.labelled.series import read_series
from atalaia.core.points import FloatArray, Group
from atalaia.core.scores import THRESHOLD
from bench.report import RESULTS

FLEET, MOST_BYTES = 10_000, 64 << 20
FIGURES = ("vus_pr", "event_f1", "event_f1_own")
"""VUS-PR, event F1 at the best threshold of each series, and at the detector's own."""

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """A series whose future has labelled events: its set, its history, and what each detector did after it."""

    data: str
    past: Past
    figures: Mapping[str, Figures]


def judged(one: Labelled) -> Judged | None:
    """Return what all detectors do on a series, None without an event to find."""
    past, future, labels = split(one)
    if not labels.any():
        return None
    figures: dict[str, Figures] = {}
    for name in DETECTORS:
        detector = make_detector(name, {})
        state = detector.fit(Group.of([(past.timestamps, past.values)]))
        at = np.zeros(len(future), np.int64), future.timestamps, future.values
        is_streaming = isinstance(detector, Streaming)
        scores = detector.advance(state, *at).scores if is_streaming else detector.score(state, *at)
        known: FloatArray = np.nan_to_num(scores.score, nan=0.0)
        own = count(known > THRESHOLD, labels).f1
        best = best_f1(sweep(scores.score, labels))
        figures[name] = dict(
            zip(FIGURES, (vus_pr(scores.score, labels, period(future.values)), best, own), strict=True)
        )
    first = len(one) // 2 if one.history is None else one.history
    return Judged(one.data, Past(one.moments[:first], one.values[:first, 0]), figures)


def merits(series: list[Judged], data: str) -> dict[str, float]:
    """Return the merits of detectors (see `MERITS`) as all sets but `data` say."""
    others = sorted({one.data for one in series} - {data})
    return {name: float(np.mean([_merit(series, other, name) for other in others])) for name in DETECTORS}


def _merit(series: list[Judged], data: str, name: str) -> float:
    of_set = [one.figures[name] for one in series if one.data == data]
    return float(np.mean([figures["vus_pr"] + figures["event_f1_own"] / 2 for figures in of_set]))


def mean(series: list[Judged], pick: Callable[[Judged], str]) -> Figures:
    """Return the mean figures if each series has the detector that `pick` names."""
    return {figure: float(np.mean([one.figures[pick(one)][figure] for one in series])) for figure in FIGURES}


def best(one: Judged, figure: str) -> str:
    """Return the detector that hindsight names."""
    return max(DETECTORS, key=lambda name: one.figures[name][figure])


def compare(series: list[Judged], *, blind: bool) -> dict[str, Figures]:
    """Return the figures of each way to choose, by name."""
    found = {f"always {name}": mean(series, lambda one, name=name: name) for name in DETECTORS}
    for label, fleet in (("auto, one series", 1), (f"auto, of a fleet of {FLEET:,}", FLEET)):
        chosen: dict[int, str] = {}
        for one in series:
            if blind:
                choosing.MERITS.update(merits(series, one.data))
            chosen[id(one)] = select([one.past], fleet, MOST_BYTES, time.process_time).algorithm
        found[label] = mean(series, lambda one, chosen=chosen: chosen[id(one)])
    for figure in FIGURES:
        found[f"oracle of {figure}"] = mean(series, lambda one, figure=figure: best(one, figure))
    return found


def main() -> int:
    """Compare, print and keep."""
    parser = argparse.ArgumentParser(description="Compare choices of detectors on labelled series.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--blind", action="store_true", help="judge each set with the merits of the others")
    given = parser.parse_args()
    series = [found for folder in given.folders for one in read_series(folder) if (found := judged(one))]
    told = compare(series, blind=given.blind)
    for name, figures in told.items():
        print(f"{name:32}", *(f"{figures[figure]:.3f}" for figure in FIGURES))
    sets = sorted({one.data for one in series})
    kept = {"sets": sets, "series": len(series), "blind": given.blind, "figures": told}
    name = f"choosing_{'_'.join(sets)}{'_blind' if given.blind else ''}.json"
    (RESULTS / name).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
