"""The face of serving: scores of points, on request and as they arrive."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.core.facts import ModelPromoted
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.scores import THRESHOLD, Score
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop
from atalaia.serving.asked import AskedCounts
from atalaia.serving.cache import Loaded
from atalaia.serving.loading import Models
from atalaia.serving.ports import Catalogue, Deployments, Registry
from atalaia.serving.scoring import Block, rows_by_model, score_fallback
from atalaia.serving.settings import ServingSettings

_log = structlog.get_logger("atalaia.predictions")


@dataclass(frozen=True, slots=True)
class PointToScore:
    """One point of a request; `timestamp` in microseconds since the epoch."""

    series_id: str
    timestamp: int
    value: float


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A model was loaded anew."""

    loaded: Loaded
    seconds: float


class Serving:
    """Answers with the models in Production."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        outbox: Outbox,
        deployments: Deployments,
        registry: Registry,
        catalogue: Catalogue,
        settings: ServingSettings,
        telemetry: Telemetry,
    ) -> None:
        self.settings = settings
        self.models = Models(deployments, registry, blobs, settings, telemetry)
        self.asked = AskedCounts(database)
        self.loops = (
            Loop("refresh", self._refresh, every_s=settings.refresh_s),
            Loop("asked", self.asked.flush, every_s=settings.flush_s),
        )
        self._catalogue = catalogue
        self._telemetry = telemetry
        # Whoever was told of a promotion gets its answers; promotions by other processes are found by the loop.
        outbox.on_publish(ModelPromoted, self.models.refresh)
        telemetry.gauge("model_cache_hit_rate", lambda: self.models.cache.hit_rate)
        telemetry.gauge("model_cache_bytes", lambda: self.models.cache.nbytes)
        telemetry.counts("anomaly_predictions_total", self.asked.totals)

    def warm(self) -> int:
        """Load models, those asked for most first, up to `warm_models`; return how many are loaded."""
        self.models.refresh()
        wanted = self.asked.most_asked(self.settings.warm_models) + self.models.deployed_series()
        for series_id in list(dict.fromkeys(wanted))[: self.settings.warm_models]:
            self.models.find(series_id)
        return len(self.models.cache)

    def predict(self, points: Sequence[PointToScore]) -> list[Score | AtalaiaError]:
        """Score points, each by the model of its series, else by the running statistics of the catalogue.

        A point of an unknown series has a `Missing` for an answer; the others are answered all the same.
        """
        started = time.perf_counter()
        names: dict[str, int] = {}
        rows = np.array([names.setdefault(point.series_id, len(names)) for point in points], np.int64)
        timestamps = np.array([point.timestamp for point in points], np.int64)
        values = np.array([point.value for point in points], np.float64)
        block = self.score_block(list(names), rows, timestamps, values)
        answers = [block.answer(i, point.series_id) or self._fallback(point) for i, point in enumerate(points)]
        seconds = (time.perf_counter() - started) / len(points)
        for answer in answers:
            if isinstance(answer, Score):
                self._note(answer, seconds)
        return answers

    def score_block(
        self, series_ids: Sequence[str], rows: IntArray, timestamps: IntArray, values: FloatArray
    ) -> Block:
        """Score points as they arrive, each by the model of its series; those without one have the score NaN."""
        block = Block(timestamps, values)
        models = [self.models.find(series_id) for series_id in series_ids]
        for loaded, points, model_rows in rows_by_model(models, series_ids, rows):
            scores = block.add(loaded, points, model_rows)
            self._count(loaded, series_ids, rows[points], scores.score > THRESHOLD)
        return block

    def reload(self, series_id: str) -> Reloaded:
        """Load the model of a series anew.

        Raises
        ------
        Missing
            When no model of the series is in Production.
        Unavailable
            When it cannot be loaded. One that was loaded before goes on answering.
        """
        started = time.perf_counter()
        loaded = self.models.reload(series_id)
        if loaded is None and self.models.key_of(series_id) is None:
            raise Missing("no_deployment", f"no model in Production answers for {series_id[:80]!r}")
        if loaded is None:
            detail = f"neither the registry nor a local copy has the model of {series_id[:80]!r} as it was trained"
            raise Unavailable("model_not_loaded", f"{detail}; `atalaia doctor` says more", retry_after_s=10)
        return Reloaded(loaded, time.perf_counter() - started)

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        """Return how many points of a series were scored since then, and how many were anomalous."""
        return self.asked.counts(series_id, since_us)

    def start(self) -> None:
        """Follow promotions by other processes, and store counts now and then."""
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """Stop, and store what was counted."""
        for loop in self.loops:
            loop.stop()
        try:
            self.asked.flush()
        except Exception:
            _log.exception("counts_not_stored")

    def _fallback(self, point: PointToScore) -> Score | AtalaiaError:
        started = time.perf_counter()
        try:
            statistics = self._catalogue.statistics(point.series_id)
        except AtalaiaError as error:  # the database is down
            return error
        if statistics is None:
            return Missing("unknown_series", f"no point of {point.series_id[:80]!r} was ever received")
        settings = self.settings
        score = score_fallback(
            statistics,
            point.series_id,
            point.timestamp,
            point.value,
            sigma=settings.fallback_sigma,
            min_points=settings.fallback_min_points,
        )
        seconds = time.perf_counter() - started
        self._telemetry.time("model_load_duration_seconds", seconds, point.series_id, score.source.value)
        self.asked.add(point.series_id, score.model.version, 1, int(score.is_anomaly))
        return score

    def _count(
        self, loaded: Loaded, series_ids: Sequence[str], rows: IntArray, anomalous: NDArray[np.bool_]
    ) -> None:
        scored = np.bincount(rows, minlength=len(series_ids))
        strange = np.bincount(rows[anomalous], minlength=len(series_ids))
        for row in np.flatnonzero(scored).tolist():
            self.asked.add(series_ids[row], loaded.ref.version, int(scored[row]), int(strange[row]))

    def _note(self, score: Score, seconds: float) -> None:
        if not self.settings.log_predictions:
            return
        _log.info(
            "prediction",
            series_id=score.series_id,
            point_at=score.timestamp.isoformat(),
            value=score.value,
            anomaly=score.is_anomaly,
            anomaly_score=score.score,
            confidence=score.confidence.value,
            model_id=score.model.model_id,
            model_version=score.model.version,
            loaded_from=score.source.value,
            ms=round(seconds * 1000, 3),
            at_us=now_us(),
        )

    def _refresh(self) -> bool:
        self.models.refresh()
        return False
