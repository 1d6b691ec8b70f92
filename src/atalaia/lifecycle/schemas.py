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
    algorithm: str | None = Field(default=None, description="`statistical`, `robust_zscore` or `seasonal_profile`.")
    hyperparameters: dict[str, float | int | str | bool] = Field(default={}, description="Of the algorithm.")


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


class JobAccepted(Wire):
    """A job was queued."""

    job_id: str
    status: str
    status_url: str


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
        )


class ModelOut(Wire):
    """A model: what is trained for one series or one fleet."""

    model_id: str
    series_id: str | None
    fleet_id: str | None
    production_version: str | None
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
            production_version=None if row.production is None else version_name(row.production),
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
