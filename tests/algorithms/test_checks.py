from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from atalaia.algorithms.checks import check_detector
from atalaia.algorithms.detectors import DETECTORS, Advanced, Column, Detector, State, make_detector
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores


def failures(detector: Detector) -> set[str]:
    failed: set[str] = set()
    for name, run in check_detector(detector):
        try:
            run()
        except AssertionError:
            failed.add(name)
    return failed


REGISTERED = [
    pytest.param(run, id=f"{name}: {check}")
    for name in DETECTORS
    for check, run in check_detector(make_detector(name, {}))
]


@pytest.mark.parametrize("run", REGISTERED)
def test_every_registered_detector_obeys_the_laws(run):
    run()


def test_the_laws_hold_for_other_hyperparameters_too():
    assert not failures(make_detector("seasonal_profile", {"bucket_minutes": 10, "timezone": "Asia/Kolkata"}))
    assert not failures(make_detector("robust_zscore", {"threshold_sigma": 0.5}))
    assert not failures(make_detector("streaming", {"bucket_minutes": 10, "timezone": "Asia/Kolkata"}))
    assert not failures(make_detector("streaming", {"open_points": 2, "open_window": 3, "level_hours": 1}))


def test_every_check_has_a_name_of_its_own():
    names = [name for name, _ in check_detector(ZScore())]
    assert len(set(names)) == len(names) >= 15


@dataclass(frozen=True)
class Growing(ZScore):
    """Keeps the whole history."""

    def fit(self, group: Group) -> State:
        width = int(group.counts.max(initial=0))
        return {**super().fit(group), "history": np.zeros((len(group), width))}


@dataclass(frozen=True)
class Drunk(ZScore):
    """Draws from a generator that nobody seeded."""

    def fit(self, group: Group) -> State:
        state = super().fit(group)
        return {**state, "level": state["level"] + np.random.default_rng().normal(size=len(group))}


@dataclass(frozen=True)
class Sociable(ZScore):
    """Scales a series by its neighbours."""

    def fit(self, group: Group) -> State:
        state = super().fit(group)
        return {**state, "scale": np.full(len(group), np.nanmean(state["scale"]) if len(group) else 1.0)}


@dataclass(frozen=True)
class Clumsy(ZScore):
    """Overwrites what it was given."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        values -= 1.0
        return super().score(state, rows, timestamps, values)


@dataclass(frozen=True)
class Saturated(ZScore):
    """Calls the farthest values normal."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        return replace(scores, score=np.where(scores.score > 100.0, 0.0, scores.score))


@dataclass(frozen=True)
class Careless(ZScore):
    """Has a score for what is missing."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        return replace(scores, score=np.nan_to_num(scores.score))


@dataclass(frozen=True)
class Boundless(ZScore):
    """Knows no cap."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        return replace(scores, score=np.where(scores.score >= 1e6, np.inf, scores.score))


@dataclass(frozen=True)
class Boastful(ZScore):
    """Shows a band that is not the one it scores by."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        return replace(scores, upper=scores.upper + 5.0)


@dataclass(frozen=True)
class Crowded(ZScore):
    """Scores a point by the batch that it came in."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        return replace(scores, score=scores.score / len(rows))


@dataclass(frozen=True)
class Secretive(ZScore):
    """Says that its state looks otherwise than it does."""

    def layout(self) -> Mapping[str, Column]:
        return {**super().layout(), "level": Column("<f4")}


@dataclass(frozen=True)
class Hasty(ZScore):
    """Believes that it needs more than it does."""

    min_points: ClassVar[int] = 2

    def fit(self, group: Group) -> State:
        return {**super().fit(group), "level": np.zeros(len(group)), "scale": np.ones(len(group))}


@dataclass(frozen=True)
class Adaptive(ZScore):
    """Calls normal whatever lasts for half a batch."""

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        scores = super().score(state, rows, timestamps, values)
        lasting = (np.nan_to_num(scores.score) > 1.0).mean() > 0.5 if len(rows) else False
        return replace(scores, score=np.minimum(scores.score, 1.0)) if lasting else scores


@dataclass(frozen=True)
class Generous(ZScore):
    """Has other bands than it scores by."""

    def bands(self, state: State) -> tuple[FloatArray, FloatArray]:
        return state["level"], state["scale"] * (self.threshold_sigma + 1.0)


@dataclass(frozen=True)
class Hurried(StreamingProfile):
    """Judges a batch by what its end has taught."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        answer = super().advance(state, rows, timestamps, values)
        return replace(answer, scores=self.score(state, rows, timestamps, values))


@dataclass(frozen=True)
class Impressed(StreamingProfile):
    """Learns from everything, outages and late points too."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        answer = super().advance(state, rows, timestamps, values)
        state["levels"][rows, 0] += 0.2 * (np.nan_to_num(values) - state["levels"][rows, 0])
        return answer


@dataclass(frozen=True)
class Stubborn(StreamingProfile):
    """Compares with what was learnt long ago."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        stale = self.score(state, rows, timestamps, values).score
        answer = super().advance(state, rows, timestamps, values)
        return replace(answer, alarm=answer.alarm | (stale > 1.0))


@dataclass(frozen=True)
class Nervous(StreamingProfile):
    """Calls every point of an alarm an onset."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        answer = super().advance(state, rows, timestamps, values)
        return replace(answer, onset=answer.alarm)


@dataclass(frozen=True)
class Sleepy(StreamingProfile):
    """Forgets a state's alarm whenever it is asked for another batch."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        state["alarm"][:] = 0
        return super().advance(state, rows, timestamps, values)


@dataclass(frozen=True)
class Rash(StreamingProfile):
    """Has an opinion of what it has never seen."""

    def empty(self, series: int) -> State:
        return self.fit(Group.of([(np.arange(20), np.zeros(20))] * series))


@dataclass(frozen=True)
class Orderly(StreamingProfile):
    """Takes the last point of a batch for the newest one."""

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        answer = super().advance(state, rows, timestamps, values)
        if len(rows):
            state["times"][:, 2] = timestamps[-1]
        return answer


BROKEN = [
    (Growing(), "memory per series is bounded"),
    (Drunk(), "fitting twice gives the same"),
    (Sociable(), "a series alone learns as in a fleet"),
    (Clumsy(), "inputs are left alone"),
    (Saturated(), "farther is stranger"),
    (Careless(), "gaps and missing values are no evidence"),
    (Boundless(), "scores are positive and finite"),
    (Boastful(), "the band agrees with the score"),
    (Crowded(), "one point scores as in a batch"),
    (Secretive(), "the state has its layout"),
    (Hasty(), "a history of nothing gives no opinion"),
    (Adaptive(), "a level jump stays strange"),
    (Generous(), "bands say what scores say"),
    (Hurried(), "advance scores as score does"),
    (Impressed(), "late and missing points teach nothing"),
    (Impressed(), "an outage alarms once and teaches nothing"),
    (Stubborn(), "a lasting level is accepted at last"),
    (Nervous(), "an outage alarms once and teaches nothing"),
    (Sleepy(), "a stream may be cut anywhere"),
    (Rash(), "a series never seen gets an opinion by and by"),
    (Orderly(), "series may be mixed in a batch"),
]


@pytest.mark.parametrize(("detector", "check"), BROKEN, ids=lambda value: type(value).__name__)
def test_the_battery_catches_a_broken_detector(detector, check):
    failed: set[str] = set()
    for name, run in check_detector(detector):
        # A broken detector may also fall over in laws that it does not break by itself.
        try:
            run()
        except Exception:
            failed.add(name)
    assert check in failed
