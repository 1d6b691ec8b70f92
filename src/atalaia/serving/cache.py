"""Loaded models: those of fleets stay, those of single series are bounded in bytes, the least used go first."""

import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field

from atalaia.algorithms.models import FleetModel
from atalaia.core.models import Deployment, ModelKey, Scope, version_name
from atalaia.core.scores import ModelRef, Source

_WINDOW_S = 300.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can answer, and how it came here; `ref` and `stage` say which it is."""

    deployment: Deployment
    model: FleetModel
    source: Source
    ref: ModelRef = field(init=False, compare=False)
    stage: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        deployed = self.deployment
        object.__setattr__(
            self, "ref", ModelRef(str(deployed.key), version_name(deployed.number), deployed.algorithm)
        )
        object.__setattr__(self, "stage", deployed.stage.value)

    @property
    def is_streaming(self) -> bool:
        """Whether it learns from the points that it scores as they arrive."""
        return hasattr(self.model.detector, "advance")  # isinstance looks at every member of the protocol

    @property
    def stays(self) -> bool:
        """Whether it is cheap, or knows what no artefact does, so that it is never dropped for another."""
        return self.deployment.key.scope is Scope.FLEET or self.is_streaming


class ModelCache:
    """An LRU of loaded models, in which those of fleets and streaming ones stay: a miss cannot happen there.

    Parameters
    ----------
    max_bytes
        What the models of single series may take together. One model may exceed it, alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._models: OrderedDict[ModelKey, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0
        self._bounded = 0
        self.hits = 0
        self.misses = 0
        self._asked = deque([(time.monotonic(), 0, 0)])

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

    def touch(self, key: ModelKey) -> None:
        """Note that a model was used, without a lock: it may be gone meanwhile."""
        with suppress(KeyError):
            self._models.move_to_end(key)

    def holds(self, key: ModelKey) -> bool:
        """Say whether a model is loaded, without counting the question."""
        return key in self._models

    def peek(self, key: ModelKey) -> Loaded | None:
        """Return a loaded model, without counting the question."""
        return self._models.get(key)

    def put(self, loaded: Loaded) -> list[Loaded]:
        """Keep a model, unless a later promotion is kept already; return what was dropped, itself perhaps."""
        key = loaded.deployment.key
        with self._lock:
            old = self._models.get(key)
            if old is not None and old.deployment.revision > loaded.deployment.revision:
                return [loaded]
            dropped = [old] if old is not None and old is not loaded else []
            self._drop(key)
            self._models[key] = loaded
            self._size(loaded, 1)
            if not loaded.stays:
                dropped += self._make_room(key)
            return dropped

    def remove(self, key: ModelKey) -> Loaded | None:
        """Let a model go; return it if it was there."""
        with self._lock:
            found = self._models.get(key)
            self._drop(key)
            return found

    def hit_rate(self) -> float:
        """Return the share of the lookups that found their model, of those since it was asked five minutes ago.

        1.0 before the first. Without that window a fault of today would be lost among the millions of last week.
        """
        now = time.monotonic()
        with self._lock:
            self._asked.append((now, self.hits, self.misses))
            while len(self._asked) > 2 and now - self._asked[1][0] >= _WINDOW_S:
                self._asked.popleft()
            (_, hits, misses), (_, hits_now, misses_now) = self._asked[0], self._asked[-1]
        found, missed = hits_now - hits, misses_now - misses
        return found / (found + missed) if found + missed else 1.0

    def _make_room(self, newest: ModelKey) -> list[Loaded]:
        dropped: list[Loaded] = []
        if self._bounded <= self._max_bytes:
            return dropped
        oldest = iter([key for key, loaded in self._models.items() if not loaded.stays and key != newest])
        while self._bounded > self._max_bytes and (key := next(oldest, None)) is not None:
            dropped.append(self._models[key])
            self._drop(key)
        return dropped

    def _drop(self, key: ModelKey) -> None:
        old = self._models.pop(key, None)
        if old is not None:
            self._size(old, -1)

    def _size(self, loaded: Loaded, sign: int) -> None:
        self.nbytes += sign * loaded.model.nbytes
        if not loaded.stays:
            self._bounded += sign * loaded.model.nbytes
