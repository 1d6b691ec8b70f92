"""The models of assets in Production, apart from the columns by which series are answered."""

import threading
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from atalaia.algorithms.asset_models import AssetModel
from atalaia.core.errors import Missing, Unavailable
from atalaia.core.models import Deployment, ModelKey, Scope, Stage, version_name
from atalaia.core.scores import ModelRef, Source
from atalaia.serving.artefacts import Artefacts

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedAsset:
    """The model of an asset as it was trained; whoever lets it advance takes a copy."""

    deployment: Deployment
    model: AssetModel
    source: Source

    @property
    def asset(self) -> str:
        """The name of the asset."""
        return self.deployment.key.name

    @property
    def ref(self) -> ModelRef:
        """Which model it is."""
        deployed = self.deployment
        return ModelRef(str(deployed.key), version_name(deployed.number), deployed.algorithm)


class AssetModels:
    """Holds the version in Production of each asset.

    Attributes
    ----------
    loaded
        The models by the name of their asset; replaced as a whole when any changes, and never changed.
    """

    def __init__(self, artefacts: Artefacts, retry_s: float) -> None:
        self._artefacts = artefacts
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._deployed: dict[str, Deployment] = {}
        self._failed: dict[str, float] = {}
        self.loaded: MappingProxyType[str, LoadedAsset] = MappingProxyType({})

    def expect(self, changed: Sequence[Deployment]) -> list[Deployment]:
        """Load what was promoted of assets, and return what else was; what failed a while ago is tried again."""
        with self._lock:
            for deployment in changed:
                if deployment.key.scope is Scope.ASSET and deployment.stage is Stage.PRODUCTION:
                    self._deployed[deployment.key.name] = deployment
                    self._failed.pop(deployment.key.name, None)
            self._load([name for name in self._deployed if self._waits(name)])
        return [deployment for deployment in changed if deployment.key.scope is not Scope.ASSET]

    def forget(self, there: Container[ModelKey]) -> None:
        """Let go of models that are not `there` any more."""
        with self._lock:
            gone = [name for name in self._deployed if ModelKey(Scope.ASSET, name) not in there]
            for name in gone:
                del self._deployed[name]
            if gone:
                self.loaded = MappingProxyType({n: one for n, one in self.loaded.items() if n in self._deployed})

    def get(self, asset: str) -> LoadedAsset:
        """Return the model of an asset.

        Raises
        ------
        Missing, Unavailable
            When none is in Production, or it cannot be loaded.
        """
        found = self.loaded.get(asset)
        if found is not None:
            return found
        if asset in self._deployed:
            detail = f"the model of the asset {asset[:80]!r} cannot be loaded; `atalaia doctor` says more"
            raise Unavailable("model_not_loaded", detail, retry_after_s=10)
        raise Missing("no_deployment", f"no version of a model of the asset {asset[:80]!r} is in Production")

    def _waits(self, name: str) -> bool:
        there, deployed = self.loaded.get(name), self._deployed[name]
        if there is not None and _is_same(there.deployment, deployed):
            return False
        failed_at = self._failed.get(name)
        return failed_at is None or time.monotonic() - failed_at >= self._retry_s

    def _load(self, names: Sequence[str]) -> None:
        fresh: dict[str, LoadedAsset] = {}
        for name in names:
            deployment = self._deployed[name]
            found = self._artefacts.read(deployment, _asset_model)
            if found is None:  # one that was loaded before goes on answering
                self._failed[name] = time.monotonic()
                _log.error("model_not_loaded", model=str(deployment.key), version=deployment.number)
            else:
                fresh[name] = LoadedAsset(deployment, *found)
        if fresh:
            self.loaded = MappingProxyType({**self.loaded, **fresh})


def _asset_model(data: memoryview) -> AssetModel:
    return AssetModel.from_bytes(data)


def _is_same(one: Deployment, other: Deployment) -> bool:
    """Say whether two deployments are of the same artefact; an erasure gives a version another one."""
    return one.number == other.number and one.statement == other.statement
