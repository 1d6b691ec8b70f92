"""Settings of connections to PostgreSQL; the embedded twin needs none of them."""

from pydantic import BaseModel, ConfigDict, Field


class DatabaseSettings(BaseModel):
    """Connections to PostgreSQL: how many, and how long anything may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool_size: int = Field(
        default=5, ge=1, description="Connections that a process keeps for reading, and as many for writing."
    )
    max_overflow: int = Field(default=10, ge=0, description="Connections of each kind beyond those, while needed.")
    recycle_s: float = Field(default=1_800.0, gt=0, description="Age at which a connection is replaced.")
    connect_timeout_s: float = Field(
        default=5.0, ge=2, description="How long a new connection, or the beginning of a transaction, may take."
    )
    statement_timeout_s: float = Field(default=15.0, gt=0, description="How long one statement may take.")
    idle_in_transaction_timeout_s: float = Field(
        default=60.0, gt=0, description="How long a transaction may wait for its next statement."
    )
    network_timeout_s: float = Field(
        default=10.0, ge=3, description="How long a network may be silent before its connections are given up."
    )
