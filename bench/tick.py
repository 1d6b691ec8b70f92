"""The streaming detector over a whole fleet: one tick of 285,000 series, a day of them, and learning from history.

CPU time of one thread. The peer is what a program with one object for each series does at the very least: a mean
and a deviation that follow the stream, in Python.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from atalaia.algorithms.detectors import State
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.running import Running, fold
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, Group, IntArray
from bench.data import values_like
from bench.report import Figure, bounded, more_is_better

SERIES = 285_000
TICKS = 9
HISTORIES = 200
HISTORY_MINUTES = 10_080
DAY_MINUTES = 1_440
DAY_SERIES = 28_500
CHUNK_SERIES = 300
PEER_SERIES = 20_000
_MINUTE_US = 60 * MICROS
_START = 1_763_000_000 * MICROS
_DETECTOR = StreamingProfile()


def tick() -> Sequence[Figure]:
    """Measure a tick in memory, a tenth of a day's catching up, and learning from history."""
    histories = np.stack([values_like(HISTORY_MINUTES, seed=seed) for seed in range(HISTORIES)])
    state, learning = _learn(histories)
    fleet = {name: np.resize(array, (SERIES, *array.shape[1:])) for name, array in state.items()}
    return [*_ticks(fleet, histories), _day(fleet, histories), _point(state, histories), learning, _statistics()]


def _learn(histories: FloatArray) -> tuple[State, Figure]:
    stamps = _START + np.arange(HISTORY_MINUTES) * _MINUTE_US
    group = Group.of((stamps, values) for values in histories)
    _DETECTOR.fit(Group.of([(stamps[:100], histories[0, :100])]))  # compiles, once for a machine
    started = time.process_time()
    state = _DETECTOR.fit(group)
    rate = histories.size / (time.process_time() - started)
    peer = HISTORY_MINUTES / _cpu(lambda: _follow([_Object()] * HISTORY_MINUTES, histories[0].tolist()))
    return state, more_is_better(
        "streaming_fit", rate, "points/CPU-s", "one Python object a series", peer, reach=1.2
    )


def _ticks(fleet: State, histories: FloatArray) -> list[Figure]:
    random = np.random.default_rng(7)
    times: list[float] = []
    for minute in range(TICKS):
        rows = random.permutation(SERIES)
        stamps = np.full(SERIES, _START + (HISTORY_MINUTES + minute) * _MINUTE_US)
        values = histories[rows % HISTORIES, minute] * random.normal(1.0, 0.02, SERIES)
        times.append(_cpu(lambda r=rows, s=stamps, v=values: _DETECTOR.advance(fleet, r, s, v)) * 1000)
    peers = [_Object() for _ in range(PEER_SERIES)]
    random.shuffle(peers)
    seen: list[float] = histories[np.arange(PEER_SERIES) % HISTORIES, 0].tolist()
    theirs = _cpu(lambda: _follow(peers, seen)) * 1000 * SERIES / PEER_SERIES
    name = "one Python object a series, mean and deviation only, 20,000 scaled"
    size = sum(array.nbytes for array in fleet.values()) / SERIES
    return [
        bounded("tick_of_285000_series", float(np.median(times[2:])), "ms", name, theirs, at_most=50.0),
        bounded("streaming_bytes_per_series", size, "bytes", "the bound", 2048.0, at_most=2048.0),
    ]


def _day(fleet: State, histories: FloatArray) -> Figure:
    """Measure a day of one-minute points of a tenth of the fleet, sorted by series inside each chunk of series."""
    stamps = np.tile(_START + (HISTORY_MINUTES + TICKS + np.arange(DAY_MINUTES)) * _MINUTE_US, CHUNK_SERIES)
    spent = 0.0
    for first in range(0, DAY_SERIES, CHUNK_SERIES):
        series = np.arange(first, first + CHUNK_SERIES)
        rows = np.repeat(series, DAY_MINUTES)
        values = histories[series % HISTORIES, :DAY_MINUTES].ravel()
        spent += _cpu(lambda r=rows, v=values: _DETECTOR.advance(fleet, r, stamps, v))
    whole = spent * SERIES / DAY_SERIES
    name = "the bound, in wall time on two cores; ours is one thread, a tenth measured"
    return bounded("catch_up_of_one_day", whole, "CPU-s", name, 300.0, at_most=300.0)


def _point(state: State, histories: FloatArray) -> Figure:
    """Measure what a point costs of series that lie in the caches, beside copying what goes in and comes out."""
    rows = np.repeat(np.arange(HISTORIES), DAY_MINUTES)
    stamps = np.tile(_START + (HISTORY_MINUTES + np.arange(DAY_MINUTES)) * _MINUTE_US, HISTORIES)
    values = histories[:, :DAY_MINUTES].ravel()
    ours, bare = list[float](), list[float]()
    for _ in range(5):
        alive = {name: array.copy() for name, array in state.items()}
        ours.append(_cpu(lambda a=alive: _DETECTOR.advance(a, rows, stamps, values)))
        answer = _DETECTOR.score(alive, rows, stamps, values)
        arrays = rows, stamps, values, answer.score, answer.expected, answer.lower, answer.upper, answer.part
        bare.append(_cpu(lambda a=arrays: [one.copy() for one in a]))
    nanoseconds = 1e9 / len(rows)
    name = "a bare copy of what goes in and comes out"
    return bounded("streaming_point", min(ours) * nanoseconds, "ns", name, min(bare) * nanoseconds, at_most=80.0)


def _statistics() -> Figure:
    random = np.random.default_rng(7)
    state, times = Running.empty(SERIES), list[float]()
    for minute in range(TICKS):
        rows: IntArray = random.permutation(SERIES)
        stamps = _START + minute * _MINUTE_US + random.integers(0, 1000, SERIES)
        values = random.normal(size=SERIES)
        times.append(_cpu(lambda r=rows, s=stamps, v=values: fold(state, r, s, v)) * 1000)
    return bounded(
        "statistics_of_285000_points", float(np.median(times[2:])), "ms", "the bound", 15.0, at_most=15.0
    )


class _Object:
    """A mean and a deviation that follow one series."""

    def __init__(self) -> None:
        self.mean, self.variance = 0.0, 1.0

    def update(self, value: float) -> float:
        deviation = value - self.mean
        score = abs(deviation) / (3.0 * self.variance**0.5 + 1e-12)
        self.mean += 0.01 * deviation
        self.variance += 0.01 * (deviation * deviation - self.variance)
        return score


def _follow(objects: Sequence[_Object], values: Sequence[float]) -> None:
    for one, value in zip(objects, values, strict=True):
        one.update(value)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
