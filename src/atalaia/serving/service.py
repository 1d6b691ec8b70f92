"""The face of serving: scores of points, on request and as they arrive."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.core.facts import ChallengerChanged, ModelPromoted
from atalaia.core.models import Scope
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, ModelRef, Score
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.heap import give_back
from atalaia.kit.signatures import Signatures
from atalaia.kit.telemetry import OTHERS, Telemetry
from atalaia.kit.threads import Loop
from atalaia.kit.tracing import span
from atalaia.serving.activity import Activity
from atalaia.serving.artefacts import Artefacts
from atalaia.serving.blocks import Block, challenge_one, count_one
from atalaia.serving.cache import Loaded
from atalaia.serving.columns import CHALLENGER, NO_MODEL, NOT_LOADED, row_of, slot_of
from atalaia.serving.inputs import Inputs
from atalaia.serving.loading import Models
from atalaia.serving.ports import Catalogue, Deployments, Registry
from atalaia.serving.scoring import score_fallback, score_one
from atalaia.serving.settings import ServingSettings
from atalaia.serving.streams import Pupil
from atalaia.serving.versions import Versions

_log = structlog.get_logger(__name__)


class PointToScore(NamedTuple):
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
        signatures: Signatures,
    ) -> None:
        self.settings = settings
        artefacts = Artefacts(registry, blobs, signatures, telemetry)
        self.models = Models(deployments, artefacts, catalogue, settings)
        self.versions = Versions(self.models, settings.cache_bytes)
        self.inputs = Inputs(settings, telemetry)
        self.activity = Activity(
            database,
            self.models.routes,
            max_series=settings.metrics_max_series,
            keep_days=settings.count_retention_days,
        )
        self.loops = (
            Loop("refresh", self._refresh, every_s=settings.refresh_s),
            Loop("activity", self.activity.flush, every_s=settings.flush_s),
        )
        self._catalogue = catalogue
        self._telemetry = telemetry
        # Whoever was told of a promotion gets its answers; promotions by other processes are found by the loop.
        outbox.on_publish(ModelPromoted, self.models.refresh)
        outbox.on_publish(ChallengerChanged, self.models.refresh)
        telemetry.gauge("model_cache_hit_rate", self.models.cache.hit_rate)
        telemetry.gauge("model_cache_bytes", lambda: self.models.cache.nbytes)
        telemetry.gauge("adopted_series", self.models.adoption.count)
        telemetry.counts("anomaly_predictions_total", self.activity.totals)
        telemetry.counts("challenger_predictions_total", self.activity.comparisons)
        telemetry.bound("model_load_duration_seconds", settings.metrics_max_series, OTHERS)

    def warm(self) -> int:
        """Load all models of fleets, and of single series those asked for most, up to `warm_models`.

        Returns how many are loaded.
        """
        self.models.refresh()
        wanted = self.models.deployed_series()
        if not (wanted or len(self.models.cache)):
            return 0
        give_back()  # now: what is kept later would lie between what can go
        try:
            wanted = self.activity.most_scored(wanted)
        except Unavailable as error:  # started without the database: in whatever order
            _log.warning("counts_not_read", error=error.detail)
        for series_id in wanted[: self.settings.warm_models]:
            self.models.find(series_id)
        give_back()
        return len(self.models.cache)

    def predict_now(self, point: PointToScore) -> Score | None:
        """Score one point by a model that is in memory; None when there is none: `predict` may find another way."""
        models = self.models
        index = models.routes.index_of.get(point.series_id)
        if index is None:
            return None
        found = models.routes.found(index)
        if isinstance(found, int):
            return None
        models.cache.hits += 1
        return self._answered(*found, index, point)

    def predict_all_now(self, points: Sequence[PointToScore]) -> list[Score | None]:
        """Score points as `predict_now` does, each model in the one version that serves at one moment."""
        routes = self.models.routes
        known = routes.index_of
        indexes = np.fromiter((known.get(point.series_id, -1) for point in points), np.int32, len(points))
        models, places = routes.look_up(indexes)
        answers = [
            self._answered(models[slot_of(place)], row_of(place), index, point) if place >= 0 else None
            for place, index, point in zip(places, indexes.tolist(), points, strict=True)
        ]
        self.models.cache.hits += len(answers) - answers.count(None)
        return answers

    def predict(self, points: Sequence[PointToScore]) -> list[Score | AtalaiaError]:
        """Score points, each by the model of its series, else by the running statistics of the catalogue.

        A point of an unknown series has a `Missing` for an answer; the others are answered all the same.
        """
        answers = self.predict_all_now(points)
        return [answer or self.predict_alone(point) for answer, point in zip(answers, points, strict=True)]

    def predict_alone(self, point: PointToScore) -> Score | AtalaiaError:
        """Score one point as `predict` does, each step with a span of its own."""
        with span("predict", series_id=point.series_id):
            with span("load_model"):
                with span("check_cache"):
                    found = self._in_memory(point.series_id)
                if found is None:
                    self.models.cache.misses += 1
                    found = self.models.find(point.series_id)
            with span("inference"):
                if found is None:
                    return self._fallback(point)
                return self._answered(*found, self.models.routes.index_of[point.series_id], point)

    def score_block(self, numbers: NumberArray, timestamps: IntArray, values: FloatArray) -> Block:
        """Score n points, each by the model of its series; NaN where none is in Production."""
        return self._looked_up(Block(self.models.routes, numbers, timestamps, values, self.models.find))

    def score_named(self, series_ids: Sequence[str], timestamps: IntArray, values: FloatArray) -> Block:
        """Score n points of series that are named by their ids."""
        known = self.models.routes.index_of
        indexes = np.fromiter((known.get(name, -1) for name in series_ids), np.int32, len(series_ids))
        at = (self.models.routes, indexes, timestamps, values, self.models.find)
        return self._looked_up(Block(*at, by_index=True))

    def score_point_now(self, series_id: str, timestamp: int, value: float) -> tuple[float | None, ModelRef | None]:
        """Return the score of one point, and by which model; NaN and None without one in Production.

        The score is None when the model must be loaded first.
        """
        return self._score_at(self.models.routes.index_of.get(series_id, -1), timestamp, value)

    def score_number_now(self, number: int, timestamp: int, value: float) -> tuple[float | None, ModelRef | None]:
        """Return the score of one point of the series with that number, as `score_point_now` does."""
        by_number = self.models.routes.columns.by_number
        return self._score_at(by_number.item(number) if number < len(by_number) else -1, timestamp, value)

    def note_asked(
        self,
        loaded: Loaded,
        series_ids: Sequence[str],
        timestamps: Sequence[int],
        values: Sequence[float],
        scores: Sequence[float],
    ) -> None:
        """Count points that were scored by a model asked for by its name, where it is the one in Production."""
        routes = self.models.routes
        self.models.cache.hits += len(scores)
        for series_id, timestamp, value, score in zip(series_ids, timestamps, values, scores, strict=True):
            index = routes.index_of.get(series_id, -1)
            found = routes.found(index) if index >= 0 else NO_MODEL
            if isinstance(found, tuple) and found[0] is loaded:
                self._note(index, timestamp, value, score > THRESHOLD)

    def flags_of(
        self,
        numbers: NumberArray | None,
        series_ids: Sequence[str] | None,
        timestamps: IntArray,
        values: FloatArray,
        scores: FloatArray,
    ) -> NDArray[np.uint8]:
        """Return what is odd about points that were asked for and scored, see `inputs`, and count it."""
        if numbers is not None:
            indexes = self.models.routes.indexes_of(numbers)
        else:
            known = self.models.routes.index_of
            names = series_ids or ()
            indexes = np.fromiter((known.get(name, -1) for name in names), np.int32, len(names))
        return self.inputs.look_at_all(indexes, timestamps, values, scores)

    def must_load(self, numbers: NumberArray | None, series_ids: Sequence[str] | None) -> bool:
        """Say whether a model must be loaded before points of these series can be scored."""
        routes = self.models.routes
        if series_ids is not None:
            known = routes.index_of
            return any(routes.waits(known[series_id]) for series_id in series_ids if series_id in known)
        if numbers is None:
            return False
        if len(numbers) > 1:
            return NOT_LOADED in routes.look_up(routes.indexes_of(numbers))[1]
        by_number = routes.columns.by_number
        return any(0 <= n < len(by_number) and routes.waits(by_number.item(n)) for n in numbers.tolist())

    def watch_block(
        self, numbers: NumberArray, timestamps: IntArray, values: FloatArray, *, replayed: bool = False
    ) -> Block:
        """Score n points as they arrive, in order of time inside a series: streaming models learn from them.

        Points that are `replayed` were scored and counted before; only the memory of it was lost.
        """
        models = self.models
        at = (models.routes, numbers, timestamps, values, models.find)
        return self._looked_up(Block(*at, streams=models.streams, counted=not replayed))

    def pupils(self) -> list[Pupil]:
        """Adopt series that are new in fleets; return who has to learn what came before."""
        return self.models.adoption.pupils()

    def states(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the name of each streaming model, and its state if that changed since it was yielded last."""
        return self.models.streams.states()

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        """Take back what streaming models had learnt; those that come into memory later find it too."""
        self.models.restore(states)

    def adopted(self, series_id: str, version: str) -> FleetModel | None:
        """Return a version (``key/v1``) that a series joined after its training, as it stands; None for others."""
        return self.models.adoption.adopted(series_id, version)

    def set_thresholds(self, thresholds: FloatArray) -> None:
        """Set the threshold of each series, by its number, in parts of its detector's own; 1.0 from the end on."""
        self.models.routes.set_thresholds(thresholds)

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
        if loaded is None and not self.models.is_deployed(series_id):
            raise Missing("no_deployment", f"no model in Production answers for {series_id[:80]!r}")
        if loaded is None:
            detail = f"neither the registry nor a local copy has the model of {series_id[:80]!r} as it was trained"
            raise Unavailable("model_not_loaded", f"{detail}; `atalaia doctor` says more", retry_after_s=10)
        return Reloaded(loaded, time.perf_counter() - started)

    def counts(self, series_id: str, since_us: int) -> tuple[int, int]:
        """Return how many points of a series were scored since then, and how many were anomalous."""
        self.models.learn_numbers()
        return self.activity.counts(series_id, since_us)

    def start(self) -> None:
        """Follow promotions by other processes, and store counts now and then."""
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """Stop, and store what was counted."""
        for loop in self.loops:
            loop.stop()
        try:
            self.models.learn_numbers()
            self.activity.flush()
        except Exception:
            _log.exception("counts_not_stored")

    def _in_memory(self, series_id: str) -> tuple[Loaded, int] | None:
        index = self.models.routes.index_of.get(series_id)
        found = NO_MODEL if index is None else self.models.routes.found(index)
        if isinstance(found, int):
            return None
        self.models.cache.hits += 1
        return found

    def _answered(self, loaded: Loaded, row: int, index: int, point: PointToScore) -> Score:
        """Score one point by a model, and count it."""
        score = score_one(loaded, row, self.models.routes.thresholds.item(index), *point)
        self._note(index, point.timestamp, point.value, score.is_anomaly)
        flags = self.inputs.look(index, point.timestamp, point.value, score.score or 0.0)
        if flags:
            score = score._replace(flags=flags)
        if loaded.deployment.key.scope is Scope.SERIES:
            self.models.cache.touch(loaded.deployment.key)
        return score

    def _score_at(self, index: int, timestamp: int, value: float) -> tuple[float | None, ModelRef | None]:
        found = self.models.routes.found(index) if index >= 0 else NO_MODEL
        if not isinstance(found, tuple):
            return (nan if found == NO_MODEL else None), None
        loaded, row = found
        self.models.cache.hits += 1
        if loaded.deployment.key.scope is Scope.SERIES:
            self.models.cache.touch(loaded.deployment.key)
        score = loaded.model.score_one(row, timestamp, value)[0] / self.models.routes.thresholds.item(index)
        self._note(index, timestamp, value, score > THRESHOLD)
        self.inputs.look(index, timestamp, value, score)
        return score, loaded.ref

    def _note(self, index: int, timestamp: int, value: float, is_strange: bool) -> None:
        """Count one point that a champion scored, and what its challenger says of it."""
        routes = self.models.routes
        cells = routes.columns.cells
        count_one(cells, index, is_strange)
        if not routes.has_challengers:
            return
        found = routes.found(index, CHALLENGER)
        if isinstance(found, tuple):
            score = found[0].model.score_one(found[1], timestamp, value)[0] / routes.thresholds.item(index)
            if score == score:
                challenge_one(cells, index, (score > THRESHOLD) != is_strange)

    def _looked_up(self, block: Block) -> Block:
        """Count how many points found their model in memory."""
        self.models.cache.hits += int(np.count_nonzero(block.places >= 0)) - block.loaded_for
        self.models.cache.misses += block.loaded_for
        return block

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
        self._count_fallback(score)
        return score

    def _count_fallback(self, score: Score) -> None:
        index = self.models.index(score.series_id)
        self.models.routes.without_model(index)
        count_one(self.models.routes.columns.cells, index, score.is_anomaly)

    def _refresh(self) -> bool:
        self.models.refresh()
        return False
