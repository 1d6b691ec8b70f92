"""Settings of serving."""

from pydantic import BaseModel, ConfigDict, Field


class ServingSettings(BaseModel):
    """Loading models and answering with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache_bytes: int = Field(default=512 * 2**20, ge=2**20, description="Memory that loaded models may take.")
    warm_models: int = Field(
        default=100,
        ge=0,
        description="Models, those most asked for first, that are loaded before the service is ready.",
    )
    max_batch_points: int = Field(default=100_000, ge=1, description="Points that one batch prediction may bring.")
    fallback_sigma: float = Field(
        default=3.0, gt=0, description="Threshold of the z-score that answers when no model can, in deviations."
    )
    fallback_min_points: int = Field(
        default=10, ge=2, description="Points that a series must have before that z-score answers."
    )
    refresh_s: float = Field(default=1.0, gt=0, description="How often to look for promotions by other processes.")
    flush_s: float = Field(default=5.0, gt=0, description="How often the counts of what was asked are stored.")
    retry_s: float = Field(
        default=10.0, gt=0, description="Pause before a model that could not be loaded is tried again."
    )
    log_predictions: bool = Field(default=True, description="Write one log line for each prediction on request.")
