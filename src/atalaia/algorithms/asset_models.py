"""A trained model of one asset: a detector, the names of the sensors, and what was learnt."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import Member, pack, unpack
from atalaia.algorithms.assets.moments import Pace
from atalaia.algorithms.assets.protocol import MAX_SENSORS, AssetDetector, AssetScores, Deviation
from atalaia.algorithms.detectors import hyperparameters
from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.algorithms.forests import IsolationForest
from atalaia.algorithms.relations import Relations
from atalaia.core.errors import Broken, Fault, Invalid
from atalaia.core.points import FloatArray

FORMAT = "atalaia.asset-model"
FORMAT_VERSION = 1

ASSET_DETECTORS: dict[str, type[AssetDetector]] = {
    Relations.name: Relations,
    IsolationForest.name: IsolationForest,
}
"""Detectors of assets, by name."""


def make_asset_detector(
    name: str, given: Mapping[str, Any], registry: Mapping[str, type[AssetDetector]] = ASSET_DETECTORS
) -> AssetDetector:
    """Return the detector called `name` with the hyperparameters `given`; those not given keep their defaults.

    Raises
    ------
    Invalid
        ``unknown_algorithm`` or ``invalid_hyperparameters``, as `atalaia.algorithms.detectors.make_detector` does.
    """
    if name not in registry:
        message = f"{name[:40]!r} is not an algorithm for assets; choose one of {', '.join(registry)}"
        raise Invalid("unknown_algorithm", message, faults=[Fault("/config/algorithm", message)])
    kind: Any = registry[name]
    detector: AssetDetector = kind(**hyperparameters.read(kind, given))
    return detector


@dataclass(frozen=True, eq=False)
class AssetModel:
    """What one training made of one asset.

    Attributes
    ----------
    detector
        With its hyperparameters.
    sensors
        Names of the k sensors, in the order of the columns.
    state
        What the detector learnt, see `atalaia.algorithms.assets.protocol`.
    pace
        How often the sensors are read; None for one that is only ever given moments.
    """

    detector: AssetDetector
    sensors: tuple[str, ...]
    state: State
    pace: Pace | None = None

    @staticmethod
    def fit(
        detector: AssetDetector, sensors: Sequence[str], values: FloatArray, pace: Pace | None = None
    ) -> "AssetModel":
        """Return the model that `detector` learns from a history, float64[n, k].

        Raises
        ------
        ValueError
            If the sensors have not each a name of their own.
        """
        if len(set(sensors)) != len(sensors) or values.shape[1:] != (len(sensors),):
            raise ValueError("each sensor needs one name of its own")
        return AssetModel(detector, tuple(sensors), detector.fit(values), pace)

    def without(self, gone: Container[str]) -> "AssetModel":
        """Return the same model without some sensors; the others are judged as if these were missing for good."""
        stay = [i for i, name in enumerate(self.sensors) if name not in gone]
        kept, names = np.array(stay, np.intp), tuple(self.sensors[i] for i in stay)
        pace = None if self.pace is None else self.pace.without(kept)
        return AssetModel(self.detector, names, self.detector.without(self.state, kept), pace)

    def alive(self) -> "AssetModel":
        """Return the same model with a state of its own, to `advance`."""
        state = {name: array.copy() for name, array in self.state.items()}
        return AssetModel(self.detector, self.sensors, state, self.pace)

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The sensors, as series."""
        return self.sensors

    @property
    def trained(self) -> dict[str, float]:
        """Return how many ``series`` it is of, how many of them were learnt, and from how many points."""
        counts = (len(self.sensors), self.ready.sum(), self.state["points"].sum())
        return dict(zip(("series", "series_ready", "points"), map(float, counts), strict=True))

    def score(self, values: FloatArray) -> AssetScores:
        """Return the scores of moments that follow what the model has seen, and leave it as it is."""
        return self.detector.score(self.state, values)

    def advance(self, values: FloatArray) -> AssetScores:
        """Score moments, and let the model stand behind the last of them."""
        return self.detector.advance(self.state, values)

    def explain(self) -> tuple[tuple[str, Deviation], ...]:
        """Return the sensors that made the last moment strange, by name, the first cause first."""
        return tuple((self.sensors[found.sensor], found) for found in self.detector.explain(self.state))

    @property
    def ready(self) -> NDArray[np.bool_]:
        """bool[k], which sensors were learnt."""
        return self.state["points"] >= self.detector.min_points

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays of the model keep in memory."""
        return sum(array.nbytes for array in self.state.values())

    def to_bytes(self) -> bytes:
        """Return the model as one artefact; the same model always gives the same bytes."""
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "detector": self.detector.name,
            "hyperparameters": self.detector.hyperparameters(),
            "sensors": self.sensors,
        }
        return pack(header, {**self.state, **({} if self.pace is None else _members_of(self.pace))})

    @staticmethod
    def from_bytes(
        data: bytes | memoryview, registry: Mapping[str, type[AssetDetector]] = ASSET_DETECTORS
    ) -> "AssetModel":
        """Return the model that `to_bytes` wrote, with arrays of its own.

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
    header: dict[str, Any], members: dict[str, Member], registry: Mapping[str, type[AssetDetector]]
) -> AssetModel:
    if (header.get("format"), header.get("version")) != (FORMAT, FORMAT_VERSION):
        raise ValueError("it is not a model of an asset, or of a later version")
    name, given, sensors = (header.get(key) for key in ("detector", "hyperparameters", "sensors"))
    if not isinstance(name, str) or not isinstance(given, dict) or not isinstance(sensors, list):
        raise ValueError("the header does not say what it is a model of")
    detector = make_asset_detector(name, given, registry)  # pyright: ignore[reportUnknownArgumentType]
    names = _names(sensors)  # pyright: ignore[reportUnknownArgumentType]
    layout, of_pace = detector.layout(len(names)), set(_PACE) & set(members)
    if set(members) - of_pace != set(layout):
        raise ValueError("it does not hold the arrays of its detector")
    state = {key: _checked(members[key], column) for key, column in layout.items()}
    detector.check(state)
    return AssetModel(detector, names, state, _pace(members, len(names)) if of_pace else None)


_PACE = ("pace_clock", "pace_spans", "pace_holds", "pace_last")


def _members_of(pace: Pace) -> dict[str, NDArray[np.int64]]:
    clock = np.array([pace.step_us, pace.origin_us], np.int64)
    return dict(zip(_PACE, (clock, pace.spans, pace.holds, pace.last_us), strict=True))


def _pace(members: Mapping[str, Member], sensors: int) -> Pace:
    if not set(_PACE) <= set(members):
        raise ValueError("it says only in part how often its sensors are read")
    clock, *columns = (
        members[name].array("<i8", (2,) if name == _PACE[0] else (sensors,)).copy() for name in _PACE
    )
    pace = Pace(int(clock[0]), int(clock[1]), *columns)
    pace.check()
    return pace


def _names(sensors: list[Any]) -> tuple[str, ...]:
    if not all(type(name) is str for name in sensors) or len(set(sensors)) != len(sensors):
        raise ValueError("the names of its sensors are not different texts")
    if len(sensors) > MAX_SENSORS:
        raise ValueError("it has too many sensors")
    return tuple(sensors)


def _checked(member: Member, column: Column) -> NDArray[Any]:
    array = member.array(column.dtype, column.shape)
    numbers = array.astype(np.float64)
    if bool(((numbers < column.low) | (numbers > column.high)).any()):
        raise ValueError(f"array {member.name} holds values that no training gives")
    return array.copy()
