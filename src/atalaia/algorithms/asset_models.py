"""A trained model of one asset: a detector, the names of the sensors, and what was learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.artifacts import Member, pack, unpack
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
    """

    detector: AssetDetector
    sensors: tuple[str, ...]
    state: State

    @staticmethod
    def fit(detector: AssetDetector, sensors: Sequence[str], values: FloatArray) -> "AssetModel":
        """Return the model that `detector` learns from a history, float64[n, k].

        Raises
        ------
        ValueError
            If the sensors have not each a name of their own.
        """
        if len(set(sensors)) != len(sensors) or values.shape[1:] != (len(sensors),):
            raise ValueError("each sensor needs one name of its own")
        return AssetModel(detector, tuple(sensors), detector.fit(values))

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
        return pack(header, self.state)

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
    layout = detector.layout(len(names))
    if set(members) != set(layout):
        raise ValueError("it does not hold the arrays of its detector")
    state = {key: _checked(members[key], column) for key, column in layout.items()}
    detector.check(state)
    return AssetModel(detector, names, state)


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
