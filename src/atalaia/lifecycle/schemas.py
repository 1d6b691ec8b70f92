"""Wire types of lifecycle."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from atalaia.core.models import ModelKey, ModelVersion, Scope, version_name
from atalaia.kit.web.wire import Wire, rfc3339
from atalaia.lifecycle.store import ModelRow

_CONFIG: dict[str, Any] = {
    "window_hours": 168,
    "algorithm": "statistical",
    "hyperparameters": {"threshold_sigma": 3.0},
}


class ConfigIn(Wire):
    """How to train."""

    window_hours: float | None = Field(default=None, gt=0, le=87_600, description="Hours of history to learn from.")
    algorithm: str | None = Field(
        default=None,
        description="`statistical`, `robust_zscore`, `seasonal_profile`, `streaming`, `memory_bank`, or with the"
        " package's extra `deep` `lstm` or `autoencoder`; `auto` lets the history choose among them. Of an asset"
        " `relations`, the default there, or with the extra `detect` `isolation_forest`.",
    )
    hyperparameters: dict[str, float | int | str | bool] = Field(
        default={}, description="Of the algorithm; none with `auto`."
    )


class TrainSeries(Wire):
    """A training of one series: on stored history, or on the data that come with it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"config": _CONFIG}]})
    config: ConfigIn = ConfigIn()
    timestamps: list[float | str] | None = Field(default=None, description="Of inline data: increasing.")
    values: list[float] | None = Field(
        default=None, description="Of inline data: 10,000 to 100,000 finite numbers."
    )
    priority: int = Field(default=5, ge=0, le=9, description="Higher goes first.")


class TrainFleet(Wire):
    """A training of a fleet on stored history."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"config": _CONFIG}]})
    config: ConfigIn = ConfigIn()
    priority: int = Field(default=5, ge=0, le=9, description="Higher goes first.")


class TrainWave(Wire):
    """Trainings of many fleets on stored history, as one wave."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"config": _CONFIG, "promote": True}]})
    fleets: list[str] | None = Field(
        default=None,
        max_length=10_000,
        description="Ids of fleets; without them all, after every series without a fleet was put into one.",
    )
    config: ConfigIn = ConfigIn()
    priority: int = Field(default=3, ge=0, le=9, description="Higher goes first.")
    promote: bool = Field(
        default=False, description="Put all versions into Production at once when the last has ended well."
    )


class WaveRetry(Wire):
    """Trainings of a wave that failed, once more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 9}]})
    priority: int = Field(default=3, ge=0, le=9, description="Higher goes first.")


class WavePromoteIn(Wire):
    """How to promote a wave."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"skip_failed": True}]})
    skip_failed: bool = Field(
        default=False,
        description="Leave out fleets whose training failed or was cancelled; they keep what they have.",
    )


class WaveAccepted(Wire):
    """Trainings of a wave were queued."""

    wave_id: str
    fleets: int = Field(description="Fleets whose training was queued.")
    left_out: list[str] = Field(description="Fleets that are being trained, or were a moment ago.")
    status_url: str


class WaveFleetOut(Wire):
    """One training of a wave."""

    fleet_id: str
    job_id: str
    status: str
    progress: float
    version: str | None = Field(description="Null until it is there, and where the window holds no points.")
    series: int
    points: int
    error: str | None = Field(description="Why it failed.")


class WaveOut(Wire):
    """How far a wave is."""

    wave_id: str
    promote: bool = Field(description="Whether it is promoted by itself when the last training has ended well.")
    progress: float = Field(description="0 to 1.")
    waiting: int = Field(description="Trainings that have not ended.")
    completed: int = Field(description="Trainings that ended well.")
    empty: int = Field(description="Those of them that found no points in the window, and made no version.")
    failed: int = Field(description="Trainings that failed or were cancelled.")
    series: int = Field(description="Series of the versions that were made.")
    points: int = Field(description="Points that they were learnt from.")
    created_at: str
    finished_at: str | None = Field(description="When the last training ended.")
    promoted_at: str | None
    fleets: list[WaveFleetOut]


class ChallengeIn(Wire):
    """Which version is scored beside the one in Production."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v2"}]})
    version: str | None = Field(description="A version in Staging; null for none.")


class ChallengeOut(Wire):
    """Which version serves, and which is scored beside it."""

    model_id: str
    version: str
    challenger: str | None


class JobAccepted(Wire):
    """A job was queued."""

    job_id: str
    status: str
    status_url: str


class SelectionOut(Wire):
    """Why a version has its algorithm."""

    algorithm: str
    reason: str
    series: int = Field(description="Series whose history was looked at.")
    points: int = Field(description="Points of them.")
    said: int = Field(description="Anomalies in them of which people had said something.")
    candidates: list[dict[str, Any]] = Field(
        description="What each algorithm did in the backtest, or why it was left out (`left_out`)."
    )


class VersionOut(Wire):
    """A version of a model."""

    version: str
    stage: Literal["None", "Staging", "Production", "Archived"]
    algorithm: str
    hyperparameters: dict[str, Any]
    metrics: dict[str, float]
    series_count: int
    sha256: str
    bytes: int
    run_id: str
    job_id: str
    created_at: str
    promoted_at: str | None
    archived_at: str | None
    signature: str | None = Field(description="Ed25519, of the statement that the guide to privacy describes.")
    signed_by: str | None = Field(description="Id of the key that signed it (RFC 7638).")
    selection: SelectionOut | None = Field(description="Why `auto` chose the algorithm; null where it was named.")

    @staticmethod
    def of(version: ModelVersion) -> "VersionOut":
        """Return `version` for the wire."""
        return VersionOut(
            version=version.name,
            stage=version.stage.value,
            algorithm=version.algorithm,
            hyperparameters=dict(version.hyperparameters),
            metrics=dict(version.metrics),
            series_count=version.series_count,
            sha256=version.sha256,
            bytes=version.size_bytes,
            run_id=version.run_id,
            job_id=version.job_id,
            created_at=rfc3339(version.created_at) or "",
            promoted_at=rfc3339(version.promoted_at),
            archived_at=rfc3339(version.archived_at),
            signature=version.signature,
            signed_by=version.signed_by,
            selection=None if version.selection is None else SelectionOut.model_validate(version.selection),
        )


class ModelOut(Wire):
    """A model: what is trained for one series, one fleet or one asset."""

    model_id: str
    series_id: str | None
    fleet_id: str | None
    asset_id: str | None
    production_version: str | None
    challenger_version: str | None = Field(description="Scored beside the one in Production, and not answered.")
    latest_version: str
    versions: list[VersionOut]

    @staticmethod
    def of(row: ModelRow, versions: list[ModelVersion]) -> "ModelOut":
        """Return a model for the wire."""
        key = ModelKey.parse(row.key)
        return ModelOut(
            model_id=row.key,
            series_id=key.name if key.scope is Scope.SERIES else None,
            fleet_id=key.name if key.scope is Scope.FLEET else None,
            asset_id=key.name if key.scope is Scope.ASSET else None,
            production_version=None if row.production is None else version_name(row.production),
            challenger_version=None if row.challenger is None else version_name(row.challenger),
            latest_version=version_name(row.latest),
            versions=[VersionOut.of(version) for version in versions],
        )


class ModelPage(Wire):
    """Models in order of id."""

    items: list[ModelOut]
    next: str | None


class PromoteIn(Wire):
    """How to promote."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"strategy": "direct", "archive_previous": True}]})
    strategy: Literal["direct"] = "direct"
    archive_previous: bool = Field(default=True, description="False puts the previous version back into Staging.")


class PromotedOut(Wire):
    """A promotion was done."""

    model_id: str
    version: str
    stage: str
    previous_version: str | None
    promoted_at: str


class TrafficOut(Wire):
    """The share of requests that a version answers."""

    version: str
    weight: float


class ArtefactOut(Wire):
    """What is deployed, byte for byte."""

    sha256: str
    bytes: int


class DeploymentOut(Wire):
    """How a model is deployed."""

    model_id: str
    version: str
    stage: str
    strategy: str
    traffic: list[TrafficOut]
    artifact: ArtefactOut
    revision: int


class ReadinessOut(Wire):
    """How ready a series is to be judged."""

    series_id: str
    model_id: str
    version: str
    algorithm: str
    state: Literal["unlearnt", "learnt", "seasonal"] = Field(
        description="Nothing is known of it; its level; or the time of day too."
    )
    confidence: Literal["low", "medium", "high"]
    points: int = Field(description="Points that the version has learnt of it.")
    days: float = Field(description="How long they reach.")
    peers: int = Field(
        default=0, description="Series like it that it began from; 0 for one that was there at the training."
    )
    missing: list[str] = Field(description="What it would take to know more, in words.")


class ModelMetrics(Wire):
    """How a model does."""

    model_id: str
    version: str
    window: str
    from_: str = Field(alias="from", serialization_alias="from")
    to: str
    predictions: int = Field(description="Points scored in the last window of wall-clock time.")
    anomalies: int
    anomaly_rate: float | None
    score: dict[str, float | int | None] = Field(description="Quantiles of the scores of the stored points.")
    training: dict[str, float]
    drift: dict[str, Any]


class PlotOut(Wire):
    """What the PNG shows."""

    series_id: str
    model_id: str | None
    buckets: list[dict[str, Any]]
