"""How the artefact of a version gets into memory: from the registry, else from the local copy, else not at all.

An artefact is used only if its SHA-256 is the one recorded when it was trained, wherever it came from, and the
record is signed. It is mapped, not read: processes on one machine share the memory of a model.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import structlog

from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError, Broken
from atalaia.core.models import Deployment, artefact_key
from atalaia.core.scores import Source
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.signatures import Signatures, Verdict
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.tracing import span
from atalaia.serving.cache import Loaded
from atalaia.serving.ports import Registry

_log = structlog.get_logger(__name__)
_MAPPED_BYTES = 1 << 16
"""Smaller artefacts are read: a mapping costs a page and an entry in the kernel's table."""

_NO_POINTS = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
_Read = TypeVar("_Read")


class Artefacts:
    """Loads the artefacts of versions, and refuses those that are not what their training made."""

    def __init__(self, registry: Registry, blobs: Blobs, signatures: Signatures, telemetry: Telemetry) -> None:
        self._registry = registry
        self._blobs = blobs
        self._signatures = signatures
        self._telemetry = telemetry

    def load(self, deployment: Deployment, revive: Callable[[FleetModel], FleetModel]) -> Loaded | None:
        """Load a version, or return None when no source has a sound artefact; `revive` makes the model ready."""
        found = self.read(deployment, lambda data: revive(_fleet_model(data)))
        return None if found is None else Loaded(deployment, *found)

    def read(self, deployment: Deployment, parse: Callable[[memoryview], _Read]) -> tuple[_Read, Source] | None:
        """Return what `parse` makes of the artefact of a version, and its source; None if none has a sound one."""
        for source, read in (
            (Source.MLFLOW, lambda: memoryview(self._registry.fetch(deployment.run_id))),
            (Source.LOCAL_CACHE, lambda: self._blobs.view(artefact_key(deployment.sha256), deployment.sha256)),
        ):
            started = time.perf_counter()
            try:
                found = parse(self._read(deployment, source, read))
            except (AtalaiaError, OSError) as error:
                told = {"model": str(deployment.key), "source": source.value, "error": str(error)[:500]}
                _log.warning("model_source_failed", **told)
                continue
            seconds = time.perf_counter() - started
            self._telemetry.time("model_load_duration_seconds", seconds, deployment.key.name, source.value)
            return found, source
        return None

    def _read(self, deployment: Deployment, source: Source, read: Callable[[], memoryview]) -> memoryview:
        with span(f"{source.value}_load"):
            data = read()
        if sha256_of(data) != deployment.sha256:
            raise self._refused(deployment, source, "checksum")
        verdict = self._signatures.judge(deployment.statement.encoded(), deployment.signature, deployment.signed_by)
        if not self._signatures.accepts(verdict):
            raise self._refused(deployment, source, verdict.value)
        if verdict is not Verdict.GOOD:
            _log.warning("model_not_signed", model=str(deployment.key), version=deployment.number)
        return self._mapped_copy(deployment, data) if source is Source.MLFLOW else data

    def _refused(self, deployment: Deployment, source: Source, reason: str) -> Broken:
        self._telemetry.count("model_refused_total", reason)
        told = {"model": str(deployment.key), "version": deployment.number, "source": source.value}
        _log.error("model_refused", reason=reason, signed_by=deployment.signed_by, **told)
        return Broken("bad_artifact", f"the artefact of {deployment.key} from {source} is refused: {reason}")

    def _mapped_copy(self, deployment: Deployment, data: memoryview) -> memoryview:
        """Keep a local copy, and return it mapped where that is worth it, else `data` itself."""
        key = artefact_key(deployment.sha256)
        try:
            view = self._blobs.keep(key, data, deployment.sha256)
        except (AtalaiaError, OSError) as error:  # a full disk, say: the model itself is sound
            _log.warning("local_copy_not_kept", model=str(deployment.key), error=str(error)[:500])
            return data
        return view if len(view) >= _MAPPED_BYTES else data


def _fleet_model(data: memoryview) -> FleetModel:
    model = FleetModel.from_bytes(data)
    model.score(*_NO_POINTS)  # what the detector needs here may not be installed: then another one answers
    return model
