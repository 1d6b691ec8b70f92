"""Settings of the audit log."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """What is kept of what was done and answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictions: Literal["all", "sampled", "anomalies", "off"] = Field(
        default="all", description="Which predictions on request are kept; people and models are always noted."
    )
    sample_ratio: float = Field(default=0.01, ge=0, le=1, description="Share of predictions that `sampled` keeps.")
    required: bool = Field(
        default=False, description="Answer no prediction while none can be written to the journal (HTTP 503)."
    )
    segment_bytes: int = Field(
        default=64 * 2**20, ge=2**16, description="Size at which a file of the journal is closed."
    )
    segment_s: float = Field(default=3_600.0, gt=0, description="Age at which a file of the journal is closed.")
    export_every_s: float = Field(default=30.0, gt=0, description="How often closed files are exported.")
    local_days: float = Field(
        default=7.0, ge=0, description="How long exported files of the journal stay in the data folder."
    )
    keep_days: float = Field(default=400.0, gt=0, description="How long the trail and exported journals are kept.")
