"""What a detector is, and what it keeps of a fleet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

State = dict[str, NDArray[Any]]
"""What was learnt of a fleet: named arrays whose leading axis is the position of the series in the fleet."""

MAX_BYTES_PER_SERIES = 2048
"""A detector for whole fleets keeps no more of one series, however long its history was."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one array of a state must look like.

    Attributes
    ----------
    dtype
        NumPy's short name of the type of its elements, e.g. ``<f8``.
    shape
        Of what it holds of one series; ``()`` for one number.
    low, high
        Every element lies between them, or is NaN.
    is_new
        Artefacts from before the array existed may lack it: zeros say that nothing was learnt for it yet.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    low: float = -float(np.finfo(np.float64).max)
    high: float = float(np.finfo(np.float64).max)
    is_new: bool = False


def empty_state(layout: Mapping[str, Column], series: int) -> State:
    """Return the state of `series` series of which nothing is known: zeros in every array."""
    return {name: np.zeros((series, *column.shape), np.dtype(column.dtype)) for name, column in layout.items()}


class Detector(Protocol):
    """Learns the usual values of many series at once, and says how far others are from them.

    A detector is a frozen dataclass of its hyperparameters and holds nothing else: what it learns is a `State`.
    Every state has an array ``points``, int64[m]: how many points of each series were learnt from.
    ``check_detector`` in `atalaia.algorithms.checks` holds the laws that every detector obeys.
    """

    name: ClassVar[str]
    """What users call it."""
    parts: ClassVar[tuple[str, ...]]
    """What can decide a score; `Scores.part` holds positions in it."""
    min_points: ClassVar[int]
    """A series with fewer finite points is not learnt, and gets no opinion."""

    band_decides: ClassVar[bool]
    """Whether the score says no more than where a value lies in its band. A detector that looks at shapes too may
    score over 1.0 inside the band; then `Scores.part` names what it saw."""
    max_bytes_per_series: ClassVar[int]
    """It keeps no more of one series, however long its history was."""

    def fit(self, group: Group) -> State:
        """Return what there is to know of the m series of `group`."""
        ...

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of n points.

        Parameters
        ----------
        state
            What `fit` returned.
        rows
            int64[n], position of the series of each point, 0 to m - 1.
        timestamps
            int64[n], microseconds since the epoch.
        values
            float64[n].
        """
        ...

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        ...

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON values, by name."""
        ...

    def bands(self, state: State) -> tuple[FloatArray, FloatArray] | None:
        """Return the expected value and the allowed deviation of each series, None where they depend on the time.

        Both are float64[m], NaN where a series was not learnt: all that `score` needs beside the values.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Advanced:
    """What a streaming detector says of n points, and where its series stand after each of them.

    Attributes
    ----------
    scores
        Of each point, as its series stood before it.
    onset
        bool[n], whether an alarm of its series begins with the point.
    alarm
        bool[n], whether its series is in alarm after the point.
    """

    scores: Scores
    onset: NDArray[np.bool_]
    alarm: NDArray[np.bool_]


@runtime_checkable
class Streaming(Detector, Protocol):
    """A detector whose states learn from every point that they score."""

    def empty(self, series: int) -> State:
        """Return the states of series that have no points yet."""
        ...

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score n points, each as `score` does after all those before it, and change `state` in place.

        However a stream is cut into batches, and however its series are mixed in them, states and answers are the
        same to the last bit. A point that is not newer than the last one of its series is scored and changes
        nothing, and so does one without a usable value.

        Parameters
        ----------
        state, rows, timestamps, values
            As of `score`; the points of each series are in order of time.
        """
        ...


@runtime_checkable
class Adopting(Streaming, Protocol):
    """A streaming detector whose new series begin with what their peers have in common."""

    def adopt(self, state: State, row: int, peers: State) -> int:
        """Let a row without points begin with what the series of `peers` have in common.

        `advance` depends on the row alone, before and after. Peers that know too little give nothing; with none the
        row stays as it is. Returns how many gave something.
        """
        ...
