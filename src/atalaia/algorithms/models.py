"""A trained model of one fleet: a detector, what it learnt of each series, and how well."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import Member, pack, unpack
from atalaia.algorithms.detectors import DETECTORS, Detector, State, make_detector
from atalaia.algorithms.detectors.bands import judge_one
from atalaia.algorithms.detectors.protocol import Adopting
from atalaia.algorithms.detectors.spread import usable
from atalaia.algorithms.sentences import SHAPES, sentence
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
    bands
        What the detector expects of each series and how far values may be from it, float64[m] each, where neither
        depends on the time; None where they do.
    trained
        Training metrics, see `metrics`.
    adopted
        The last series were not there at the training. For each of them, the rows of the peers that it began from.
    """

    detector: Detector
    series_ids: tuple[str, ...]
    state: State
    readiness: NDArray[np.int8]
    trained: Mapping[str, float]
    bands: tuple[FloatArray, FloatArray] | None = field(init=False, repr=False)
    adopted: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", self.detector.bands(self.state))

    @staticmethod
    def fit(detector: Detector, series_ids: Sequence[str], group: Group) -> "FleetModel":
        """Return the model that `detector` learns from the histories of `series_ids`, in the order of `group`.

        Raises
        ------
        ValueError
            If there are not as many different names as series.
        """
        if len(series_ids) != len(group):
            raise ValueError("a group needs one name for each of its series")
        return FleetModel.fit_parts(detector, series_ids, [(np.arange(len(group)), group)])

    @staticmethod
    def fit_parts(
        detector: Detector, series_ids: Sequence[str], parts: Iterable[tuple[IntArray, Group]]
    ) -> "FleetModel":
        """Return the model that `detector` learns, from histories that come in parts.

        Series are learnt one by one, so that the result does not depend on the parts, and one part at a time is all
        that has to be in memory.

        Parameters
        ----------
        parts
            Positions in `series_ids`, and the histories of those series in the same order. A series that no part
            brings is not learnt.

        Raises
        ------
        ValueError
            If a name stands there twice.
        """
        if len(set(series_ids)) != len(series_ids):
            raise ValueError("each series needs one name of its own")
        state = {name: array.copy() for name, array in detector.fit(_nothing(len(series_ids))).items()}
        trained: dict[str, float] = {}
        for places, group in parts:
            learnt = detector.fit(group)
            for name, array in learnt.items():
                state[name][places] = array
            for name, amount in _measured(detector, learnt, group).items():
                trained[name] = trained.get(name, 0.0) + amount
        readiness = _readiness(detector, state["points"])
        metrics = _metrics(detector, trained, len(series_ids), readiness)
        return FleetModel(detector, tuple(series_ids), state, readiness, metrics)

    def without(self, gone: Container[str]) -> "FleetModel":
        """Return the same model without some series; the others are scored as before, bit for bit."""
        kept = [row for row, name in enumerate(self.series_ids) if name not in gone]
        rows = np.array(kept, np.int64)
        state = {name: array[rows] for name, array in self.state.items()}
        readiness = self.readiness[rows]
        counts = {"series": float(len(rows)), "series_ready": float((readiness > 0).sum())}
        names = tuple(self.series_ids[row] for row in kept)
        moved = {row: new for new, row in enumerate(kept)}
        adopted = tuple(
            tuple(moved[peer] for peer in self.adopted[row - self.members] if peer in moved)
            for row in kept
            if row >= self.members
        )
        return FleetModel(self.detector, names, state, readiness, {**self.trained, **counts}, adopted)

    @property
    def members(self) -> int:
        """How many of its series were there at the training; those that were adopted come behind them."""
        return len(self.series_ids) - len(self.adopted)

    def peers_of(self, row: int) -> tuple[int, ...] | None:
        """Return the rows that a series began from, None for one that was there at the training."""
        return None if row < self.members else self.adopted[row - self.members]

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

    def alive(self) -> "FleetModel":
        """Return the same model with a state of its own, which a streaming detector may go on teaching."""
        state = {name: array.copy() for name, array in self.state.items()}
        return FleetModel(self.detector, self.series_ids, state, self.readiness, self.trained, self.adopted)

    def score_one(self, row: int, timestamp: int, value: float) -> tuple[float, float, float, float, int]:
        """Return score, expected value, lower and upper end of the band, and part, of one point."""
        if self.bands is not None:
            expected, allowed = self.bands[0].item(row), self.bands[1].item(row)
            return judge_one(value, expected, allowed), expected, expected - allowed, expected + allowed, 0
        at = np.array([row]), np.array([timestamp]), np.array([value], np.float64)
        scores = self.detector.score(self.state, *at)
        band = (scores.expected.item(0), scores.lower.item(0), scores.upper.item(0))
        return scores.score.item(0), *band, scores.part.item(0)

    def row_of(self, series_id: str) -> int | None:
        """Return the position of a series, None if the model does not know it."""
        return self._rows.get(series_id)

    @cached_property
    def _rows(self) -> dict[str, int]:
        # Made when it is first asked for: those who serve a whole fleet go by rows.
        return {name: row for row, name in enumerate(self.series_ids)}

    def confidence(self, row: int) -> Confidence:
        """Return high, medium or low for readiness 2, 1 or 0."""
        return _CONFIDENCES[self.ready(row)]

    def ready(self, row: int) -> int:
        """Return the readiness of a series; that of an adopted one grows with its points."""
        if row < self.members:
            return int(self.readiness[row])
        return int(_readiness(self.detector, self.state["points"][row : row + 1])[0])

    def explain(self, scores: Scores, i: int, value: float) -> Explanation:
        """Return why point `i` of `scores`, which was `value`, has its score."""
        band = (float(scores.expected[i]), float(scores.lower[i]), float(scores.upper[i]))
        return self.explain_one(value, float(scores.score[i]), *band, int(scores.part[i]))

    def explain_one(
        self, value: float, score: float, expected: float, lower: float, upper: float, decider: int
    ) -> Explanation:
        """Return why `value` has its score, see `score_one`."""
        part = self.detector.parts[decider]
        # What the last points say is in the score too; the sentence speaks of the value and its band.
        is_told = part not in SHAPES and upper > expected
        times = abs(value - expected) / (upper - expected) if is_told else score
        text = sentence(times, value, expected, lower, upper, part)
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
            **({"adopted": self.adopted} if self.adopted else {}),
        }
        return pack(header, {**self.state, _READINESS: self.readiness})

    @staticmethod
    def from_bytes(data: bytes | memoryview, registry: Mapping[str, type[Detector]] = DETECTORS) -> "FleetModel":
        """Return the model that `to_bytes` wrote; its arrays stay in `data` and cannot be written.

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
    needed = {name for name, column in layout.items() if not column.is_new} | {_READINESS}
    if not needed <= set(members) <= {*layout, _READINESS}:
        raise ValueError("it does not hold the arrays of its detector")
    state: State = {}
    for name, column in layout.items():
        shape = len(series_ids), *column.shape
        state[name] = members[name].array(column.dtype, shape) if name in members else np.zeros(shape, column.dtype)
        _check_range(name, state[name], column.low, column.high)
    readiness = members[_READINESS].array("|i1", (len(series_ids),))
    _check_range(_READINESS, readiness, 0, len(_CONFIDENCES) - 1)
    metrics, adopted = (
        _numbers(_of(header, "metrics", dict)),
        _adopted(_of({"adopted": [], **header}, "adopted", list), len(series_ids)),
    )
    if adopted and not isinstance(detector, Adopting):
        raise ValueError("its detector adopts no series")
    return FleetModel(detector, series_ids, state, readiness, metrics, adopted)


def _adopted(told: list[Any], series: int) -> tuple[tuple[int, ...], ...]:
    members = series - len(told)
    known = members >= 0 and all(
        type(peers) is list and all(type(peer) is int and 0 <= peer < members for peer in cast(list[Any], peers))
        for peers in told
    )
    if not known:
        raise ValueError("the peers of adopted series are not its series")
    return tuple(tuple(peers) for peers in told)


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


def _nothing(series: int) -> Group:
    return Group(np.empty(0, np.int64), np.empty(0), np.zeros(series + 1, np.int64))


def _readiness(detector: Detector, points: NDArray[Any]) -> NDArray[np.int8]:
    readiness = (points >= detector.min_points).astype(np.int8)
    readiness += points >= ENOUGH * detector.min_points
    return readiness


def _measured(detector: Detector, state: State, group: Group) -> dict[str, float]:
    """Return sums over the training points, scored chunk by chunk, and what decides in how many series."""
    sums = dict.fromkeys(("points", "points_ignored", "scored", "strange", "error"), 0.0)
    for start in range(0, len(group.values), _CHUNK_POINTS):
        chunk = slice(start, start + _CHUNK_POINTS)
        places = np.arange(start, min(start + _CHUNK_POINTS, len(group.values)))
        rows = np.searchsorted(group.indptr, places, side="right") - 1
        values = group.values[chunk]
        score = detector.score(state, rows, group.timestamps[chunk], values).score
        can_teach = usable(values)
        known = can_teach & ~np.isnan(score)
        sums["points"] += int(can_teach.sum())
        sums["points_ignored"] += int((~can_teach).sum())
        sums["scored"] += int(known.sum())
        sums["strange"] += int((score[known] > THRESHOLD).sum())
        sums["error"] += float(np.minimum(score[known], 10.0).sum())
    return sums | _deciders(detector, state, group)


def _metrics(
    detector: Detector, sums: Mapping[str, float], series: int, readiness: NDArray[np.int8]
) -> dict[str, float]:
    scored = sums.get("scored", 0.0)
    return {
        "series": float(series),
        "series_ready": float((readiness > 0).sum()),
        "points": sums.get("points", 0.0),
        "points_ignored": sums.get("points_ignored", 0.0),
        "training_anomaly_share": sums["strange"] / scored if scored else 0.0,
        "training_error": sums["error"] / scored if scored else 0.0,
        **{f"series_{name}": sums.get(f"series_{name}", 0.0) for name in detector.parts},
    }


def _deciders(detector: Detector, state: State, group: Group) -> dict[str, float]:
    """Return for each part of the detector in how many series it decides, by the last point of each."""
    rows = np.flatnonzero(_readiness(detector, state["points"]) > 0)
    last = group.indptr[rows + 1] - 1
    part = detector.score(state, rows, group.timestamps[last], group.values[last]).part
    counts = np.bincount(part, minlength=len(detector.parts))
    return {f"series_{name}": float(count) for name, count in zip(detector.parts, counts, strict=True)}
