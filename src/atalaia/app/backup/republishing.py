"""Versions that the registry has lost are published again, from our own copy of their artefacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select, update

from atalaia.connectors.mlflow import Publisher
from atalaia.core.errors import AtalaiaError
from atalaia.core.models import ModelKey, Stage, Statement, artefact_key
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.lifecycle.store import VersionRow

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Artefact:
    key: ModelKey
    job_id: str
    data: bytes
    sha256: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def republish(database: Database, blobs: Blobs, registry: Publisher) -> tuple[int, int]:
    """Publish what is missing; return how many versions that were, and how many could not be."""
    with database.read() as session:
        versions = list(session.scalars(select(VersionRow)))
    done = failed = 0
    for version in versions:
        if _is_there(registry, version):
            continue
        try:
            data = blobs.get(artefact_key(version.sha256), version.sha256)
            key = ModelKey.parse(version.key)
            told = (version.hyperparameters, version.metrics, _tags(key, version))
            artefact = _Artefact(key, version.job_id, data, version.sha256, *told)
            run_id = registry.publish(artefact)
            registry.set_stage(key, run_id, version.number, Stage(version.stage))
        except AtalaiaError as error:
            failed += 1
            _log.warning("version_not_published", model=version.key, version=version.number, error=error.detail)
            continue
        same = (VersionRow.key == version.key, VersionRow.number == version.number)
        with database.write() as session:
            session.execute(update(VersionRow).where(*same).values(run_id=run_id))
        done += 1
    return done, failed


def _tags(key: ModelKey, version: VersionRow) -> dict[str, str]:
    """Return what the registry notes of a version's signature, as when it was trained."""
    if version.signature is None or version.signed_by is None:
        return {}
    said = Statement(key, version.sha256, version.algorithm, version.job_id, version.created_at)
    return {"signature": version.signature, "signed_by": version.signed_by, "statement": said.encoded().decode()}


def _is_there(registry: Publisher, version: VersionRow) -> bool:
    try:
        return sha256_of(registry.fetch(version.run_id)) == version.sha256
    except AtalaiaError:
        return False
