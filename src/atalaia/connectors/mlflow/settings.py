"""Settings of an MLflow server."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class RegistrySettings(BaseModel):
    """How to speak to the MLflow server of `registry_url`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str | None = Field(default=None, description="Name for basic authentication.")
    password: SecretStr | None = Field(default=None, description="Password for basic authentication.")
    token: SecretStr | None = Field(default=None, description="Bearer token, instead of name and password.")
    timeout_s: float = Field(default=10.0, gt=0, description="How long the server may fall silent.")
    deadline_s: float = Field(default=45.0, gt=0, description="How long one artefact may take, retries included.")
    attempts: int = Field(default=3, ge=1, le=10, description="How often one request is tried.")
    pause_s: float = Field(
        default=5.0, ge=0, description="After a call failed, how long others fail at once instead of waiting."
    )
