"""The autoencoder: how badly a small network of a series gives back its newest points."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from atalaia.algorithms.deep.columns import Batch, Found
from atalaia.algorithms.deep.networks import AUTOENCODER, Network
from atalaia.algorithms.detectors.bands import SCORE_CAP
from atalaia.algorithms.detectors.hyperparameters import text
from atalaia.algorithms.detectors.protocol import Advanced, Column, State
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.detectors.with_network import MIN_POINTS, WithNetwork
from atalaia.algorithms.local_time import zone_name
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

_PROFILE = "profile_"


@dataclass(frozen=True)
class Autoencoder(WithNetwork):
    """How badly a small network, trained to squeeze windows of its series into six numbers, gives the newest back.

    Windows hold the last 32 points in scales of the series; two layers squeeze them and two unfold them (Hinton and
    Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006): 2,534 weights. Each
    series has its own, trained by PyTorch from the same first weights; ONNX Runtime asks it.

    The score is the root of the mean squared error of the last 16 points, divided by what is allowed. That comes
    from the errors of the series so far, and follows the stream so that there are about ``false_alarms_per_week``.
    An alarm opens with one point over it and closes after ``close_points`` in a row under it. While it is open
    nothing is learnt; after ``accept_hours`` its level is the new normal.

    The state takes 13 KB a series, however long the history was.

    - `score` looks at a point behind those that the states have seen: ask it for the next point of a series.
      `advance` takes points one after another.
    - What was strange stays in the window for 31 points more: an alarm may outlast its cause by so much.
    - It knows the order of points and not their times: gaps and irregular steps are not seen, and a time of day
      only as far as 32 points tell it.
    - A point that is not newer than the last one of its series is scored, and changes nothing. Nor does NaN, which
      gets no score, nor an infinite value, which gets a high one.
    - Fewer than 96 points: not learnt, no opinion. For a series that was never trained and has had 96 points the
      error is how far its window is from its level.
    - Expected value and band are those of `StreamingProfile`; a shape may be strange inside the band.
    """

    name: ClassVar[str] = "autoencoder"
    parts: ClassVar[tuple[str, ...]] = ("shape",)
    min_points: ClassVar[int] = MIN_POINTS
    band_decides: ClassVar[bool] = False
    max_bytes_per_series: ClassVar[int] = 16 * 1024
    network: ClassVar[Network] = AUTOENCODER
    foretells: ClassVar[bool] = False

    timezone: str = text("UTC", zone_name)

    def fit(self, group: Group) -> State:
        """Return the states after a training, and a pass over each history as if it had just been streamed."""
        state = self._learnt(group)
        for name, array in self._profile.fit(group).items():
            state[_PROFILE + name][:] = array
        return state

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of points as the states stand, each as the next point of its series."""
        told = self._profile.score(_profile_of(state), rows, timestamps, values)
        return _scores(told, values, self._weighed(state, rows, timestamps, values))

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score points as `score` does, each after those before it of its series, and learn from each."""
        told = self._profile.advance(_profile_of(state), rows, timestamps, values).scores
        found = self._passed(state, Batch(rows, timestamps, values))
        return Advanced(_scores(told, values, found), found.onset, found.alarm)

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        profile = {_PROFILE + name: column for name, column in self._profile.layout().items()}
        return {**super().layout(), **profile}

    @property
    def _profile(self) -> StreamingProfile:
        return StreamingProfile(timezone=self.timezone)


def _profile_of(state: State) -> State:
    return {name.removeprefix(_PROFILE): array for name, array in state.items() if name.startswith(_PROFILE)}


def _scores(told: Scores, values: FloatArray, found: Found) -> Scores:
    """Return the scores of windows, with the band of the profile where there is an opinion at all."""
    score = np.where(np.isnan(values), np.nan, np.minimum(found.error / found.most, SCORE_CAP))
    unknown = np.isnan(found.most)
    expected, lower, upper = (np.where(unknown, np.nan, band) for band in (told.expected, told.lower, told.upper))
    return Scores(score, expected, lower, upper, np.zeros(len(values), np.int16))
