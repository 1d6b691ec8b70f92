"""Models by name and version, as the inference protocols ask for them."""

import threading
from collections import OrderedDict
from contextlib import suppress

from atalaia.core.errors import Missing, Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, parse_version, version_name
from atalaia.serving.cache import Loaded
from atalaia.serving.loading import Models

EVERY = "atalaia"
"""The model that stands for all: each series is scored by whatever model is in Production for it."""


class Versions:
    """Finds the model that a name and a version mean.

    Parameters
    ----------
    max_bytes
        What the versions that neither serve nor challenge may take together; those asked for last are kept. One
        may exceed it, alone.
    """

    def __init__(self, models: Models, max_bytes: int) -> None:
        self._models = models
        self._max_bytes = max_bytes
        self._others: OrderedDict[tuple[ModelKey, int], Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def resident(self, name: str, version: str | None) -> Loaded | None:
        """Return a model that is in memory, the one in Production without a version; None if `find` must look."""
        key, number = key_of(name), None if version is None else parse_version(version)
        loaded = self._models.cache.peek(key)
        if loaded is not None and number in (None, loaded.deployment.number):
            self._models.cache.touch(key)
            return loaded
        if number is None:
            return None
        challenger = self._models.challenger(key)
        if challenger is not None and challenger.deployment.number == number:
            return challenger
        other = self._others.get((key, number))
        if other is not None:
            with suppress(KeyError):  # forgotten meanwhile
                self._others.move_to_end((key, number))
        return other

    def find(self, name: str, version: str | None) -> Loaded:
        """Return a model, loaded if needed.

        Raises
        ------
        Missing, Unavailable
            When there is no such model or version, or it cannot be loaded.
        """
        found = self.resident(name, version)
        if found is not None:
            return found
        key = key_of(name)
        deployment = self._deployment(key, None if version is None else parse_version(version))
        if deployment.number == self._models.number_of(key):
            loaded = self._models.load_champion(key)
        else:
            loaded = self._load_other(deployment)
        if loaded is None:
            detail = f"{version_name(deployment.number)} of {key} cannot be loaded; `atalaia doctor` says more"
            raise Unavailable("model_not_loaded", detail, retry_after_s=10)
        return loaded

    def serves(self, name: str) -> bool:
        """Say whether a version of the model is in Production."""
        return self._models.number_of(key_of(name)) is not None

    def load(self, name: str) -> Loaded:
        """Load the version in Production anew.

        Raises
        ------
        Missing, Unavailable
            When there is none, or it cannot be loaded. One that was loaded before goes on answering.
        """
        key = key_of(name)
        if self._models.number_of(key) is None:
            raise Missing("no_deployment", f"no version of {key} is in Production")
        loaded = self._models.load_champion(key, anew=True)
        if loaded is None:
            raise Unavailable(
                "model_not_loaded", f"{key} cannot be loaded; `atalaia doctor` says more", retry_after_s=10
            )
        return loaded

    def forget(self, name: str) -> None:
        """Drop the loaded versions of a model that neither serve nor challenge."""
        key = key_of(name)
        with self._lock:
            for other in [other for other in self._others if other[0] == key]:
                del self._others[other]

    def _deployment(self, key: ModelKey, number: int | None) -> Deployment:
        wanted = self._models.number_of(key) if number is None else number
        found = None if wanted is None else self._models.version(key, wanted)
        if found is not None:
            return found
        if number is None:
            raise Missing("no_deployment", f"no version of {key} is in Production")
        raise Missing("unknown_version", f"{key} has no version {version_name(number)}")

    def _load_other(self, deployment: Deployment) -> Loaded | None:
        """Load a version that is not in Production, once however many ask for it, and keep it for a while."""
        with self._lock:
            loaded = self._others.get((deployment.key, deployment.number))
            if loaded is None and not self._models.failed_lately(deployment):
                loaded = self._models.load(deployment)
            if loaded is not None:
                self._others[deployment.key, deployment.number] = loaded
                while (
                    len(self._others) > 1 and sum(o.model.nbytes for o in self._others.values()) > self._max_bytes
                ):
                    self._others.popitem(last=False)
            return loaded


def key_of(name: str) -> ModelKey:
    """Return what a model of that name is of.

    Raises
    ------
    Missing
        When no model can have it.
    """
    scope, colon, rest = name.partition(":")
    if not colon or not rest or scope not in (Scope.SERIES.value, Scope.FLEET.value):
        detail = f"no model is called {name[:80]!r}; names are `{EVERY}`, `series:<id>` and `fleet:<id>`"
        raise Missing("unknown_model", detail)
    return ModelKey(Scope(scope), rest)
