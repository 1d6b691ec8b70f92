"""Loaded models, least recently used first out, bounded in bytes."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from atalaia.algorithms.models import FleetModel
from atalaia.core.models import Deployment, ModelKey
from atalaia.core.scores import ModelRef, Source


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can answer, and how it came here."""

    deployment: Deployment
    model: FleetModel
    source: Source

    @property
    def ref(self) -> ModelRef:
        """Which model this is."""
        deployed = self.deployment
        return ModelRef(str(deployed.key), f"v{deployed.number}", deployed.algorithm)


class ModelCache:
    """An LRU of loaded models.

    Parameters
    ----------
    max_bytes
        What all models together may take. One model may exceed it, alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._models: OrderedDict[ModelKey, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._models)

    def get(self, key: ModelKey) -> Loaded | None:
        """Return a loaded model, and count whether there was one."""
        with self._lock:
            found = self._models.get(key)
            if found is None:
                self.misses += 1
                return None
            self._models.move_to_end(key)
            self.hits += 1
            return found

    def holds(self, key: ModelKey) -> bool:
        """Say whether a model is loaded, without counting the question."""
        return key in self._models

    def peek(self, key: ModelKey) -> Loaded | None:
        """Return a loaded model, without counting the question."""
        return self._models.get(key)

    def put(self, loaded: Loaded) -> None:
        """Keep a model, unless a later promotion is kept already; drop others while they are too large."""
        key = loaded.deployment.key
        with self._lock:
            old = self._models.get(key)
            if old is not None and old.deployment.revision > loaded.deployment.revision:
                return
            self._drop(key)
            self._models[key] = loaded
            self.nbytes += loaded.model.nbytes
            while self.nbytes > self._max_bytes and len(self._models) > 1:
                self._drop(next(iter(self._models)))

    @property
    def hit_rate(self) -> float:
        """Share of the lookups that found their model, 1.0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 1.0

    def _drop(self, key: ModelKey) -> None:
        old = self._models.pop(key, None)
        if old is not None:
            self.nbytes -= old.model.nbytes
