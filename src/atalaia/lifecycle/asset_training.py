"""Trainings of assets: the histories of all sensors, brought onto common moments, become one model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from atalaia.algorithms.asset_models import AssetModel, make_asset_detector
from atalaia.algorithms.assets.moments import Pace, moments
from atalaia.algorithms.assets.protocol import MAX_SENSORS
from atalaia.algorithms.relations import Relations
from atalaia.algorithms.selection.selecting import AUTO
from atalaia.core.clock import MICROS
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD
from atalaia.kit.tracing import span
from atalaia.lifecycle.ports import Assets, History
from atalaia.lifecycle.settings import LifecycleSettings

ALGORITHM = Relations.name
"""What an asset is trained with where nothing is named."""
MOST_VALUES = 10_000_000
"""Values that one asset is learnt from, of all sensors together: 80 MB, twice."""
_READ, _FITTED = 0.4, 0.8


@dataclass(frozen=True, slots=True)
class Made:
    """What a training made: a model, what was measured, and what the version remembers of its data."""

    model: AssetModel
    metrics: Mapping[str, float]
    learnt: dict[str, Any]


def check_asset_algorithm(algorithm: str, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse an algorithm that is none of assets, and hyperparameters that it does not take.

    Raises
    ------
    Invalid
        ``unknown_algorithm`` or ``invalid_hyperparameters``. For assets nothing chooses by itself: what would show
        which of the two does better is labels, and an asset has none.
    """
    if algorithm == AUTO:
        detail = f"for an asset nothing is chosen by itself; name {ALGORITHM} or isolation_forest"
        raise Invalid("unknown_algorithm", detail, faults=[Fault("/config/algorithm", detail)])
    make_asset_detector(algorithm, hyperparameters)


class AssetTraining:
    """Learns assets."""

    def __init__(self, assets: Assets, history: History, settings: LifecycleSettings) -> None:
        self._assets = assets
        self._history = history
        self._settings = settings

    def sensors(self, asset: str) -> list[str]:
        """Return the series of an asset.

        Raises
        ------
        Missing, Invalid
            When no series is of it, or more than can be learnt together.
        """
        found = self._assets.sensors(asset, MAX_SENSORS + 1)
        if not found:
            detail = f"no series is of the asset {asset[:80]!r}; a label of its series says which they are"
            raise Missing("unknown_asset", detail)
        if len(found) > MAX_SENSORS:
            detail = f"more than {MAX_SENSORS} series are of the asset {asset[:80]!r}: make several of it"
            raise Invalid("too_many_sensors", detail, faults=[Fault("/asset_id", detail)])
        return found

    def learn(
        self,
        asset: str,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        window_hours: float,
        report: Callable[[float], None],
    ) -> Made:
        """Return what is learnt of an asset from the last hours of its history.

        Raises
        ------
        Missing, Invalid, Unavailable
            As `sensors` and `check_asset_algorithm` do; ``invalid_training_data`` when there are too few moments or
            no sensor has enough of them; ``missing_package`` when what grows forests is not installed.
        """
        check_asset_algorithm(algorithm, hyperparameters)
        detector, sensors = make_asset_detector(algorithm, hyperparameters), self.sensors(asset)
        most = min(self._settings.history_max_points, MOST_VALUES // len(sensors))
        with span("load_history"):
            newest = self._history.newest(sensors)
            start = 0 if newest is None else newest - int(window_hours * 3_600 * MICROS)
            group = self._group(sensors, start, newest, most)
        report(_READ)
        pace = Pace.of(group)
        times, values = moments(group, pace, most)
        self._check(asset, values, detector.min_points)
        with span("fit", series=len(sensors)):
            model = AssetModel.fit(detector, sensors, values, pace)
        report(_FITTED)
        score = model.score(values).score
        scored = max(int(np.isfinite(score).sum()), 1)
        metrics = {
            **model.trained,
            "moments": float(len(times)),
            "missing_share": float(np.isnan(values).mean()),
            "training_anomaly_share": float((score > THRESHOLD).sum()) / scored,
        }
        learnt = {"from": int(times[0]), "to": int(times[-1]), "reference": None, "step_s": pace.step_us / MICROS}
        return Made(model, metrics, learnt)

    def _group(self, sensors: list[str], start: int, newest: int | None, most: int) -> Group:
        """Return the newest points of each sensor; no more than a part of the history is read at a time."""
        nothing = (np.empty(0, np.int64), np.empty(0))
        found: list[tuple[IntArray, FloatArray]] = [nothing] * len(sensors)
        parts = () if newest is None else self._history.groups(sensors, start, newest + 1)
        for places, group in parts:
            for place, (timestamps, values) in zip(
                places.tolist(), map(group.series, range(len(group))), strict=True
            ):
                found[place] = (timestamps[-most:].copy(), values[-most:].copy())
        return Group.of(found)

    def _check(self, asset: str, values: FloatArray, least: int) -> None:
        wanted, detail = self._settings.history_min_points, ""
        if len(values) < wanted:
            few = f"{len(values)} moments at which any sensor of {asset[:80]!r} was read"
            detail = f"{few} are too few, at least {wanted} are needed"
        elif int((~np.isnan(values)).sum(axis=0).max()) < least:
            detail = f"no sensor of {asset[:80]!r} was read at {least} moments"
        if detail:
            raise Invalid("invalid_training_data", detail, faults=[Fault("", detail)])
