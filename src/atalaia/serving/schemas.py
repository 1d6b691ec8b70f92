"""Wire types of serving."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import ConfigDict, Field

from atalaia.core.errors import AtalaiaError
from atalaia.core.scores import THRESHOLD, Score
from atalaia.kit.web.problems import problem_body
from atalaia.kit.web.wire import Wire
from atalaia.serving.inputs import names_of

MAX_NUMBER = 2**31 - 1
"""Of a series: int32."""


class PredictIn(Wire):
    """One point to score."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"timestamp": 1733587200, "value": 0.315}]})
    timestamp: float | str = Field(description="Unix seconds, fractions allowed, or RFC 3339.")
    value: float


class PredictRow(Wire):
    """One point of one of many series."""

    series_id: str
    timestamp: float | str
    value: float


class BatchIn(Wire):
    """Points to score, as rows: each is answered with all that can be said of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"points": [{"series_id": "sensor_001_radial", "timestamp": 1733587200, "value": 0.315}]}]
        }
    )
    points: list[PredictRow]


class BatchColumns(Wire):
    """Points to score, as columns of one length."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "series_ids": ["sensor_001_radial", "sensor_001_axial"],
                    "timestamps": [1733587200, "2024-12-07T16:00:00Z"],
                    "values": [0.315, 0.22],
                }
            ]
        }
    )
    series_ids: list[str]
    timestamps: list[float | str]
    values: list[float]


class BatchNumbers(Wire):
    """Points to score, as columns of one length; series are named by numbers (see `/api/v1/series/resolve`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"series": [1, 2], "timestamps": [1733587200, 1733587200.5], "values": [0.315, 0.22]}]
        }
    )
    series: list[Annotated[int, Field(ge=1, le=MAX_NUMBER)]]
    timestamps: list[float | str]
    values: list[float]


class PointBody(msgspec.Struct, forbid_unknown_fields=True):
    """`PredictIn` as it is decoded."""

    timestamp: float | str
    value: float


class RowBody(msgspec.Struct, forbid_unknown_fields=True):
    """`PredictRow` as it is decoded."""

    series_id: str
    timestamp: float | str
    value: float


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """`BatchIn`, `BatchColumns` or `BatchNumbers` as it is decoded: exactly one of them."""

    points: list[RowBody] | None = None
    series_ids: list[str] | None = None
    series: list[Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]] | None = None
    timestamps: list[float | str] | None = None
    values: list[float] | None = None


class ModelInfo(Wire):
    """Which model answered, and where it was loaded from."""

    model_id: str
    version: str
    stage: str
    type: str
    loaded_from: str = Field(description="`mlflow`, `local_cache` or `fallback`.")


class ExplanationOut(Wire):
    """Why the point has its score."""

    expected: float | None
    lower: float | None
    upper: float | None
    part: str = Field(description="Which part of the model decided.")
    text: str


class Prediction(Wire):
    """The answer to one point."""

    series_id: str
    timestamp: str
    value: float
    anomaly: bool
    anomaly_score: float | None = Field(description="1.0 is the threshold in force; null is no opinion.")
    confidence: str = Field(description="`high`, `medium` or `low`.")
    model_info: ModelInfo
    explanation: ExplanationOut
    flags: list[Literal["out_of_envelope", "replayed", "flooding"]] = Field(
        default_factory=list, description="What is odd about the question; left out when nothing is."
    )


class PredictionError(Wire):
    """A point that could not be answered, and why."""

    series_id: str
    error: dict[str, Any]


class Predictions(Wire):
    """The answers to many points, in their order."""

    predictions: list[Prediction | PredictionError]


class ScoreColumns(Wire):
    """The answers to columns, in their order."""

    anomaly: list[bool]
    anomaly_score: list[float | None] = Field(
        description="1.0 is the threshold in force; null is no opinion, as without a model."
    )
    flags: list[int] | None = Field(
        default=None,
        description="With `flags=true`: 1 far outside, 2 replayed, 4 flooding, or the sum of those that apply.",
    )


class AnomalousRows(Wire):
    """The answers to columns with `only=anomalies`."""

    row: list[int] = Field(description="Where the anomalous points stood, from 0.")
    anomaly_score: list[float]


class ReloadedOut(Wire):
    """A model was loaded anew."""

    model_id: str
    version: str
    loaded_from: str
    load_seconds: float


class _ModelOut(msgspec.Struct, gc=False):
    model_id: str
    version: str
    stage: str
    type: str
    loaded_from: str


class _ExplanationOut(msgspec.Struct, gc=False):
    expected: float | None
    lower: float | None
    upper: float | None
    part: str
    text: str


class PredictionOut(msgspec.Struct, gc=False, omit_defaults=True):
    """`Prediction` as it is encoded."""

    series_id: str
    timestamp: datetime
    value: float
    anomaly: bool
    anomaly_score: float | None
    confidence: str
    model_info: _ModelOut
    explanation: _ExplanationOut
    flags: list[str] | None = None


def prediction(score: Score) -> PredictionOut:
    """Return a score as `Prediction`."""
    series_id, timestamp, value, number, confidence, model, stage, source, why, flags = score
    return PredictionOut(
        series_id,
        timestamp,
        value,
        number is not None and number > THRESHOLD,
        number,
        confidence,
        _ModelOut(model.model_id, model.version, stage, model.algorithm, source),
        _ExplanationOut(*why),
        names_of(flags) if flags else None,
    )


def answer_of(series_id: str, answer: Score | AtalaiaError) -> PredictionOut | dict[str, Any]:
    """Return the answer to one point of a batch."""
    if isinstance(answer, Score):
        return prediction(answer)
    return {"series_id": series_id, "error": problem_body(answer)}
