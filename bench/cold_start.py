"""How soon a new series is watched well: ``python -m bench.cold_start FOLDER...``, each a set of labelled series.

Each series in turn is new, at a moment in the second half of its set; the others have learnt the first halves. Its
first three days come in order of time: as they are, with labelled events where there are some, and with anomalies
put in. It begins from nothing, from peers whose days look like its own (as where labels tell what is alike), from
any peers, or from its own history, which is as well as can be.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atalaia.algorithms.detectors.protocol import Advanced, State
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.evaluation.intervals import runs
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.local_time import DAY_US, HOUR_US, MINUTE_US
from atalaia.algorithms.selection.injecting import KINDS, Event, inject, nature_of
from atalaia.connectors.labelled.series import read_series, set_name
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD
from bench.report import RESULTS

PHASES = ((0, 1), (1, 24), (24, 72))
"""Hours."""
STARTS = 4
"""Of each series; into every other one anomalies are put."""
ALIKE, ANY = 8, 32
"""Peers."""
_LEAST_DAYS, _HISTORY_DAYS = 14, 21
_DETECTOR = StreamingProfile()


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """The first days of a series: its position, what comes, what of it is an event, and what came just before."""

    series: int
    timestamps: IntArray
    values: FloatArray
    events: Sequence[Event]
    labelled: Sequence[tuple[int, int]]
    before: tuple[IntArray, FloatArray]

    @property
    def hours(self) -> FloatArray:
        """float64[n], since it began."""
        return (self.timestamps - self.timestamps[0]) / HOUR_US


def fleet_of(folder: Path) -> list[Labelled]:
    """Return the series of a set that are long enough, and have at least a point in five minutes."""
    found: list[Labelled] = []
    for one in read_series(folder):
        at = one.moments
        if at[-1] - at[0] >= _LEAST_DAYS * DAY_US and np.median(np.diff(at)) <= 5 * MINUTE_US:
            found.append(one)
    return found


def beginnings(position: int, one: Labelled, rng: np.random.Generator) -> list[Beginning]:
    """Return some beginnings of a series, at moments of its second half."""
    at, values, found = one.moments, one.values[:, 0], list[Beginning]()
    middle = _middle(at)
    for number in range(STARTS):
        first = middle + int(rng.integers(0, max(int(at[-1]) - middle - 4 * DAY_US, 1)))
        part = (at >= first) & (at < first + 3 * DAY_US)
        known = (at >= middle - _LEAST_DAYS * DAY_US) & (at < first)
        stamps, changed, events = at[part], values[part].copy(), list[Event]()
        if len(stamps) < 100:
            continue
        nature = nature_of(values[known], int(DAY_US // np.median(np.diff(at))))
        for start, end in PHASES[1:] if number % 2 == 0 else ():
            hours = (stamps - stamps[0]) / HOUR_US
            places = np.flatnonzero((hours >= start) & (hours < end))
            put = inject(changed[places], KINDS, nature, np.random.default_rng((position, number, start)))
            changed[places] = put.values
            events += [Event(e.kind, int(places[e.first]), int(places[e.last])) for e in put.events]
        labelled = [(int(a), int(b)) for a, b in zip(*runs(one.labels[part]), strict=True)]
        gap = (at >= middle) & (at < first)
        found.append(Beginning(position, stamps, changed, events, labelled, (at[gap], values[gap])))
    return found


def learnt(series: Sequence[Labelled]) -> State:
    """Return what the first halves teach."""
    histories: list[tuple[IntArray, FloatArray]] = []
    for one in series:
        until = one.moments < _middle(one.moments)
        histories.append((one.moments[until], one.values[until, 0]))
    return _DETECTOR.fit(Group.of(histories))


def alike(state: State) -> list[IntArray]:
    """Return for each series those whose days look most like its own."""
    days = state["day"][:, :, 0].astype(np.float64)
    days -= days.mean(axis=1, keepdims=True)
    days /= np.maximum(np.linalg.norm(days, axis=1, keepdims=True), 1e-9)
    likeness = days @ days.T
    np.fill_diagonal(likeness, -2.0)
    return [np.argsort(-row, kind="stable")[:ALIKE] for row in likeness]


def others(count: int) -> list[IntArray]:
    """Return for each series some of the others."""
    drawn = (np.random.default_rng(one).permutation(count) for one in range(count))
    return [order[order != one][:ANY] for one, order in enumerate(drawn)]


def told(begun: Beginning, state: State, peers: IntArray | None, *, knows: bool) -> Advanced:
    """Return what is said of the first days of a series."""
    mine = {name: array[begun.series : begun.series + 1].copy() for name, array in state.items()}
    mine = mine if knows else _DETECTOR.empty(1)
    if knows:
        _DETECTOR.advance(mine, np.zeros(len(begun.before[0]), np.int64), *begun.before)
    if peers is not None:
        _DETECTOR.adopt(mine, 0, {name: array[peers] for name, array in state.items()})
    return _DETECTOR.advance(mine, np.zeros(len(begun.values), np.int64), begun.timestamps, begun.values)


def figures(all_told: Sequence[tuple[Beginning, Advanced]]) -> dict[str, dict[str, float]]:
    """Return by phase: events put in and labelled, the share found of each, false alarms a day, quiet series."""
    found: dict[str, dict[str, float]] = {}
    for start, end in PHASES:
        put, labelled, false = list[bool](), list[bool](), list[int]()
        for begun, said in all_told:
            inside = (begun.hours >= start) & (begun.hours < end)
            strange, near = said.scores.score > THRESHOLD, np.zeros(len(inside), np.bool_)
            spans = [(e.first, e.last, put) for e in begun.events]
            for first, last, into in [*spans, *((*span, labelled) for span in begun.labelled)]:
                near[max(first - 1, 0) : last + 60] = True
                if inside[first]:
                    into.append(bool(strange[first : last + 3].any()))
            false.append(int((said.onset & inside & ~near).sum()))
        found[f"{start}-{end}h"] = {
            "put_in": len(put),
            "put_in_found": float(np.mean(put)) if put else 0.0,
            "labelled": len(labelled),
            "labelled_found": float(np.mean(labelled)) if labelled else 0.0,
            "false_alarms_a_day": sum(false) / len(false) / ((end - start) / 24),
            "quiet": float(np.mean([count == 0 for count in false])),
        }
    return found


def measure(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of a set, by what a series begins from."""
    series, rng = fleet_of(folder), np.random.default_rng(7)
    if len(series) < 2:
        return {}
    state = learnt(series)
    starts = [begun for i, one in enumerate(series) for begun in beginnings(i, one, rng)]
    ways = {"nothing": None, "alike": alike(state), "any": others(len(series)), "own history": None}
    return {
        way: figures([
            (one, told(one, state, None if peers is None else peers[one.series], knows=way == "own history"))
            for one in starts
        ])
        for way, peers in ways.items()
    }  # fmt: skip


def _middle(at: IntArray) -> int:
    return int(at[0]) + min(int(at[-1] - at[0]) // 2, _HISTORY_DAYS * DAY_US)


def main() -> None:
    """Measure sets, and write what was found."""
    parser = argparse.ArgumentParser(description="Measure how soon new series are watched well.")
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    found = {set_name(folder): measure(folder) for folder in folders}
    path = RESULTS / f"cold_start_{'_'.join(sorted(found))}.json"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
