"""What a backup consists of. It is written last: a backup without a manifest is none."""

from typing import Any

import msgspec

from atalaia.core.errors import Broken, Conflict
from atalaia.kit.blobs import sha256_of

FORMAT = 1
DATABASE, OBJECT, REGISTRY, SECRET, KEPT = "database", "object", "registry", "secret", "file"
"""Kinds of files: the dump, objects of the blob store, the registry's, secrets, and others of the data folder."""


class Piece(msgspec.Struct, frozen=True):
    """A stored piece of a file; pieces with the same bytes are stored once, whichever backup they are of."""

    name: str
    sha256: str
    size: int


class File(msgspec.Struct, frozen=True):
    """One file or object, in pieces."""

    kind: str
    path: str
    size: int
    pieces: list[Piece]


class Manifest(msgspec.Struct, frozen=True):
    """One backup.

    Attributes
    ----------
    snapshot_at
        The moment that it holds: what was acknowledged before is in it.
    newest_received_at
        When the newest batch in it was acknowledged, None when none waits in the tail.
    registry_root
        Where the registry's artefacts lay, as MLflow has it in its tables; empty when a server keeps it.
    damaged
        Objects that the database names and that were gone or damaged in the store already.
    copied_bytes
        What had to be copied; the rest was there from backups before.
    """

    format: int
    backup_id: str
    started_at: int
    snapshot_at: int
    finished_at: int
    release: str
    revision: str
    database: str
    registry_root: str
    settings_sha256: str
    newest_received_at: int | None
    sealed: bool
    size_bytes: int
    copied_bytes: int
    damaged: list[str]
    files: list[File]

    def names(self) -> set[str]:
        """Return the names of all pieces."""
        return {piece.name for file in self.files for piece in file.pieces}

    def of_kind(self, *kinds: str) -> list[File]:
        """Return the files of some kinds."""
        return [file for file in self.files if file.kind in kinds]


class _Signed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, with its checksum."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Signed(sha256_of(body), msgspec.Raw(body)))


def decode(data: bytes, backup_id: str) -> Manifest:
    """Return the manifest of a backup.

    Raises
    ------
    Broken
        When a byte of it was changed.
    Conflict
        When a later release wrote it.
    """
    try:
        signed = msgspec.json.decode(data, type=_Signed)
        body = bytes(signed.manifest)
        told: dict[str, Any] = msgspec.json.decode(body)
        if sha256_of(body) != signed.sha256 or msgspec.json.encode(signed) != data:
            raise damaged(backup_id, "the checksum of its manifest differs")
        if int(told["format"]) > FORMAT:
            raise Conflict("later_backup", f"backup {backup_id} was made by a later release: {told['release']}")
        manifest = msgspec.convert(told, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise damaged(backup_id, "its manifest cannot be read") from error
    if manifest.backup_id != backup_id:
        raise damaged(backup_id, f"its manifest is that of {manifest.backup_id}")
    return manifest


def damaged(backup_id: str, why: str) -> Broken:
    """Return the error for a backup that is not what was written."""
    return Broken("bad_backup", f"backup {backup_id} is damaged: {why}; choose another with --at")
