"""Detectors, by name. A new one is a file here, and a line in the registry."""

from collections.abc import Mapping
from typing import Any

from atalaia.algorithms.detectors import hyperparameters
from atalaia.algorithms.detectors.autoencoder import Autoencoder
from atalaia.algorithms.detectors.lstm import Lstm
from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.detectors.protocol import Advanced, Column, Detector, State, Streaming
from atalaia.algorithms.detectors.robust import RobustZScore
from atalaia.algorithms.detectors.seasonal import SeasonalProfile
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.core.errors import Fault, Invalid

__all__ = ["DETECTORS", "Advanced", "Column", "Detector", "State", "Streaming", "make_detector"]

DETECTORS: dict[str, type[Detector]] = {
    ZScore.name: ZScore,
    RobustZScore.name: RobustZScore,
    SeasonalProfile.name: SeasonalProfile,
    StreamingProfile.name: StreamingProfile,
    MemoryBank.name: MemoryBank,
    Lstm.name: Lstm,
    Autoencoder.name: Autoencoder,
}


def make_detector(
    name: str, given: Mapping[str, Any], registry: Mapping[str, type[Detector]] = DETECTORS
) -> Detector:
    """Return the detector called `name` with the hyperparameters `given`; those not given keep their defaults.

    Raises
    ------
    Invalid
        ``unknown_algorithm`` with a fault at ``/config/algorithm``, or ``invalid_hyperparameters`` with one at
        ``/config/hyperparameters/<name>`` for each name that is unknown and each value that cannot be used.
    """
    if name not in registry:
        message = f"{name[:40]!r} is not an algorithm; choose one of {', '.join(registry)}"
        raise Invalid("unknown_algorithm", message, faults=[Fault("/config/algorithm", message)])
    kind: Any = registry[name]
    detector: Detector = kind(**hyperparameters.read(kind, given))
    return detector
