"""Settings of backups."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from atalaia.kit.blobs import BlobsSettings


class BackupSettings(BaseModel):
    """Where backups go, how often, how long they are kept, and what seals them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str | None = Field(
        default=None,
        description="Folder or bucket of backups: a path, s3://, abfs:// or gs://; unset makes none by itself.",
    )
    every_hours: float = Field(
        default=6.0, gt=0, description="How often the scheduler has a backup made, when `to` is set."
    )
    keep_days: float = Field(default=30.0, gt=0, description="How old a backup becomes before it is removed.")
    keep_newest: int = Field(default=3, ge=1, description="Backups that are kept however old they are.")
    passphrase_file: Path | None = Field(
        default=None, description="File with a passphrase that seals backups; unset leaves them readable."
    )
    key_file: Path | None = Field(
        default=None, description="File with a key of 32 bytes, raw or in base64, that seals backups instead."
    )
    bucket: BlobsSettings | None = Field(
        default=None, description="How to reach the bucket of backups; unset is as the bucket of objects."
    )
    parallel: int = Field(default=4, ge=1, le=64, description="Objects that are copied at a time.")
