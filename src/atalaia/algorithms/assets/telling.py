"""Moments are judged in order, and of those that are strange it is said which sensors made them so.

To find the causes costs as much as judging thousands of moments, so that not every moment of a long alarm is looked
into. Which are depends on nothing but the moments before: however they come in batches, the same is told.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.assets.protocol import AssetDetector, AssetScores, Deviation
from atalaia.algorithms.detectors.protocol import State
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD

FIRST_LOOKS, EVERY = 30, 10
"""Each of the first moments of an alarm is looked into, then every tenth, and those at which it may have ended."""
_HIGHER = 1.1
"""And each that is by so much stranger than any that was looked into."""
_BEARS = 0.5
"""An alarm moves to another sensor when that is off by so much of its score: else it is the end of what was."""
_AHEAD = 256


def calm() -> FloatArray:
    """Return where an asset stands that is in no alarm.

    That is float64[4]: strange moments of the alarm, the sensor that it is blamed on (-1 for none), the highest
    score of a moment that was looked into, and whether the sensor was off at the last of them.
    """
    return np.array([0.0, -1.0, 0.0, 0.0])


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a strange moment.

    Attributes
    ----------
    score
        Of the asset; no more than that of the strangest moment looked into, if this one was not.
    sensor
        Which one the alarm is blamed on; -1 for none so far. As long as it is among the causes it stays the same.
    causes
        The sensors that are off, that one first; empty if none is any more, or nobody looked.
    is_off
        Whether the sensor is still off, as far as is known.
    """

    score: float
    sensor: int
    causes: tuple[Deviation, ...]
    is_off: bool


def advance_and_tell(
    detector: AssetDetector, state: State, values: FloatArray, stand: FloatArray
) -> tuple[AssetScores, dict[int, Told]]:
    """Judge moments, and say what is to be said of the strange ones, by their position.

    `state` stands behind the last of them then, and `stand`, see `calm`, too.
    """
    found, told = AssetScores.none(*values.shape), dict[int, Told]()
    at = 0
    while at < len(values):
        if stand[0] == 0.0:
            ahead = values[at : at + _AHEAD]
            calm_ones = _calm(detector, state, ahead)
            _take(found, at, detector.advance(state, ahead[:calm_ones]))
            at += calm_ones
            if calm_ones == len(ahead):
                continue
        one = detector.advance(state, values[at : at + 1])
        _take(found, at, one)
        score = float(one.score[0])
        if score > THRESHOLD:
            told[at] = _told(detector, state, one, score, stand)
        elif score <= THRESHOLD:  # else nothing is known of the moment
            stand[:] = calm()
        at += 1
    return found, told


def _calm(detector: AssetDetector, state: State, values: FloatArray) -> int:
    """Return how many of the next moments are calm, before the first strange one."""
    strange = detector.score(state, values).score > THRESHOLD
    return int(np.argmax(strange)) if strange.any() else len(values)


def _take(found: AssetScores, at: int, part: AssetScores) -> None:
    for name in ("score", "sensor", "parts"):
        whole: NDArray[np.float64] = getattr(found, name)
        whole[at : at + len(part)] = getattr(part, name)


def _told(detector: AssetDetector, state: State, one: AssetScores, score: float, stand: FloatArray) -> Told:
    stand[0] += 1.0
    blamed, strangest, was_off = int(stand[1]), int(one.sensor[0]), bool(stand[3])
    looks = stand[0] <= FIRST_LOOKS or stand[0] % EVERY == 0 or score > _HIGHER * stand[2]
    if not looks and (not was_off or one.parts[0, blamed] > THRESHOLD):
        return Told(min(score, float(stand[2])), blamed, (), was_off)
    causes = detector.explain(state)
    places = [cause.sensor for cause in causes]
    if blamed not in places:
        bearing = [cause.sensor for cause in causes if blamed < 0 or cause.score > _BEARS * score]
        blamed = bearing[0] if bearing else blamed
    is_off = blamed in places
    if blamed < 0 and one.parts[0, strangest] > THRESHOLD:
        blamed, is_off = strangest, True
    stand[1:] = blamed, max(stand[2], score), is_off
    first = [cause for cause in causes if cause.sensor == blamed]
    return Told(score, blamed, (*first, *(cause for cause in causes if cause.sensor != blamed)), is_off)
