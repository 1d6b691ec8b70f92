"""What lifecycle erases of some series: models of their own go, those of fleets and assets are written anew.

A rewritten version keeps its number, its stage and what it learnt of the others: rows of the artefact are left out,
and the site's key signs the new one. Nothing is trained anew, so that nobody else is answered differently; the
other sensors of an asset are judged as if the one that went were missing for good.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import AtalaiaError, Stale
from atalaia.core.models import ModelKey, Scope, artefact_key
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database, chunks
from atalaia.kit.signatures import BEFORE, Signatures
from atalaia.lifecycle import store
from atalaia.lifecycle.ports import Eraser

_log = structlog.get_logger(__name__)


Shared = FleetModel | AssetModel
"""A model of several series."""
_SHARED = (Scope.FLEET, Scope.ASSET)


@dataclass(slots=True)
class Found:
    """What is to change.

    Attributes
    ----------
    own
        Keys of models that are of erased series alone, and the runs of their versions.
    shared
        Versions that hold erased series among others, each with the artefact that it gets.
    unread
        Versions whose artefact could be read nowhere, so that nobody knows what they hold.
    """

    own: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    shared: list[tuple[store.VersionRow, Shared]] = field(default_factory=list[tuple[store.VersionRow, Shared]])
    unread: list[str] = field(default_factory=list[str])


class ModelErasure:
    """Erases series from models."""

    def __init__(self, database: Database, blobs: Blobs, signatures: Signatures, registry: Eraser) -> None:
        self._database = database
        self._blobs = blobs
        self._signatures = signatures
        self._registry = registry

    def counted(self, session: Session, names: Sequence[str], fleets: Sequence[str]) -> dict[str, int]:
        """Return how many models are of the series alone, and how many of fleets may hold them."""
        own = [str(ModelKey(Scope.SERIES, name)) for name in names]
        shared = [str(ModelKey(Scope.FLEET, name)) for name in fleets]
        return {"models": len(self._there(session, own)), "fleet_models": len(self._there(session, shared))}

    def find(self, names: Container[str], keys: Sequence[str], go_on: Callable[[float], object]) -> Found:
        """Look into every version: fleets and assets change, and those of long ago may hold a series too.

        Parameters
        ----------
        keys
            Of the models that are of erased series by their name.
        """
        found = Found()
        with self._database.read() as session:
            for key in self._there(session, keys):
                found.own[key] = [version.run_id for version in store.versions_of(session, [key])]
            several = or_(*(store.ModelRow.key.startswith(f"{scope}:") for scope in _SHARED))
            others = sorted(session.scalars(select(store.ModelRow.key).where(several)))
        for done, key in enumerate(others):
            go_on(done / len(others))
            with self._database.read() as session:
                versions = store.versions_of(session, [key])
            self._look(found, key, versions, names)
        return found

    def apply(self, session: Session, found: Found) -> tuple[dict[str, Any], list[str]]:
        """Change the tables; return counts, and the keys of artefacts that nothing names any more.

        Raises
        ------
        Stale
            When a version is not any more what was looked at.
        """
        store.lock_models(session, [*found.own, *(version.key for version, _ in found.shared)])
        old: list[str] = []
        for version, model in found.shared:
            old.append(self._rewrite(session, version, model))
        removed = 0
        for key in found.own:
            versions = store.versions_of(session, [key])
            removed += len(versions)
            old += [version.sha256 for version in versions]
            store.remove_model(session, key)
        session.flush()
        still = set(session.scalars(select(store.VersionRow.sha256).where(store.VersionRow.sha256.in_(old))))
        told = {
            "models_removed": len(found.own),
            "versions_removed": removed,
            "versions_rewritten": len(found.shared),
            "versions_unread": len(found.unread),
        }
        return told, [artefact_key(sha256) for sha256 in dict.fromkeys(old) if sha256 not in still]

    def deploy(self, session: Session, keys: Sequence[str]) -> None:
        """Let those who serve load the artefacts of some models anew, and let go of models that are not there."""
        for model in store.lock_models(session, list(dict.fromkeys(keys))).values():
            model.revision = store.next_revision(session)
        store.count_removal(session)

    def register(self, gone: dict[str, list[str]], rewritten: Sequence[tuple[str, int]]) -> str:
        """Bring the registry to where the tables are; return what it keeps nevertheless."""
        stays = ""
        for key, runs in gone.items():
            stays = self._registry.erase(ModelKey.parse(key), runs) or stays
        for key, number in rewritten:
            with self._database.read() as session:
                version = session.get(store.VersionRow, (key, number))
            if version is None:
                continue
            data = self._blobs.get(artefact_key(version.sha256), version.sha256)
            tags = {
                "signature": version.signature or "",
                "signed_by": version.signed_by or "",
                "statement": version.statement.encoded().decode(),
            }
            self._registry.replace(version.run_id, data, version.sha256, tags)
        return stays

    def _there(self, session: Session, keys: Sequence[str]) -> list[str]:
        found: list[str] = []
        for chunk in chunks(keys):
            found += session.scalars(select(store.ModelRow.key).where(store.ModelRow.key.in_(chunk)))
        return found

    def _look(self, found: Found, key: str, versions: Sequence[store.VersionRow], names: Container[str]) -> None:
        shared: list[tuple[store.VersionRow, Shared]] = []
        empty = 0
        for version in versions:
            model = self._model(version)
            if model is None:
                found.unread.append(f"{version.key} v{version.number}")
            elif any(name in names for name in model.series_ids):
                rest = model.without(names)
                empty += not rest.series_ids
                shared.append((version, rest))
        if versions and empty == len(versions):  # none of it is of anybody else
            found.own[key] = [version.run_id for version in versions]
            return
        found.shared += shared

    def _model(self, version: store.VersionRow) -> Shared | None:
        is_asset = ModelKey.parse(version.key).scope is Scope.ASSET
        for read in (
            lambda: self._blobs.get(artefact_key(version.sha256), version.sha256),
            lambda: self._registry.fetch(version.run_id),
        ):
            try:
                data = read()
                if sha256_of(data) == version.sha256:
                    return AssetModel.from_bytes(data) if is_asset else FleetModel.from_bytes(data)
            except (AtalaiaError, OSError) as error:
                _log.warning("artefact_not_read", model=version.key, version=version.number, error=str(error)[:300])
        return None

    def _rewrite(self, session: Session, before: store.VersionRow, model: Shared) -> str:
        """Give a version another artefact, and sign it; return the checksum of the one before."""
        version = session.get_one(store.VersionRow, (before.key, before.number), populate_existing=True)
        if version.sha256 != before.sha256:
            raise Stale("lease_lost", f"version {version.number} of {version.key} was changed meanwhile")
        blob = self._blobs.put(artefact_key(sha256_of(data := model.to_bytes())), data)
        version.sha256, version.size_bytes = blob.sha256, blob.size_bytes
        version.series_count = len(model.series_ids)
        version.metrics = {**version.metrics, **{name: model.trained[name] for name in ("series", "series_ready")}}
        if version.signed_by != BEFORE:
            signature = self._signatures.sign(version.statement.encoded())
            version.signature, version.signed_by = signature.text, signature.key_id
        return before.sha256
