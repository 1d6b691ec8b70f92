"""Model versions, their stages, and what a model is of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from atalaia.core.errors import Fault, Invalid


class Stage(StrEnum):
    """Where a version stands. MLflow deprecated stages; the words stay ours, kept there as aliases and tags."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class Scope(StrEnum):
    """Whether a model is of one series, of a fleet, or of all sensors of an asset together."""

    SERIES = "series"
    FLEET = "fleet"
    ASSET = "asset"


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """What a model is of: ``series:pump-7``, ``fleet:pumps`` or ``asset:press-3``."""

    scope: Scope
    name: str

    def __str__(self) -> str:
        return f"{self.scope.value}:{self.name}"

    @staticmethod
    def parse(text: str) -> "ModelKey":
        """Return the key that `text` writes."""
        scope, _, name = text.partition(":")
        return ModelKey(Scope(scope), name)


def version_name(number: int) -> str:
    """Return ``v3`` for 3."""
    return f"v{number}"


def parse_version(text: str) -> int:
    """Return 3 for ``v3`` or ``3``.

    Raises
    ------
    Invalid
        When `text` is neither.
    """
    digits = text[1:] if text[:1] in ("v", "V") else text
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 10):
        raise Invalid(
            "invalid_version",
            f"{text[:40]!r} is not a version; versions are written v1, v2, ...",
            faults=[Fault("/version", "expected v1, v2, ...")],
        )
    return int(digits)


def artefact_key(sha256: str) -> str:
    """Return where the local copy of the artefact with this checksum lies in the blob store."""
    return f"models/{sha256}.npz"


@dataclass(frozen=True, slots=True)
class Statement:
    """What the signature of a version says: this artefact is that training's result.

    A signature speaks of one model and one training, and cannot be moved to another.
    """

    key: ModelKey
    sha256: str
    algorithm: str
    job_id: str
    created_at: int

    def encoded(self) -> bytes:
        """Return the bytes that are signed: JSON with its names in order and no spaces."""
        told = {
            "type": "atalaia.model.v1",
            "model": str(self.key),
            "sha256": self.sha256,
            "algorithm": self.algorithm,
            "job_id": self.job_id,
            "created_at": self.created_at,
        }
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One training's result: one columnar artefact for one fleet (a lone series is a fleet of one).

    Attributes
    ----------
    sha256, size_bytes
        Of the artefact; it is refused when either differs.
    signature, signed_by
        Of its `Statement`, and the id of the key that made it.
    selection
        Why it has its algorithm, if its history chose; None where somebody named one.
    """

    key: ModelKey
    number: int
    stage: Stage
    algorithm: str
    hyperparameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    series_count: int
    sha256: str
    size_bytes: int
    run_id: str
    job_id: str
    created_at: datetime
    promoted_at: datetime | None = None
    archived_at: datetime | None = None
    signature: str | None = None
    signed_by: str | None = None
    selection: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """``v1``, ``v2``, ..."""
        return version_name(self.number)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version that serves, as those who serve it need it.

    Attributes
    ----------
    stage
        Production: the champion, which answers. Staging: the challenger, which is scored beside it and compared.
    revision
        Grows with every change of any deployment, so that a server can ask for what is new.
    run_id
        Where the registry keeps the artefact.
    """

    key: ModelKey
    number: int
    algorithm: str
    sha256: str
    size_bytes: int
    run_id: str
    revision: int
    stage: Stage = Stage.PRODUCTION
    job_id: str = ""
    created_at: int = 0
    signature: str | None = None
    signed_by: str | None = None

    @property
    def statement(self) -> Statement:
        """What the signature must say."""
        return Statement(self.key, self.sha256, self.algorithm, self.job_id, self.created_at)
