"""Wire types of the scores of assets."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from atalaia.core.points import MAX_MAGNITUDE
from atalaia.kit.web.wire import Wire
from atalaia.serving.schemas import ModelInfo

Reading = Annotated[float, Field(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE, allow_inf_nan=False)]
_VALUES: dict[str, Any] = {"press 3/flow": 31.2, "press 3/heat": 71.0, "press 3/power": 4.1}


class MomentIn(Wire):
    """What the sensors of an asset showed at one moment."""

    timestamp: float | str = Field(description="Unix seconds, fractions allowed, or RFC 3339.")
    values: dict[str, Reading | None] = Field(
        description="By the id of the series; one that is null or left out was not read."
    )


class ScoreAssetIn(Wire):
    """One moment of an asset, or several in order of time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"timestamp": 1733587200, "values": _VALUES},
                {"moments": [{"timestamp": 1733587200, "values": _VALUES}]},
            ]
        }
    )
    timestamp: float | str | None = None
    values: dict[str, Reading | None] | None = None
    moments: list[MomentIn] | None = Field(default=None, description="Instead of the two; increasing.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        is_one = self.timestamp is not None and self.values is not None
        if (self.timestamp is not None or self.values is not None) == (self.moments is not None) or (
            self.moments is None and not is_one
        ):
            raise ValueError("give either `timestamp` and `values`, or `moments`")
        return self

    @property
    def all_moments(self) -> list[MomentIn]:
        """The moments, however they were given."""
        if self.moments is not None:
            return self.moments
        assert self.timestamp is not None
        return [MomentIn(timestamp=self.timestamp, values=self.values or {})]


class DeviatingOut(Wire):
    """A sensor that is not where the others say; values are in its own unit, of the last few moments together."""

    series_id: str
    score: float = Field(description="How far it is off: 1.0 is the edge of the band.")
    seen: float
    expected: float
    lower: float
    upper: float


class MomentOut(Wire):
    """What is said of one moment."""

    timestamp: str
    score: float | None = Field(description="1.0 is the threshold in force; null is no opinion.")
    is_anomaly: bool
    sensors: list[DeviatingOut] = Field(
        description="Sensors that deviate, the first cause first: of the last moment, and of the strange ones of"
        " an alarm the first 30 and every tenth."
    )
    missing: list[str] = Field(description="Sensors of the model that were not read.")


class AssetScoreOut(Wire):
    """What the model of an asset says of moments that follow nothing."""

    asset_id: str
    model_info: ModelInfo
    score: float | None = Field(description="Of the last moment.")
    is_anomaly: bool = Field(description="Whether the last moment is one.")
    moments: list[MomentOut]
