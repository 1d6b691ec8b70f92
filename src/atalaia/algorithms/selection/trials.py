"""What detectors are tried on: histories that are cut in two, and copies of the later part with anomalies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.detectors.spread import median_and_mad, usable
from atalaia.algorithms.local_time import DAY_US
from atalaia.algorithms.periods import NO_PERIOD, period
from atalaia.algorithms.selection.injecting import KINDS, Injected, inject, nature_of, room
from atalaia.core.points import FloatArray, IntArray

MOST_POINTS = 10_000
"""Points of a history that are looked at, the newest."""

LEARNT_SHARE = 0.7
LEAST_POINTS = 140
"""A history with fewer is too short: what is left after learning has no room for an anomaly."""

WANTED_EVENTS = 24
"""Anomalies that are put in altogether, if there are not more series than that..."""

MOST_COPIES = 12
"""... in at most so many copies of one series."""

_PERIOD_RESEMBLES = 0.3
_MOST_WINDOW = 125
_LEAST_THERE = 0.5
_LAGS, _WHITE, _CLIPPED = 20, 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of an interval, in microseconds: whether it was an anomaly that matters."""

    first_us: int
    last_us: int
    matters: bool


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A history, int64[n] in microseconds and float64[n], and what was said of its series."""

    timestamps: IntArray
    values: FloatArray
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What detectors are tried on: what they learn of one series, what they judge, and copies with anomalies.

    `is_white` says that no point of the series tells anything of those after it.
    """

    learnt: tuple[IntArray, FloatArray]
    timestamps: IntArray
    values: FloatArray
    copies: tuple[Injected, ...]
    said: tuple[Said, ...]
    window: int
    is_white: bool

    @property
    def days(self) -> float:
        """How long the judged part is."""
        steps = np.diff(self.timestamps)
        usual = float(np.median(steps)) if len(steps) else 0.0
        return len(self.timestamps) * usual / DAY_US


def prepare(pasts: Sequence[Past], seed: int = 0) -> list[Trial]:
    """Return what detectors are tried on; the same for all, and for the same histories and seed the same.

    Histories that teach nothing are left out, see `unfit`.
    """
    fitting = [_usable(past) for past in pasts if not unfit(past)]
    wanted = -(-WANTED_EVENTS // max(len(fitting), 1))
    return [_trial(past, wanted, np.random.default_rng((seed, row))) for row, past in enumerate(fitting)]


def unfit(past: Past) -> str:
    """Return why a history is no ground for a choice, in words; empty when it is one."""
    known = _usable(past)
    n = len(known.values)
    if n < LEAST_POINTS:
        return f"{n} points are too few, {LEAST_POINTS} are needed"
    if nature_of(known.values[: int(n * LEARNT_SHARE)]).unit == 0.0:
        return "its values hardly ever change"
    step = float(np.median(np.diff(known.timestamps)))
    expected = (int(known.timestamps[-1]) - int(known.timestamps[0])) / step + 1.0 if step > 0.0 else float(n)
    if min(n / expected, n / max(min(len(past.values), MOST_POINTS), 1)) < _LEAST_THERE:
        return "most of its points are missing"
    return ""


def season_of(timestamps: IntArray, values: FloatArray) -> int:
    """Return after how many points a series repeats itself, a day before anything shorter; 0 where it does not."""
    steps = np.diff(timestamps)
    step = float(np.median(steps)) if len(steps) else 0.0
    day = round(DAY_US / step) if step > 0.0 else 0
    for lag in (day, period(values)):
        if lag != NO_PERIOD and 4 <= lag <= len(values) // 2 and resembles(values, lag) > _PERIOD_RESEMBLES:
            return lag
    return 0


def resembles(values: FloatArray, lag: int) -> float:
    """Return the correlation of finite `values` with themselves `lag` points later, 0.0 where it is not known."""
    if not 0 < lag < len(values) - 1:
        return 0.0
    x = values / max(float(np.abs(values).max()), 1e-300)
    early, late = x[:-lag] - x[:-lag].mean(), x[lag:] - x[lag:].mean()
    norm = float(np.sqrt((early @ early) * (late @ late)))
    return float(early @ late) / norm if norm > 0.0 else 0.0


def is_white(values: FloatArray) -> bool:
    """Return whether finite `values` are white noise: none resembles the twenty before it more than by chance."""
    centre, scale = median_and_mad(values)
    x = np.clip(values, centre - _CLIPPED * scale, centre + _CLIPPED * scale) if scale > 0.0 else values
    chance = max(4.0 / float(np.sqrt(len(x))), _WHITE)
    return all(abs(resembles(x, lag)) < chance for lag in range(1, _LAGS + 1))


def _usable(past: Past) -> Past:
    known = usable(past.values)
    timestamps, values = past.timestamps[known][-MOST_POINTS:], past.values[known][-MOST_POINTS:]
    return Past(timestamps, values, past.said)


def _trial(past: Past, wanted: int, rng: np.random.Generator) -> Trial:
    cut = int(len(past.values) * LEARNT_SHARE)
    judged = past.values[cut:]
    nature = nature_of(past.values[:cut], season_of(past.timestamps, past.values))
    a_copy = max(room(len(judged)), 1)
    copies: list[Injected] = []
    kinds = [kind for kind in KINDS if kind != "season" or nature.period]
    queue: list[str] = []
    while len(copies) < min(-(-wanted // a_copy), MOST_COPIES):
        while len(queue) < a_copy:  # each kind as often as the others
            queue += [kinds[i] for i in rng.permutation(len(kinds))]
        copies.append(inject(judged, queue[:a_copy], nature, rng))
        queue = queue[a_copy:]
    return Trial(
        learnt=(past.timestamps[:cut], past.values[:cut]),
        timestamps=past.timestamps[cut:],
        values=judged,
        copies=tuple(copies),
        said=past.said,
        window=min(period(judged), _MOST_WINDOW),
        is_white=not nature.period and is_white(past.values),
    )
