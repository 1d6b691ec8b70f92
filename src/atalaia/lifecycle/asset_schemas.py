"""Wire types of assets."""

from typing import Any

from pydantic import ConfigDict, Field

from atalaia.core.models import version_name
from atalaia.kit.web.wire import Wire
from atalaia.lifecycle.assets import AssetKnown, AssetShown, SensorKnown
from atalaia.lifecycle.schemas import ConfigIn

_CONFIG: dict[str, Any] = {
    "window_hours": 168,
    "algorithm": "isolation_forest",
    "hyperparameters": {"contamination": 0.1, "random_state": 42, "trees": 100},
}


class TrainAsset(Wire):
    """A training of an asset on the stored history of its sensors."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"config": _CONFIG}]})
    config: ConfigIn = ConfigIn()
    priority: int = Field(default=5, ge=0, le=9, description="Higher goes first.")


class AssetOut(Wire):
    """An asset: series that are sensors of one thing."""

    asset_id: str
    sensor_count: int = Field(description="Series that have it for a label now.")
    production_version: str | None
    latest_version: str | None = Field(description="Null when it was never trained.")

    @staticmethod
    def of(known: AssetKnown) -> "AssetOut":
        """Return an asset for the wire."""
        return AssetOut(
            asset_id=known.asset_id,
            sensor_count=known.sensors,
            production_version=None if known.production is None else version_name(known.production),
            latest_version=version_name(known.latest) if known.latest else None,
        )


class AssetPage(Wire):
    """Assets in order of name."""

    items: list[AssetOut]
    next: str | None


class SensorOut(Wire):
    """A sensor of an asset, and what the version in Production knows of it."""

    series_id: str
    is_member: bool = Field(description="Whether the series has the asset for a label now.")
    is_learnt: bool = Field(description="Whether the version judges it.")
    points: int = Field(description="Moments at which the version knew what it showed.")
    missing: str | None = Field(description="What it would take to be judged, in words.")

    @staticmethod
    def of(known: SensorKnown) -> "SensorOut":
        """Return a sensor for the wire."""
        return SensorOut(
            series_id=known.series_id,
            is_member=known.is_member,
            is_learnt=known.is_learnt,
            points=known.points,
            missing=known.missing,
        )


class AssetDetailOut(AssetOut):
    """An asset with its sensors."""

    model_id: str
    algorithm: str | None
    step_s: float | None = Field(description="Time from one moment to the next at which all sensors are judged.")
    is_ready: bool = Field(description="Whether a version is in Production that has learnt any sensor.")
    sensors: list[SensorOut]

    @staticmethod
    def shown(asset: AssetShown) -> "AssetDetailOut":
        """Return an asset for the wire, with its sensors."""
        return AssetDetailOut(
            **AssetOut.of(asset.known).model_dump(),
            model_id=asset.model_id,
            algorithm=asset.algorithm,
            step_s=asset.step_s,
            is_ready=any(sensor.is_learnt for sensor in asset.sensors),
            sensors=[SensorOut.of(sensor) for sensor in asset.sensors],
        )
