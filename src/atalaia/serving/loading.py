"""Which model answers for a series, and how it gets into memory: registry, then local copy, then none.

The deployments are known by heart: which model is in Production, and which series each holds. An artefact is used
only if its SHA-256 is the one recorded when it was trained, wherever it came from.
"""

import threading
import time
from collections.abc import Callable

import structlog

from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError, Broken
from atalaia.core.models import Deployment, ModelKey, Scope, artefact_key
from atalaia.core.scores import Source
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.telemetry import Telemetry
from atalaia.serving.cache import Loaded, ModelCache
from atalaia.serving.ports import Deployments, Registry
from atalaia.serving.settings import ServingSettings

_log = structlog.get_logger(__name__)


class Models:
    """The models in Production, loaded as they are needed."""

    def __init__(
        self,
        deployments: Deployments,
        registry: Registry,
        blobs: Blobs,
        settings: ServingSettings,
        telemetry: Telemetry,
    ) -> None:
        self._source = deployments
        self._registry = registry
        self._blobs = blobs
        self._settings = settings
        self._telemetry = telemetry
        self._lock = threading.RLock()
        self._deployed: dict[ModelKey, Deployment] = {}
        self._fleet_of: dict[str, ModelKey] = {}
        self._failed: dict[tuple[ModelKey, int], float] = {}
        self._awaited: set[ModelKey] = set()
        self._revision = 0
        self.cache = ModelCache(settings.cache_bytes)

    def refresh(self) -> bool:
        """Learn of promotions since the last time, and load what was promoted; return whether there were any.

        What could not be loaded is tried again after a pause: nobody asks for a fleet whose members are not known,
        nor for a model whose predecessor still answers.
        """
        with self._lock:
            changed = self._source.deployments(self._revision)
            for deployment in changed:
                known = self._deployed.get(deployment.key)
                self._deployed[deployment.key] = deployment
                self._revision = max(self._revision, deployment.revision)
                if known is not None or deployment.key.scope is Scope.FLEET:
                    self._awaited.add(deployment.key)
            for key in list(self._awaited):
                if not self._failed_lately(self._deployed[key]):
                    self._load(self._deployed[key])
        return bool(changed)

    def key_of(self, series_id: str) -> ModelKey | None:
        """Return the model that answers for a series: its own, else the one of the fleet it was trained in."""
        own = ModelKey(Scope.SERIES, series_id)
        return own if own in self._deployed else self._fleet_of.get(series_id)

    def is_resident(self, series_id: str) -> bool:
        """Say whether the model of a series is loaded."""
        key = self.key_of(series_id)
        return key is not None and self.cache.holds(key)

    def find(self, series_id: str) -> Loaded | None:
        """Return the model of a series, loading it if needed; None when there is none, or it cannot be loaded."""
        key = self.key_of(series_id)
        if key is None:
            return None
        found = self.cache.get(key)
        if found is not None or self._failed_lately(self._deployed[key]):
            return found
        with self._lock:  # whoever waited here may find that another has loaded it, or failed
            deployment = self._deployed[key]
            if self.cache.holds(key) or self._failed_lately(deployment):
                return self.cache.peek(key)
            return self._load(deployment)

    def reload(self, series_id: str) -> Loaded | None:
        """Load the model of a series anew, even if that failed lately; None when there is none to load.

        One that was loaded before answers meanwhile, and goes on answering if this fails.
        """
        self.refresh()
        with self._lock:
            key = self.key_of(series_id)
            if key is None:
                return None
            self._failed.pop((key, self._deployed[key].number), None)
            return self._load(self._deployed[key])

    def deployments(self) -> list[Deployment]:
        """Return all deployments as they are now."""
        return self._source.deployments()

    def deployed_series(self) -> list[str]:
        """Return the series that have a model of their own in Production."""
        return [key.name for key in list(self._deployed) if key.scope is Scope.SERIES]

    def _failed_lately(self, deployment: Deployment) -> bool:
        failed_at = self._failed.get((deployment.key, deployment.number))
        return failed_at is not None and time.monotonic() - failed_at < self._settings.retry_s

    def _load(self, deployment: Deployment) -> Loaded | None:
        for source, read in (
            (Source.MLFLOW, lambda: self._registry.fetch(deployment.run_id)),
            (Source.LOCAL_CACHE, lambda: self._blobs.get(artefact_key(deployment.sha256))),
        ):
            loaded = self._try(deployment, source, read)
            if loaded is not None:
                self._accept(loaded)
                return loaded
        self._failed[deployment.key, deployment.number] = time.monotonic()
        _log.error("model_not_loaded", model=str(deployment.key), version=deployment.number)
        return None

    def _try(self, deployment: Deployment, source: Source, read: Callable[[], bytes]) -> Loaded | None:
        started = time.perf_counter()
        try:
            data = read()
            if sha256_of(data) != deployment.sha256:
                raise Broken(
                    "bad_artifact", f"the artefact of {deployment.key} from {source} is not the recorded one"
                )
            loaded = Loaded(deployment, FleetModel.from_bytes(data), source)
            if source is Source.MLFLOW:
                self._keep_copy(deployment, data)
        except (AtalaiaError, OSError) as error:
            told = {"model": str(deployment.key), "source": source.value, "error": str(error)[:500]}
            _log.warning("model_source_failed", **told)
            return None
        seconds = time.perf_counter() - started
        self._telemetry.time("model_load_duration_seconds", seconds, deployment.key.name, source.value)
        return loaded

    def _accept(self, loaded: Loaded) -> None:
        self.cache.put(loaded)
        self._failed.pop((loaded.deployment.key, loaded.deployment.number), None)
        self._awaited.discard(loaded.deployment.key)
        key, members = loaded.deployment.key, loaded.model.series_ids
        if key.scope is Scope.FLEET:
            others = {series_id: fleet for series_id, fleet in self._fleet_of.items() if fleet != key}
            self._fleet_of = {**others, **dict.fromkeys(members, key)}

    def _keep_copy(self, deployment: Deployment, data: bytes) -> None:
        key = artefact_key(deployment.sha256)
        try:
            self._blobs.get(key, deployment.sha256)
        except (AtalaiaError, OSError):
            try:
                self._blobs.put(key, data)
            except (AtalaiaError, OSError) as error:  # a full disk, say: the model itself is sound
                _log.warning("local_copy_not_kept", model=str(deployment.key), error=str(error)[:500])
