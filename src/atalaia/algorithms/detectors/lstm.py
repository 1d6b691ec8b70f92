"""The LSTM: how far a value is from what a small network of its series foretells from the points before."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from atalaia.algorithms.deep.columns import Batch, Found
from atalaia.algorithms.deep.networks import LSTM, Network
from atalaia.algorithms.detectors.bands import judge
from atalaia.algorithms.detectors.protocol import Advanced, State
from atalaia.algorithms.detectors.with_network import MIN_POINTS, WithNetwork
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores


@dataclass(frozen=True)
class Lstm(WithNetwork):
    """How far a value is from what a small recurrent network foretells from the last 32 points of its series.

    The network is an LSTM (Hochreiter and Schmidhuber, "Long short-term memory", 1997) with 16 hidden numbers. It
    reads eight points at a time and foretells by how much the next differs from the last: 1,617 weights. Each
    series has its own, trained by PyTorch from the same first weights; ONNX Runtime asks it.

    ``score = |value - forecast| / allowed``. What is allowed comes from the errors of the series so far, and
    follows the stream so that there are about ``false_alarms_per_week``. An alarm opens with one point outside of
    the band and closes after ``close_points`` in a row inside. While it is open nothing is learnt, and points
    outside are left out of the 32, so that an outage is not foretold; after ``accept_hours`` its level is the new
    normal.

    The state takes 7.8 KB a series, however long the history was.

    - `score` foretells from the points that the states have seen: ask it for the next point of a series. `advance`
      takes points one after another.
    - It knows the order of points and not their times: gaps and irregular steps are not seen, and a time of day
      only as far as 32 points tell it.
    - A point that is not newer than the last one of its series is scored, and changes nothing. Nor does NaN, which
      gets no score, nor an infinite value, which gets a high one.
    - Fewer than 96 points: not learnt, no opinion. A series that was never trained and has had 96 points is
      expected to stay where it is.
    - A constant series alarms when it moves by a millionth of its level.
    - After a jump of the level points are anomalous until the new level is accepted.
    """

    name: ClassVar[str] = "lstm"
    parts: ClassVar[tuple[str, ...]] = ("forecast",)
    min_points: ClassVar[int] = MIN_POINTS
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = 16 * 1024
    network: ClassVar[Network] = LSTM
    foretells: ClassVar[bool] = True

    def fit(self, group: Group) -> State:
        """Return the states after a training, and a pass over each history as if it had just been streamed."""
        return self._learnt(group)

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of points as the states stand, each as the next point of its series."""
        return _scores(values, self._weighed(state, rows, timestamps, values))

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score points as `score` does, each after those before it of its series, and learn from each."""
        found = self._passed(state, Batch(rows, timestamps, values))
        return Advanced(_scores(values, found), found.onset, found.alarm)


def _scores(values: FloatArray, found: Found) -> Scores:
    return judge(values, found.expected, found.allowed, np.zeros(len(values), np.int16))
