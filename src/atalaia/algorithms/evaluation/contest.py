"""Who takes part in a comparison of detectors of single series, and in which form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from atalaia.algorithms.calibration import KEEPS_ITS_OWN, USUAL, Prior, Tails, thresholds, watch
from atalaia.algorithms.detectors.autoencoder import Autoencoder
from atalaia.algorithms.detectors.lstm import Lstm
from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.local_time import DAY_US, MINUTE_US, WEEK_US
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A part of a series: timestamps int64[n] in microseconds, values float64[n], NaN where one is missing."""

    timestamps: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def step_us(self) -> float:
        """Usual distance between two points."""
        apart = np.diff(self.timestamps)
        return float(np.median(apart[apart > 0])) if bool((apart > 0).any()) else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a contestant says of the points after a history.

    Attributes
    ----------
    scores
        float64[n], higher is stranger; each from the history and the points up to it.
    threshold
        A score above it is an alarm, under the budget that was asked for; float64[n] where it follows the scores.
    """

    scores: FloatArray
    threshold: float | FloatArray


Judge = Callable[[Stretch, Stretch, float], Judged]
"""From a history, what follows, and the false alarms a week that are allowed, to what is said of what follows."""

Retrospect = Callable[[FloatArray], FloatArray]
"""From a whole series, float64[n], to the scores of its points."""


def fleet(past: Stretch, future: Stretch, per_week: float) -> Judged:
    """Return what the detector for whole fleets says, under thresholds that follow the budget as in the service.

    What it says of the second half of the history, having learnt the first, is what they begin with.
    """
    detector = StreamingProfile(rarity_points=max(WEEK_US / past.step_us / per_week, 2.0))
    return _promised(detector, past, future, per_week, USUAL)


def strong(past: Stretch, future: Stretch, per_week: float) -> Judged:
    """Return what the memory bank says, under thresholds that follow the budget likewise."""
    return _promised(MemoryBank(false_alarms_per_week=per_week), past, future, per_week, KEEPS_ITS_OWN)


def _promised(detector: Streaming, past: Stretch, future: Stretch, per_week: float, usual: Prior) -> Judged:
    half = len(past) // 2
    before = Stretch(past.timestamps[:half], past.values[:half])
    known = Stretch(past.timestamps[half:], past.values[half:])
    tails = Tails.empty(1)
    watch(tails, np.zeros(len(known), np.int64), known.timestamps, _streamed(detector, before, known).scores)
    scores = _streamed(detector, past, future).scores
    return Judged(scores, _thresholds(tails, future.timestamps, scores, per_week, usual))


def _thresholds(
    tails: Tails, timestamps: IntArray, scores: FloatArray, per_week: float, usual: Prior
) -> FloatArray:
    """Return the threshold of each point, found from the scores before its quarter of a day."""
    found = np.ones(len(scores))
    quarters = timestamps // (DAY_US // 4)
    starts = [0, *(np.flatnonzero(np.diff(quarters)) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], len(scores)], strict=True):
        rows = np.zeros(end - start, np.int64)
        found[start:end] = thresholds(tails, rows[:1], np.array([per_week]), usual)
        watch(tails, rows, timestamps[start:end], scores[start:end])
    return found


def lstm(past: Stretch, future: Stretch, per_week: float) -> Judged:
    """Return what the LSTM says, trained on the history; `Unavailable` where its packages are not installed."""
    return _streamed(Lstm(false_alarms_per_week=per_week), past, future)


def autoencoder(past: Stretch, future: Stretch, per_week: float) -> Judged:
    """Return what the autoencoder says, trained on the history; `Unavailable` where its packages are missing."""
    return _streamed(Autoencoder(false_alarms_per_week=per_week), past, future)


def networks() -> dict[str, Judge]:
    """Return the contestants with a network, none where what trains or asks them is not installed."""
    if any(find_spec(package) is None for package in ("torch", "onnxruntime")):
        return {}
    return {"lstm": lstm, "autoencoder": autoencoder}


def _streamed(detector: Streaming, past: Stretch, future: Stretch) -> Judged:
    state = detector.fit(Group.of([(past.timestamps, past.values)]))
    rows = np.zeros(len(future), np.int64)
    return Judged(detector.advance(state, rows, future.timestamps, future.values).scores.score, THRESHOLD)


def warm_up(judges: Mapping[str, Judge]) -> None:
    """Let each contestant judge a little noise, so that what it compiles or loads is not counted."""
    noise = np.random.default_rng(1).normal(size=400)
    stretch = Stretch(np.arange(400, dtype=np.int64) * MINUTE_US, noise)
    for judge in judges.values():
        judge(stretch, stretch, 1.0)
