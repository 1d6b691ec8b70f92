"""Settings of authentication and of the limits on callers."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atalaia.kit.auth.permissions import Role

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class AuthSettings(BaseModel):
    """Who may call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "on"] = Field(
        default="off", description="Whether callers say who they are; `off` serves loopback only."
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="Ed25519 private key (PEM) that signs our tokens; unset makes one in the data folder.",
    )
    token_minutes: float = Field(default=15.0, gt=0, le=1440, description="How long a token from a login is good.")
    max_service_token_days: float = Field(
        default=366.0, gt=0, description="Longest life of a token for a program, in days."
    )
    min_password_length: int = Field(default=12, ge=8, description="Shortest password of a local user.")
    refresh_s: float = Field(
        default=3.0, gt=0, description="How often revoked tokens and changed users are read from the database."
    )
    issuer: str | None = Field(
        default=None, description="Issuer (OpenID Connect) whose tokens are taken beside our own; its URL."
    )
    jwks_url: str | None = Field(
        default=None, description="Where the issuer's keys are; unset asks its discovery document."
    )
    audience: str = Field(default="atalaia", min_length=1, description="Audience that foreign tokens must name.")
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1, description="Algorithms that foreign tokens may use."
    )
    leeway_s: float = Field(default=30.0, ge=0, le=300, description="How far an issuer's clock may be off.")
    jwks_pause_s: float = Field(
        default=30.0, gt=0, description="An issuer is asked for keys at most once in so many seconds."
    )
    role_claim: str = Field(
        default="roles", min_length=1, description="Claim with the roles; dots reach into objects."
    )
    roles: dict[str, Role] = Field(
        default_factory=dict[str, Role],
        description="Role for each value of the claim; empty takes values that are names of roles.",
    )

    @model_validator(mode="after")
    def _names_its_issuer(self) -> Self:
        if self.jwks_url and not self.issuer:
            raise ValueError("jwks_url needs issuer: tokens must say who made them")
        return self
