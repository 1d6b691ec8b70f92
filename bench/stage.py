"""A data folder with a whole fleet in it: 285,000 series, each with a trained model in Production."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import FloatArray, Group
from bench.data import fleet_history, fleet_tick

SERIES = 285_000
WIDTH = 4_096
HISTORY_POINTS = 200
THRESHOLD_SIGMA = 8.0
"""So wide that few of the points that follow are anomalies, as in a fleet that somebody looks after."""
START_US = 1_763_000_000 * MICROS


@dataclass(frozen=True, slots=True)
class Published:
    """How a wave became readable.

    Attributes
    ----------
    publish_s
        Wall time from trained models to versions in Production, registered and promoted.
    load_s
        Wall time for a process that has nothing to load all of them.
    """

    folder: Path
    series: int
    publish_s: float
    load_s: float


def names(series: int = SERIES) -> list[str]:
    """Return the ids of the series: sensors with three axes."""
    axes = ("radial", "axial", "tangential")
    return [f"sensor_{i // 3:06d}_{axes[i % 3]}" for i in range(series)]


def labels(series: int = SERIES) -> list[list[tuple[str, str]]]:
    """Return the labels of the same sensors, as Prometheus has them."""
    axes = ("radial", "axial", "tangential")
    return [[("__name__", "vibration"), ("axis", axes[i % 3]), ("sensor", f"{i // 3:06d}")] for i in range(series)]


def tick_values(series: int, tick: int) -> FloatArray:
    """Return the next value of each series, in order of number."""
    parts = [
        fleet_tick(min((seed + 1) * WIDTH, series + 1) - max(seed * WIDTH, 1), HISTORY_POINTS, tick, seed=seed)
        for seed in range(series // WIDTH + 1)
    ]
    return np.concatenate(parts)


def publish_wave(
    folder: Path, ids: Sequence[str], *, algorithm: str = "statistical", versions: int = 1
) -> Published:
    """Fill `folder` with series and their models, all put into Production in one transaction.

    Of two `versions` the first serves, and the second challenges it.
    """
    atalaia = build(Settings(data_dir=folder))
    try:
        with atalaia.database.write() as session:
            atalaia.signals.resolve(session, ids)
        fleets = atalaia.signals.gather_fleets()
        trained = list(_trained(atalaia, ids, fleets, algorithm))
        started = time.perf_counter()
        _publish(atalaia, trained, 1)
        publish_s = time.perf_counter() - started
        if versions == 2:
            _publish(atalaia, trained, 2)
    finally:
        atalaia.database.close()
    return Published(folder, len(ids), publish_s, _load(folder, len(ids)))


def _trained(
    atalaia: Atalaia, ids: Sequence[str], fleets: Sequence[str], algorithm: str
) -> Iterator[tuple[ModelKey, FleetModel]]:
    detector = make_detector(algorithm, {"threshold_sigma": THRESHOLD_SIGMA})
    place = {series_id: i for i, series_id in enumerate(ids)}
    stamps = START_US + np.arange(HISTORY_POINTS, dtype=np.int64) * 60 * MICROS
    for seed, fleet in enumerate(fleets):
        members = atalaia.signals.members(fleet)
        places = np.array([place[name] for name in members])
        values = fleet_history(len(members), HISTORY_POINTS, seed=seed)[places - places.min()]
        indptr = np.arange(len(members) + 1, dtype=np.int64) * HISTORY_POINTS
        group = Group(np.tile(stamps, len(members)), values.ravel(), indptr)
        yield ModelKey(Scope.FLEET, fleet), FleetModel.fit(detector, members, group)


def _publish(atalaia: Atalaia, trained: list[tuple[ModelKey, FleetModel]], number: int) -> None:
    """Do with trained models what trainings and the promotion of their wave do; version 2 becomes a challenger."""
    training, promotion = atalaia.lifecycle.training, atalaia.lifecycle.promotion
    learnt = {"from": START_US, "to": START_US, "reference": None}
    for i, (key, model) in enumerate(trained):
        artefact = training.artefact(key, f"job_bench_{number}_{i:05d}", model, model.metrics(), {})
        run_id = atalaia.registry.publish(artefact)
        with atalaia.database.write() as session:
            training.register(session, artefact, run_id, model.detector.hyperparameters(), model, learnt)
    with atalaia.database.write() as session:
        for key, _ in trained:
            if number == 1:
                promotion.promote(session, key, 1, archive_previous=True)
            else:
                promotion.challenge(session, key, number)


def _load(folder: Path, series: int) -> float:
    atalaia = build(Settings(data_dir=folder))
    try:
        started = time.perf_counter()
        atalaia.serving.warm()
        seconds = time.perf_counter() - started
        if len(atalaia.serving.models.routes.names) != series:
            raise RuntimeError("not all series have a model")
        return seconds
    finally:
        atalaia.database.close()
