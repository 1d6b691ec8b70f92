"""Settings of buckets."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class BlobsSettings(BaseModel):
    """How to reach the bucket of `blobs_url`. Keys that are not given are found as the cloud's own tools do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = Field(
        default=None, description="Address of a store that is not the cloud's own, `https://minio:9000` say."
    )
    region: str | None = Field(default=None, description="S3: region of the bucket.")
    key: str | None = Field(default=None, description="S3: access key.")
    secret: SecretStr | None = Field(default=None, description="S3: secret of the access key.")
    session_token: SecretStr | None = Field(default=None, description="S3: token of temporary keys.")
    account: str | None = Field(default=None, description="Azure: name of the storage account.")
    account_key: SecretStr | None = Field(default=None, description="Azure: key of the account.")
    sas_token: SecretStr | None = Field(default=None, description="Azure: shared access signature.")
    connection_string: SecretStr | None = Field(
        default=None, description="Azure: connection string, instead of account and key."
    )
    project: str | None = Field(default=None, description="Google: project of the bucket.")
    credentials_file: Path | None = Field(default=None, description="Google: key file of a service account.")
    anonymous: bool = Field(default=False, description="Ask without any credentials.")
    cache_bytes: int = Field(
        default=2 * 2**30,
        ge=2**20,
        description="Disk in the data folder that copies of objects may take; those used longest ago make room.",
    )
    connect_timeout_s: float = Field(default=5.0, gt=0, description="How long a connection may take to open.")
    read_timeout_s: float = Field(default=15.0, gt=0, description="How long the store may fall silent.")
    deadline_s: float = Field(
        default=45.0, gt=0, description="How long one call may take with all its retries before it is given up."
    )
    attempts: int = Field(default=3, ge=1, le=10, description="How often one call is tried.")
    pause_s: float = Field(
        default=5.0, ge=0, description="After a call was given up, how long others fail at once instead of waiting."
    )
    parallel_reads: int = Field(default=8, ge=1, le=64, description="Objects that one reader fetches at a time.")
