"""The face of lifecycle: training, models, promotion, and how a model does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.buckets import aggregate
from atalaia.algorithms.local_time import DAY_US
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.readiness import Readiness, readiness_of
from atalaia.core.clock import MICROS, isoformat, now_us
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.core.models import ModelKey, ModelVersion, Scope
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD
from atalaia.kit.blobs import Blobs
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import JobQueue
from atalaia.kit.signatures import Signatures
from atalaia.kit.telemetry import OTHERS, Telemetry
from atalaia.lifecycle import store
from atalaia.lifecycle.asset_training import AssetTraining
from atalaia.lifecycle.ports import Activity, Assets, History, Judgements, Registry
from atalaia.lifecycle.promotion import Promotion, unknown_model
from atalaia.lifecycle.report import drift, judge, score_summary
from atalaia.lifecycle.rules import parse_window
from atalaia.lifecycle.selection import Selection
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.lifecycle.training import KIND, Training
from atalaia.lifecycle.trust import Trust
from atalaia.lifecycle.verification import Verification
from atalaia.lifecycle.waves import Waves

_DRIFTING = 1_000
"""Series whose drift the metrics tell one by one."""
_WEEK_US = 7 * 86_400 * MICROS
_KNOWN_US = 4 * _WEEK_US
"""How far back it is looked for the first point of a series that was adopted."""
Model = tuple[store.ModelRow, list[ModelVersion]]


class Lifecycle:
    """Models and their versions.

    Parameters
    ----------
    lessons
        The history as trainings read it, if that differs from what was received.
    """

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        blobs: Blobs,
        outbox: Outbox,
        history: History,
        judgements: Judgements,
        registry: Registry,
        activity: Activity,
        settings: LifecycleSettings,
        telemetry: Telemetry,
        signatures: Signatures,
        assets: Assets,
        lessons: History | None = None,
    ) -> None:
        self.assets = assets
        lessons = lessons or history
        self.database = database
        self.queue = queue
        self.settings = settings
        self.training = Training(
            queue,
            blobs,
            outbox,
            lessons,
            registry,
            Selection(lessons, judgements, settings),
            AssetTraining(assets, lessons, settings),
            settings,
            signatures,
        )
        self.trust = Trust(signatures, blobs, telemetry)
        self.verification = Verification(database, self.trust, registry)
        self.promotion = Promotion(database, outbox, registry, self.trust)
        self.waves = Waves(queue, self.training, self.promotion, history)
        self.training.on_ended(self.waves.ended)
        self._history = history
        self._activity = activity
        self._telemetry = telemetry
        telemetry.gauge("training_queue_depth", lambda: queue.depth([KIND]), asks=True)
        telemetry.bound("model_drift_detected_total", _DRIFTING, OTHERS)

    def list_models(self, session: Session, *, cursor: str | None, limit: int) -> tuple[list[Model], str | None]:
        """Return models in order of id, with all their versions."""
        keys = decode_cursor(cursor, str)
        rows = store.models_page(session, after=keys[0] if keys else None, limit=limit + 1)
        page, following = page_of(rows, limit, lambda row: encode_cursor(row.key))
        return self._with_versions(session, page), following

    def model(self, session: Session, key: ModelKey) -> Model:
        """Return one model with all its versions, or raise `Missing`."""
        row = session.get(store.ModelRow, str(key))
        if row is None:
            raise unknown_model(key)
        return self._with_versions(session, [row])[0]

    def deployment(self, session: Session, key: ModelKey) -> store.VersionRow:
        """Return the version of a model in Production.

        Raises
        ------
        Missing
            When there is no such model, or no version of it is in Production.
        """
        row, _ = self.model(session, key)
        if row.production is None:
            detail = f"no version of {key} is in Production; promote one in Staging"
            raise Missing("no_deployment", detail)
        return session.get_one(store.VersionRow, (row.key, row.production))

    def metrics(self, key: ModelKey, series_id: str, window: str) -> dict[str, Any]:
        """Return how the model in Production did in a window that ends with the series' newest point.

        Raises
        ------
        Invalid, Missing
            When the window cannot be read, or nothing is deployed.
        """
        width = parse_window(window)
        with self.database.read() as session:
            version = self.deployment(session, key)
        end = (self._history.newest([series_id]) or 0) + 1
        timestamps, values = self._history.group([series_id], end - width, end).series(0)
        model = self._model_of(version, series_id)
        judged = judge(model, series_id, timestamps, values)
        predictions, anomalies = self._activity.counts(series_id, now_us() - width)
        drifted = drift(self._reference(version, series_id), values)
        self._telemetry.begin("model_drift_detected_total", series_id)
        if drifted["drifted"]:
            self._telemetry.count("model_drift_detected_total", series_id)
        return {
            "model_id": version.key,
            "version": f"v{version.number}",
            "window": window,
            "from": isoformat(max(end - width, 0)),
            "to": isoformat(end - 1),
            "predictions": predictions,
            "anomalies": anomalies,
            "anomaly_rate": anomalies / predictions if predictions else None,
            "score": score_summary(judged),
            "training": version.metrics,
            "drift": drifted,
        }

    def readiness(self, key: ModelKey, series_id: str) -> tuple[store.VersionRow, Readiness]:
        """Return the version in Production of a model, and how ready a series is to be judged by it.

        Raises
        ------
        Missing
            When nothing is deployed.
        """
        with self.database.read() as session:
            version = self.deployment(session, key)
        model = self._model_of(version, series_id)
        row = model.row_of(series_id)
        if row is None or model.peers_of(row) is None:
            start, end = int(version.learnt["from"]), int(version.learnt["to"])
        else:  # the series was not at the training; what it knows has come since
            end = self._history.newest([series_id]) or 0
            start = max(end - _KNOWN_US, 0)
        stamps = self._history.group([series_id], start, end + 1).timestamps
        if len(stamps):  # else it was trained on data that came with the request
            start, end = int(stamps[0]), int(stamps[-1])
        return version, readiness_of(model, series_id, (end - start) / DAY_US)

    def span(self, series_id: str, from_us: int | None, to_us: int | None) -> tuple[int, int]:
        """Return the range to plot: what was asked for, else the last week that has points.

        Raises
        ------
        Missing, Invalid
            When the series is unknown, or the range ends before it begins.
        """
        newest = self._history.newest([series_id])
        end = to_us if to_us is not None else (now_us() if newest is None else newest + 1)
        start = from_us if from_us is not None else max(0, end - _WEEK_US)
        if start >= end:
            fault = Fault("/from", "must lie before `to`")
            raise Invalid("invalid_time", "the range ends before it begins", faults=[fault])
        return start, end

    def plot(self, key: ModelKey | None, series_id: str, start: int, end: int, count: int) -> list[dict[str, Any]]:
        """Return at most `count` buckets of a series in [start, end), with the band of its model if one serves."""
        timestamps, values = self._history.group([series_id], start, end).series(0)
        found = aggregate(timestamps, values, start, end, count)
        columns: dict[str, Sequence[Any]] = {
            "at_us": ((found.start + found.end) // 2).tolist(),
            "count": found.count.tolist(),
            "min": found.min.tolist(),
            "mean": found.mean.tolist(),
            "max": found.max.tolist(),
            **self._band(key, series_id, timestamps, values, found.count),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def model_of_series(self, session: Session, series_id: str, fleet_id: str | None) -> Model:
        """Return the model of a series, its own before its fleet's, or raise `Missing`."""
        own = ModelKey(Scope.SERIES, series_id)
        if fleet_id is None or session.get(store.ModelRow, str(own)) is not None:
            return self.model(session, own)
        return self.model(session, ModelKey(Scope.FLEET, fleet_id))

    def deployed_key(self, series_id: str, fleet_id: str | None) -> ModelKey | None:
        """Return the model that serves a series: its own, else its fleet's, else None."""
        keys = [ModelKey(Scope.SERIES, series_id)]
        keys += [ModelKey(Scope.FLEET, fleet_id)] if fleet_id else []
        with self.database.read() as session:
            for key in keys:
                row = session.get(store.ModelRow, str(key))
                if row is not None and row.production is not None:
                    return key
        return None

    def serving_key(self, series_id: str, fleet_id: str | None) -> ModelKey:
        """Return the model that serves a series, its own if none does."""
        return self.deployed_key(series_id, fleet_id) or ModelKey(Scope.SERIES, series_id)

    def _band(
        self, key: ModelKey | None, series_id: str, timestamps: IntArray, values: FloatArray, counts: IntArray
    ) -> dict[str, Sequence[Any]]:
        n = len(counts)
        if key is None or not n:
            return {"lower": [None] * n, "upper": [None] * n, "anomalies": [0] * n, "above": [False] * n}
        with self.database.read() as session:
            version = self.deployment(session, key)
        model = self._model_of(version, series_id)
        scores = judge(model, series_id, timestamps, values).scores
        strange = (scores.score > THRESHOLD).astype(np.int64)
        first = np.cumsum(counts) - counts
        return {
            "lower": _means(scores.lower, first, counts),
            "upper": _means(scores.upper, first, counts),
            "anomalies": np.add.reduceat(strange, first).tolist(),
            "above": (np.add.reduceat(strange * (values > scores.upper), first) > 0).tolist(),
        }

    def _reference(self, version: store.VersionRow, series_id: str) -> Any:
        kept = version.learnt.get("reference")
        if kept is not None:
            return np.array(kept, np.float64)
        start, end = version.learnt["from"], version.learnt["to"]
        return self._history.group([series_id], start, end + 1).values

    def _model_of(self, version: store.VersionRow, series_id: str) -> FleetModel:
        """Return a version as it was trained; for a series that it adopted since, as it stands now."""
        model = self._load(version)
        if model.row_of(series_id) is not None:
            return model
        return self._activity.adopted(series_id, f"{version.key}/v{version.number}") or model

    def _load(self, version: store.VersionRow) -> FleetModel:
        self.trust.check(version)
        return FleetModel.from_bytes(self.trust.read(version))

    def _with_versions(self, session: Session, rows: Sequence[store.ModelRow]) -> list[Model]:
        found: dict[str, list[ModelVersion]] = {row.key: [] for row in rows}
        for version in store.versions_of(session, list(found)):
            found[version.key].append(store.version_of(version))
        return [(row, found[row.key]) for row in rows]


def _means(values: FloatArray, first: IntArray, counts: IntArray) -> list[float | None]:
    return [None if np.isnan(mean) else mean for mean in (np.add.reduceat(values, first) / counts).tolist()]
