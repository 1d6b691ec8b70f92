"""Settings of signals."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FleetRule(BaseModel):
    """Puts series into fleets as they are found: by a pattern of the id, or by a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str | None = Field(default=None, description="Shell pattern that the series id must match.")
    label: str | None = Field(default=None, description="Label whose value names the fleet.")
    fleet: str = Field(
        default="{}", description="Id of the fleet; `{}` is replaced by what matched `*` or the label."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "FleetRule":
        if (self.match is None) == (self.label is None):
            raise ValueError("a rule needs either `match` or `label`")
        return self


class SignalsSettings(BaseModel):
    """Points, history and anomalies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch_points: int = Field(default=500_000, ge=1, description="Points that one request may bring.")
    max_ahead_s: float = Field(
        default=86_400, ge=0, description="How far a timestamp may lie in the future, in seconds."
    )
    intake_bytes: int = Field(
        default=64 * 2**20, ge=2**20, description="Memory of points that wait to become durable, at most."
    )
    fleet_rules: tuple[FleetRule, ...] = Field(
        default=(), description="Rules that put new series into fleets; the first that applies decides."
    )
    asset_label: str = Field(
        default="asset",
        min_length=1,
        max_length=256,
        description="Label whose value names the asset that a series is a sensor of.",
    )
    fleet_max_series: int = Field(default=5_000, ge=1, description="Series that one fleet may hold.")
    score_pause_s: float = Field(
        default=0.2, ge=0, description="Pause between two rounds of scoring, in which batches gather."
    )
    part_points: int = Field(
        default=4_000_000, ge=10_000, description="Points that a training reads at a time, about 100 bytes each."
    )
    follow_lease_s: float = Field(
        default=15.0, gt=0, description="How long nobody else scores after the process that does has fallen silent."
    )
    store_memory_s: float = Field(
        default=30.0,
        gt=0,
        description="Pause before what scoring has learnt is stored again; the points of that time are read twice "
        "after a crash.",
    )
    max_new_series: int = Field(default=300_000, ge=1, description="New series that one request may bring.")
    open_after_points: int = Field(default=1, ge=1, description="Strange points in a row that open an anomaly.")
    close_after_points: int = Field(
        default=12, ge=1, description="Quiet points in a row that close an anomaly; strange points nearer join it."
    )
    false_alarms_per_week: float | None = Field(
        default=None,
        gt=0,
        le=1_000,
        description="False alarms a series and week that thresholds are set for where the fleet has no budget of "
        "its own; unset leaves detectors their own thresholds.",
    )
    refractory_s: float = Field(
        default=0.0,
        ge=0,
        description="An anomaly that was quiet for less is still open, so that what comes again soon joins it.",
    )
    watch_silence: bool = Field(default=True, description="Whether series that stop sending become anomalies.")
    silent_after_s: float = Field(
        default=300, gt=0, description="No series counts as silent sooner, however often it sends, in seconds."
    )
    silent_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="If more than this share of series is late, or flat, who sends is down: no anomaly opens.",
    )
    silent_at_most_days: float = Field(
        default=7.0,
        gt=0,
        description="A series that is silent for longer is taken to be gone, and its anomaly closes.",
    )
    watch_flat: bool = Field(
        default=True, description="Whether series that repeat one value as they never did become anomalies."
    )
    flat_after_points: int = Field(
        default=60, ge=2, description="Repetitions of one value in a row before which no series counts as flat."
    )
    live_within_s: float = Field(
        default=3_600,
        gt=0,
        description="A series whose newest point arrived later than this after it was measured is imported, not "
        "watched live: it falls neither silent nor flat.",
    )
    deploy_event_s: float = Field(
        default=1_800,
        gt=0,
        description="How long a deploy is a known event, if only its start is said, in seconds.",
    )
    max_known_events: int = Field(
        default=1_000, ge=1, description="Known events that there may be, those of the past included."
    )
    explain_max_points: int = Field(
        default=20_000, ge=100, description="Points of one series that the explanation of an alarm may read."
    )
    explain_days: float = Field(
        default=90.0, gt=0, description="Days of history that say how rare an alarm is, if so many points allow it."
    )
    compact_after_points: int = Field(
        default=200_000, ge=1, description="Scored points in the tail that start a compaction."
    )
    compact_after_s: float = Field(
        default=300, gt=0, description="Age of the oldest scored batch in the tail that starts a compaction."
    )
    block_max_points: int = Field(default=6_000_000, ge=1_000, description="Points that one block may hold.")
    block_fan_in: int = Field(default=4, ge=2, description="Blocks of like size in a row that are merged into one.")
    divide_after_points: int = Field(
        default=24_000_000,
        ge=1,
        description="Points in blocks of all series after which these are divided into 4,096 series each.",
    )
    tail_cache_mib: int = Field(
        default=64, ge=0, description="Memory for points that are not in blocks yet, decoded for readers, in MiB."
    )
    footer_cache_mib: int = Field(default=64, ge=0, description="Memory for the footers of blocks, in MiB.")
    retention_days: float | None = Field(
        default=None, gt=0, description="Points older than this are deleted; unset keeps them for good."
    )
    anomaly_retention_days: float | None = Field(
        default=None,
        gt=0,
        description="Closed anomalies older than this are deleted, with what was said of them; unset keeps them.",
    )
    job_retention_days: float = Field(
        default=30.0,
        gt=0,
        description="Jobs that ended longer ago than this are deleted, with what they were given.",
    )
    fact_retention_days: float = Field(
        default=7.0, gt=0, description="Facts that were delivered longer ago than this are deleted."
    )
    idempotency_retention_hours: float = Field(
        default=24.0, gt=0, description="How long the answer to a request with an Idempotency-Key is remembered."
    )
    sweep_after_s: float = Field(
        default=900, gt=0, description="Age at which stored objects that nothing refers to are deleted."
    )
