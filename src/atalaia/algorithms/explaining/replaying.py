"""What a model says of a stretch of history, each point as its series stood before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.adoption import begun
from atalaia.algorithms.detectors.protocol import State, Streaming
from atalaia.algorithms.local_time import HOUR_US
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.streaming.columns import ACCEPTED
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD, Scores

_ALARM_COLUMNS = ("state", "alarm")
"""Arrays of streaming states that say whether a series is in alarm, and whether that has become the new normal."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What was said of n points.

    Attributes
    ----------
    scores
        NaN for those that were learnt from first.
    alarm
        bool[n], whether the series is in alarm after the point.
    is_accepted
        Whether the newest alarm has lasted for so long that what it showed is learnt as the new normal.
    """

    scores: Scores
    alarm: NDArray[np.bool_]
    is_accepted: bool


def replay(model: FleetModel, row: int, timestamps: IntArray, values: FloatArray, learn: int) -> Replay:
    """Return what the model of one series says of n points of it, in order of time.

    A model that learns as it goes is not asked as it stands now, since it knows by now what came: its detector
    learns the first `learn` points as a training does, and is then led over the others. What it knew from before
    is not in it, but for what peers gave to a series that was adopted. Any other model says what it always says.
    """
    detector = model.detector
    if not isinstance(detector, Streaming):
        scores = model.score(np.full(len(values), row, np.int64), timestamps, values)
        return Replay(scores, scores.score > THRESHOLD, is_accepted=False)
    if model.peers_of(row) is not None:  # it never was at a training
        state, first = begun(model, row), np.zeros(learn, np.int64)
        detector.advance(state, first, timestamps[:learn], values[:learn])
    else:
        state = detector.fit(Group(timestamps[:learn], values[:learn], np.array([0, learn], np.int64)))
    rest = len(values) - learn
    told = detector.advance(state, np.zeros(rest, np.int64), timestamps[learn:], values[learn:])
    alarm = np.concatenate([np.zeros(learn, np.bool_), told.alarm])
    is_accepted = _is_accepted(state) or _has_lasted(alarm, timestamps, getattr(detector, "accept_hours", None))
    return Replay(_behind(told.scores, learn), alarm, is_accepted)


def _behind(scores: Scores, learn: int) -> Scores:
    nothing = np.full(learn, np.nan)
    return Scores(
        np.concatenate([nothing, scores.score]),
        np.concatenate([nothing, scores.expected]),
        np.concatenate([nothing, scores.lower]),
        np.concatenate([nothing, scores.upper]),
        np.concatenate([np.zeros(learn, np.int16), scores.part]),
    )


def _is_accepted(state: State) -> bool:
    column = next((state[name] for name in _ALARM_COLUMNS if name in state), None)
    return column is not None and int(column[0]) == ACCEPTED


def _has_lasted(alarm: NDArray[np.bool_], timestamps: IntArray, hours: float | None) -> bool:
    """Return whether the newest alarm was as long as one must be to be accepted; it is over soon after that."""
    places = np.flatnonzero(alarm)
    if hours is None or not len(places):
        return False
    quiet = np.flatnonzero(~alarm[: places[-1]])
    first = int(quiet[-1]) + 1 if len(quiet) else 0
    return int(timestamps[places[-1]] - timestamps[first]) >= hours * HOUR_US
