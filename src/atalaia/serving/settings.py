"""Settings of serving."""

from pydantic import BaseModel, ConfigDict, Field


class ServingSettings(BaseModel):
    """Loading models and answering with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache_bytes: int = Field(
        default=512 * 2**20, ge=2**20, description="Memory that models of single series may take."
    )
    warm_models: int = Field(
        default=100,
        ge=0,
        description="Models of single series, those most asked for first, that are loaded before it is ready.",
    )
    max_batch_points: int = Field(default=500_000, ge=1, description="Points that one batch prediction may bring.")
    asset_wait_moments: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Moments that a sensor of an asset may be behind the newest reading before the others are"
        " judged without it.",
    )
    max_asset_moments: int = Field(
        default=1_000, ge=1, description="Moments of an asset that one request for scores may bring."
    )
    fallback_sigma: float = Field(
        default=3.0, gt=0, description="Threshold of the z-score that answers when no model can, in deviations."
    )
    fallback_min_points: int = Field(
        default=10, ge=2, description="Points that a series must have before that z-score answers."
    )
    refresh_s: float = Field(default=1.0, gt=0, description="How often to look for promotions by other processes.")
    flush_s: float = Field(default=5.0, gt=0, description="How often the counts of what was asked are stored.")
    count_retention_days: float = Field(
        default=90.0, gt=0, description="Counts of what was asked that are older than this are deleted."
    )
    adopt_max_series: int = Field(
        default=1_000,
        ge=0,
        description="Series that a fleet's streaming model adopts at most, when they join after it was trained.",
    )
    retry_s: float = Field(
        default=10.0, gt=0, description="Pause before a model that could not be loaded is tried again."
    )
    metrics_max_series: int = Field(
        default=1_000, ge=0, description="Series that the metrics tell one by one; those beyond are told together."
    )
    envelope_score: float = Field(
        default=10.0,
        gt=1,
        description="Score over which a point is flagged as far outside what was learnt; 1 is the threshold.",
    )
    max_asks_per_s: int = Field(
        default=100,
        ge=1,
        description="Predictions of one series in a second over which they are flagged as flooding.",
    )
    log_predictions: bool = Field(default=True, description="Write one log line for each prediction on request.")
