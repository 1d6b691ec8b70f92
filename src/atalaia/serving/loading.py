"""Which model answers for a series.

The deployments are known by heart: which model is in Production, which challenges it, and which series each holds.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress

import numpy as np
import structlog

from atalaia.algorithms.detectors import DETECTORS
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError, Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.core.points import IntArray
from atalaia.serving.adoption import Adoption
from atalaia.serving.artefacts import Artefacts
from atalaia.serving.assets import AssetModels
from atalaia.serving.cache import Loaded, ModelCache
from atalaia.serving.columns import CHALLENGER, CHAMPION, NO_MODEL, NOT_LOADED, slot_of
from atalaia.serving.ports import Catalogue, Deployments
from atalaia.serving.routing import Change, Routes, change_to, change_to_none
from atalaia.serving.settings import ServingSettings
from atalaia.serving.streams import Streams

_log = structlog.get_logger(__name__)


class Models:
    """The models in Production and their challengers, loaded as they are needed."""

    def __init__(
        self,
        deployments: Deployments,
        artefacts: Artefacts,
        catalogue: Catalogue,
        settings: ServingSettings,
    ) -> None:
        self._source = deployments
        self._artefacts = artefacts
        self._catalogue = catalogue
        self._settings = settings
        self._lock = threading.RLock()
        self._asking = threading.Lock()
        self._deployed: dict[ModelKey, Deployment] = {}
        self._challengers: dict[ModelKey, Loaded] = {}
        self._slots: dict[int, int] = {}
        self._failed: dict[tuple[ModelKey, int], float] = {}
        self._awaited: dict[tuple[ModelKey, Stage], Deployment] = {}
        self._unnumbered: set[str] = set()
        self._revision = 0
        self._removals: int | None = None
        self.routes = Routes()
        self.streams = Streams(self.routes)
        self.cache = ModelCache(settings.cache_bytes)
        grow = (self._trained, self._exchange, settings.adopt_max_series)
        self.adoption = Adoption(self.streams, self.routes, catalogue, *grow)
        self.assets = AssetModels(artefacts, settings.retry_s)

    def refresh(self) -> bool:
        """Learn of promotions since the last time, and load what was promoted; return whether there were any.

        All that can be loaded takes over in one step. What could not be loaded is tried again after a pause: nobody
        asks for a fleet whose members are not known, nor for a model whose predecessor still answers.
        """
        # Whoever looks for a model does not wait for the database; of those who ask it, one goes after the other.
        with self._asking:
            removals = self._known_removals()
            is_first = self._removals is None and not self._revision
            changed = self._source.deployments(self._revision)
            is_changed = self._refreshed(changed)
            if removals is not None and removals != self._removals:
                if not is_first:
                    self._forget()
                self._removals = removals
            return is_changed

    def _known_removals(self) -> int | None:
        with suppress(Unavailable):
            return self._source.removals()
        return None  # what serves is what a file remembers; it is held against the database once that is back

    def _forget(self) -> None:
        """Let go of models that were removed, and learn anew by which numbers series are known."""
        there = {deployment.key for deployment in self._source.deployments()}
        known = self._catalogue.numbers(list(self.routes.names))
        with self._lock:
            self._remove([key for key in self._deployed if key not in there])
            self.assets.forget(there)
            self.routes.renumber(known)
            self._unnumbered = set(self.routes.names) - known.keys()
            self.adoption.forget(known)

    def _remove(self, keys: Sequence[ModelKey]) -> None:
        for key in keys:
            del self._deployed[key]
            for stage in Stage:
                self._awaited.pop((key, stage), None)
            gone = [loaded for loaded in (self.cache.remove(key), self._challengers.pop(key, None)) if loaded]
            changes = [self._vacant(CHAMPION, [key.name], NO_MODEL)] if key.scope is Scope.SERIES else []
            self.routes.swap([*(self._leaving(loaded) for loaded in gone), *changes])
            self._drop(gone)

    def _refreshed(self, changed: Sequence[Deployment]) -> bool:
        with self._lock:
            self._revision = max((self._revision, *(deployment.revision for deployment in changed)))
            series = self.assets.expect(changed)
            leaving = list(self._challengers.values())  # what a promoted one has learnt shall outlive its old place
            for key in dict.fromkeys(deployment.key for deployment in series):
                self._expect(key, [deployment for deployment in series if deployment.key == key])
            waiting = [d for d in self._awaited.values() if not self.failed_lately(d)]
            self._accept([loaded for d in waiting if (loaded := self.load(d)) is not None])
            self.learn_numbers()
            del leaving
        return bool(changed)

    def restore(self, states: Mapping[str, Callable[[], bytes]]) -> None:
        """Take back what streaming models had learnt. Models first: a state is only taken by its artefact."""
        self.refresh()
        self.adoption.restore(states)

    def is_resident(self, series_id: str) -> bool:
        """Say whether the model of a series is loaded."""
        index = self.routes.index_of.get(series_id)
        return index is not None and not isinstance(self.routes.found(index), int)

    def is_deployed(self, series_id: str) -> bool:
        """Say whether there is a model in Production for a series, loaded or not."""
        index = self.routes.index_of.get(series_id)
        return index is not None and self.routes.found(index) != NO_MODEL

    def find(self, series_id: str) -> tuple[Loaded, int] | None:
        """Return the model of a series and its row there, loading it if needed; None when there is none to load."""
        index = self.routes.index_of.get(series_id)
        if index is None:
            return None
        found = self.routes.found(index)
        if isinstance(found, int):
            if found == NO_MODEL:
                return None
            return self._find(ModelKey(Scope.SERIES, series_id), index)
        if found[0].deployment.key.scope is Scope.SERIES:
            self.cache.touch(found[0].deployment.key)
        return found

    def reload(self, series_id: str) -> Loaded | None:
        """Load the model of a series anew, even if that failed lately; None when there is none to load.

        One that was loaded before answers meanwhile, and goes on answering if this fails.
        """
        self.refresh()
        with self._lock:
            key = self._key_of(series_id)
            if key is None:
                return None
            self._failed.pop((key, self._deployed[key].number), None)
            loaded = self.load(self._deployed[key])
            self._accept([loaded] if loaded else [])
            return loaded

    def learn_numbers(self) -> None:
        """Ask by which numbers series are known that have an index; those without a point yet have none."""
        if not self._unnumbered:
            return
        try:
            found = self._catalogue.numbers(sorted(self._unnumbered))
        except AtalaiaError as error:
            _log.warning("series_numbers_not_read", error=str(error)[:500])
            return
        self.routes.number(found)
        self._unnumbered -= found.keys()

    def index(self, series_id: str) -> int:
        """Return the index of a series; one without a model gets one, so that its points can be counted."""
        return int(self._indexes([series_id])[0])

    def challenger(self, key: ModelKey) -> Loaded | None:
        """Return the loaded challenger of a model."""
        return self._challengers.get(key)

    def number_of(self, key: ModelKey) -> int | None:
        """Return the number of the version in Production, None without one."""
        deployed = self._deployed.get(key)
        return None if deployed is None else deployed.number

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        """Return one version, wherever it stands."""
        return self._source.version(key, number)

    def load_champion(self, key: ModelKey, *, anew: bool = False) -> Loaded | None:
        """Load the version in Production, and let it answer; unless `anew`, one that is there already is taken."""
        with self._lock:
            deployment = self._deployed[key]
            there = None if anew else self.cache.peek(key)
            if there is not None and there.deployment.number == deployment.number:
                return there
            if not anew and self.failed_lately(deployment):
                return None
            loaded = self.load(deployment)
            self._accept([loaded] if loaded else [])
            return loaded

    def deployments(self) -> list[Deployment]:
        """Return all deployments as they are now."""
        return self._source.deployments()

    def deployed_series(self) -> list[str]:
        """Return the series that have a model of their own in Production."""
        return [key.name for key in list(self._deployed) if key.scope is Scope.SERIES]

    def _key_of(self, series_id: str) -> ModelKey | None:
        own = ModelKey(Scope.SERIES, series_id)
        if own in self._deployed:
            return own
        index = self.routes.index_of.get(series_id)
        found = self.routes.found(index) if index is not None else NO_MODEL
        return None if isinstance(found, int) else found[0].deployment.key

    def _find(self, key: ModelKey, index: int) -> tuple[Loaded, int] | None:
        if self.failed_lately(self._deployed[key]):
            return None
        with self._lock:  # whoever waited here may find that another has loaded it, or failed
            found = self.routes.found(index)
            deployment = self._deployed[key]
            if not isinstance(found, int):
                return found
            if self.failed_lately(deployment):
                return None
            loaded = self.load(deployment)
            if loaded is None:
                return None
            self._accept([loaded])
            row = loaded.model.row_of(key.name)
            return None if row is None else (loaded, row)

    def _expect(self, key: ModelKey, now: Sequence[Deployment]) -> None:
        """Note what serves a key from now on; a challenger that is not named any more goes at once."""
        for deployment in now:
            known = self._deployed.get(key)
            if deployment.stage is Stage.PRODUCTION:
                self._deployed[key] = deployment
                is_lazy = not hasattr(DETECTORS.get(deployment.algorithm), "advance")  # a streaming one must learn
                if (
                    key.scope is Scope.SERIES and known is None and is_lazy
                ):  # it takes over from the fleet's, even if it can't load
                    self.routes.swap([self._vacant(CHAMPION, [key.name], NOT_LOADED)])
                    continue
                if (
                    known is not None
                    and known.statement == deployment.statement
                    and known.number == deployment.number
                ):
                    continue  # an erasure gives a version another artefact
                if key.scope is Scope.SERIES and is_lazy and not self.cache.holds(key):
                    self._awaited.pop((key, Stage.PRODUCTION), None)
                    continue  # whoever asks for it finds the new version
            self._awaited[key, deployment.stage] = deployment
        challenger = self._challengers.get(key)
        if challenger is not None and not any(d.stage is Stage.STAGING for d in now):
            del self._challengers[key]
            self._awaited.pop((key, Stage.STAGING), None)
            self.routes.swap([self._vacant(CHALLENGER, challenger.model.series_ids, NO_MODEL)])
            self._drop([challenger])

    def failed_lately(self, deployment: Deployment) -> bool:
        """Say whether loading a version failed so lately that it is not tried again yet."""
        failed_at = self._failed.get((deployment.key, deployment.number))
        return failed_at is not None and time.monotonic() - failed_at < self._settings.retry_s

    def load(self, deployment: Deployment) -> Loaded | None:
        """Load a version: from the registry, else from the local copy, else not at all."""
        loaded = self._artefacts.load(deployment, lambda model: self._revived(deployment, model))
        if loaded is None:
            self._failed[deployment.key, deployment.number] = time.monotonic()
            _log.error("model_not_loaded", model=str(deployment.key), version=deployment.number)
        return loaded

    def _revived(self, deployment: Deployment, model: FleetModel) -> FleetModel:
        return self.streams.revived(deployment, model) if isinstance(model.detector, Streaming) else model

    def _trained(self, deployment: Deployment) -> FleetModel | None:
        """Return a version as its training left it."""
        loaded = self._artefacts.load(deployment, lambda model: model)
        return None if loaded is None else loaded.model

    def _exchange(self, pairs: Sequence[tuple[Loaded, FleetModel]], late: Set[str] = frozenset()) -> None:
        """Let loaded models go on as others, which hold other series, all in one step."""
        if not pairs:
            return
        with self._lock:
            there = {id(loaded) for loaded in self.routes.models.values()}
            fresh: list[Loaded] = []
            for loaded, model in pairs:
                if id(loaded) in there:
                    self.streams.exchanged(loaded.deployment, model, late)
                    fresh.append(Loaded(loaded.deployment, model, loaded.source))
            self._accept(fresh)
            self.learn_numbers()  # at once: points of a series without a number would teach it nothing

    def _accept(self, models: Sequence[Loaded]) -> None:
        """Let loaded models take over, all in one step."""
        changes: list[Change] = []
        gone: list[Loaded] = []
        known = self.routes.index_of
        self.routes.reserve(sum(name not in known for loaded in models for name in loaded.model.series_ids))
        for loaded in models:
            deployment = loaded.deployment
            self._failed.pop((deployment.key, deployment.number), None)
            awaited = self._awaited.get((deployment.key, deployment.stage))
            if awaited is not None and awaited.revision <= deployment.revision:
                del self._awaited[deployment.key, deployment.stage]
            if deployment.stage is Stage.PRODUCTION:
                dropped = self.cache.put(loaded)
            else:
                before = self._challengers.get(deployment.key)
                dropped = [before] if before is not None else []
                self._challengers[deployment.key] = loaded
            is_kept = all(old is not loaded for old in dropped)
            changes += [self._leaving(old) for old in dropped if old is not loaded]
            changes += [self._coming(loaded)] if is_kept else []
            gone += dropped
        self.routes.swap(changes)
        self._drop(gone)

    def _coming(self, loaded: Loaded) -> Change:
        slot = self._slots[id(loaded)] = self.routes.add(loaded)
        key, names = loaded.deployment.key, loaded.model.series_ids
        side = CHAMPION if loaded.deployment.stage is Stage.PRODUCTION else CHALLENGER
        indexes, rows = self._indexes(names), np.arange(len(names))
        if key.scope is Scope.FLEET and side == CHAMPION:  # a series' own model goes before that of its fleet
            own = [ModelKey(Scope.SERIES, name) in self._deployed for name in names]
            keep = ~np.array(own, np.bool_)
            indexes, rows = indexes[keep], rows[keep]
        version = self.routes.numbered(key, loaded.deployment.number)
        return change_to(loaded.model, slot, side, indexes, rows, version)

    def _leaving(self, loaded: Loaded) -> Change:
        """Return the change that takes back what still points to a model, before its successor comes."""
        side = CHAMPION if loaded.deployment.stage is Stage.PRODUCTION else CHALLENGER
        indexes = self.routes.indexes(loaded.model.series_ids)
        slot = self._slots.get(id(loaded), NO_MODEL)
        here = slot_of(self.routes.columns.places(side)[indexes]) == slot
        is_series = loaded.deployment.key.scope is Scope.SERIES and side == CHAMPION
        return change_to_none(side, indexes[here], NOT_LOADED if is_series else NO_MODEL)

    def _vacant(self, side: int, names: Sequence[str], why: int) -> Change:
        return change_to_none(side, self._indexes(names), why)

    def _drop(self, gone: Iterable[Loaded]) -> None:
        self.routes.drop([self._slots.pop(id(loaded), NO_MODEL) for loaded in gone])

    def _indexes(self, names: Sequence[str]) -> IntArray:
        known = self.routes.index_of
        self._unnumbered.update(name for name in names if name not in known)
        return self.routes.indexes(names)
