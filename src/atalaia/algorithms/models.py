"""A trained model of one fleet: a detector, what it learnt of each series, and how well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import Member, pack, unpack
from atalaia.algorithms.detectors import DETECTORS, Detector, State, make_detector
from atalaia.algorithms.detectors.spread import usable
from atalaia.algorithms.sentences import sentence
from atalaia.core.errors import Broken, Invalid
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD, Confidence, Explanation, Scores

FORMAT = "atalaia.fleet-model"
FORMAT_VERSION = 1

ENOUGH = 10
"""A series learnt from this many times the least number of points is trusted fully."""

_CHUNK_POINTS = 65_536
_READINESS = "readiness"
_CONFIDENCES = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


@dataclass(frozen=True, eq=False)
class FleetModel:
    """What one training made of one fleet.

    Attributes
    ----------
    series_ids
        Names of the m series, by position.
    state
        What the detector learnt, see `atalaia.algorithms.detectors.protocol`.
    readiness
        int8[m]: 0 for a series that had too few points to be learnt (fewer than the detector's `min_points`), 2 for
        one with ten times as many or more, 1 between.
    trained
        Training metrics, see `metrics`.
    """

    detector: Detector
    series_ids: tuple[str, ...]
    state: State
    readiness: NDArray[np.int8]
    trained: Mapping[str, float]
    _rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {name: row for row, name in enumerate(self.series_ids)})

    @staticmethod
    def fit(detector: Detector, series_ids: Sequence[str], group: Group) -> "FleetModel":
        """Return the model that `detector` learns from the histories of `series_ids`, in the order of `group`.

        Raises
        ------
        ValueError
            If there are not as many different names as series.
        """
        if len(set(series_ids)) != len(group) or len(series_ids) != len(group):
            raise ValueError("a group needs one name for each of its series, and no name twice")
        state = detector.fit(group)
        points = state["points"]
        readiness = (points >= detector.min_points).astype(np.int8)
        readiness += points >= ENOUGH * detector.min_points
        trained = _measure(detector, state, group, readiness)
        return FleetModel(detector, tuple(series_ids), state, readiness, trained)

    def score(self, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of n points; `rows` are positions of series, see `row_of`.

        Raises
        ------
        IndexError
            If a row is not the position of a series.
        """
        # A negative index would quietly score the point as another series.
        if len(rows) and int(rows.min()) < 0:
            raise IndexError("a row is negative")
        return self.detector.score(self.state, rows, timestamps, values)

    def row_of(self, series_id: str) -> int | None:
        """Return the position of a series, None if the model does not know it."""
        return self._rows.get(series_id)

    def confidence(self, row: int) -> Confidence:
        """Return high, medium or low for readiness 2, 1 or 0."""
        return _CONFIDENCES[int(self.readiness[row])]

    def explain(self, scores: Scores, i: int, value: float) -> Explanation:
        """Return why point `i` of `scores`, which was `value`, has its score."""
        part = self.detector.parts[int(scores.part[i])]
        expected, lower, upper = float(scores.expected[i]), float(scores.lower[i]), float(scores.upper[i])
        text = sentence(float(scores.score[i]), value, expected, lower, upper, part)
        if not isfinite(expected):
            return Explanation(None, None, None, part, text)
        return Explanation(expected, lower, upper, part, text)

    def metrics(self) -> dict[str, float]:
        """Return what the training measured.

        ``series`` and ``series_ready``: how many were given, and learnt. ``points`` and ``points_ignored``: usable
        and unusable ones. ``training_anomaly_share``: share of the scored training points over the threshold.
        ``training_error``: mean absolute error of the expected value, in parts of the allowed deviation (the mean
        score, each counted as 10 at most). ``series_<part>``: learnt series whose scores that part decides.
        """
        return dict(self.trained)

    @property
    def nbytes(self) -> int:
        """Bytes that the model keeps in memory, its names included, within some percent."""
        arrays = sum(array.nbytes for array in self.state.values()) + self.readiness.nbytes
        # An entry of a dictionary and the header of a string take about 150 bytes.
        return arrays + sum(len(name) + 150 for name in self.series_ids)

    def to_bytes(self) -> bytes:
        """Return the model as one artefact; the same model always gives the same bytes."""
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "detector": self.detector.name,
            "hyperparameters": self.detector.hyperparameters(),
            "series_ids": self.series_ids,
            "metrics": dict(self.trained),
        }
        return pack(header, {**self.state, _READINESS: self.readiness})

    @staticmethod
    def from_bytes(data: bytes, registry: Mapping[str, type[Detector]] = DETECTORS) -> "FleetModel":
        """Return the model that `to_bytes` wrote.

        Nothing in `data` is run, and nothing is allocated that exceeds its size.

        Raises
        ------
        Broken
            ``bad_artifact`` when `data` is cut, was changed, or is anything else than such a model of a detector in
            `registry`.
        """
        try:
            header, members = unpack(data)
            return _restore(header, members, registry)
        except (ValueError, Invalid) as reason:
            raise Broken("bad_artifact", f"the model artefact cannot be used: {reason}") from reason


def _restore(
    header: dict[str, Any], members: dict[str, Member], registry: Mapping[str, type[Detector]]
) -> FleetModel:
    if (header.get("format"), header.get("version")) != (FORMAT, FORMAT_VERSION):
        raise ValueError("it is not a fleet model, or of a later version")
    detector = make_detector(_of(header, "detector", str), _of(header, "hyperparameters", dict), registry)
    series_ids = _names(_of(header, "series_ids", list))
    layout = detector.layout()
    if set(members) != {*layout, _READINESS}:
        raise ValueError("it does not hold the arrays of its detector")
    state: State = {}
    for name, column in layout.items():
        state[name] = members[name].array(column.dtype, (len(series_ids), *column.shape))
        _check_range(name, state[name], column.low, column.high)
    readiness = members[_READINESS].array("|i1", (len(series_ids),))
    _check_range(_READINESS, readiness, 0, len(_CONFIDENCES) - 1)
    return FleetModel(detector, series_ids, state, readiness, _numbers(_of(header, "metrics", dict)))


def _of(header: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = header.get(key)
    if type(value) is not kind:
        raise ValueError(f"the header has no {key}")
    return value


def _names(series_ids: list[Any]) -> tuple[str, ...]:
    if not all(type(name) is str for name in series_ids) or len(set(series_ids)) != len(series_ids):
        raise ValueError("the names of its series are not different texts")
    return tuple(series_ids)


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    # Integers may be too large for a float; the range is checked first.
    if not all(type(number) in (int, float) and abs(number) < 1e300 for number in metrics.values()):
        raise ValueError("a metric is not a number")
    return {name: float(number) for name, number in metrics.items()}


def _check_range(name: str, array: NDArray[Any], low: float, high: float) -> None:
    # As 64 bits, where the largest bounds stay finite, so that an infinity lies outside them.
    numbers = array.astype(np.float64)
    if bool(((numbers < low) | (numbers > high)).any()):
        raise ValueError(f"array {name} holds values that no training gives")


def _measure(detector: Detector, state: State, group: Group, readiness: NDArray[np.int8]) -> dict[str, float]:
    """Return the training metrics, from scoring the training points chunk by chunk."""
    scored = strange = unusable = 0
    error = 0.0
    for start in range(0, len(group.values), _CHUNK_POINTS):
        chunk = slice(start, start + _CHUNK_POINTS)
        places = np.arange(start, min(start + _CHUNK_POINTS, len(group.values)))
        rows = np.searchsorted(group.indptr, places, side="right") - 1
        values = group.values[chunk]
        score = detector.score(state, rows, group.timestamps[chunk], values).score
        known = usable(values) & ~np.isnan(score)
        unusable += len(values) - int(usable(values).sum())
        scored += int(known.sum())
        strange += int((score[known] > THRESHOLD).sum())
        error += float(np.minimum(score[known], 10.0).sum())
    return {
        "series": float(len(group)),
        "series_ready": float((readiness > 0).sum()),
        "points": float(len(group.values) - unusable),
        "points_ignored": float(unusable),
        "training_anomaly_share": strange / scored if scored else 0.0,
        "training_error": error / scored if scored else 0.0,
        **_deciders(detector, state, group, readiness),
    }


def _deciders(detector: Detector, state: State, group: Group, readiness: NDArray[np.int8]) -> dict[str, float]:
    """Return for each part of the detector in how many series it decides, by the last point of each."""
    rows = np.flatnonzero(readiness > 0)
    last = group.indptr[rows + 1] - 1
    part = detector.score(state, rows, group.timestamps[last], group.values[last]).part
    counts = np.bincount(part, minlength=len(detector.parts))
    return {f"series_{name}": float(count) for name, count in zip(detector.parts, counts, strict=True)}
