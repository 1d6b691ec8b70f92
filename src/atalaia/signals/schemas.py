"""Wire types of signals."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from atalaia.core.anomalies import Anomaly, FeedbackKind
from atalaia.core.anomalies import Feedback as CoreFeedback
from atalaia.core.series import Series
from atalaia.kit.web.wire import Wire, rfc3339
from atalaia.signals.catalogue import MAX_LABELS

_POINT: dict[str, Any] = {"series_id": "sensor_001_radial", "timestamp": 1733587200, "value": 0.315}


class PointRow(Wire):
    """One point."""

    series_id: str = Field(description="1 to 256 characters of any script; no control characters.")
    timestamp: float | str = Field(description="Unix seconds, fractions allowed, or RFC 3339 with a zone.")
    value: float = Field(description="A finite number.")


class PointRows(Wire):
    """A batch as rows."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"points": [_POINT]}]})
    points: list[PointRow]


class PointColumns(Wire):
    """A batch as columns of one length."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "series_ids": ["pump/7", "pump/7"],
                    "timestamps": [1733587200, 1733587260.5],
                    "values": [1.5, 1.75],
                }
            ]
        }
    )
    series_ids: list[str]
    timestamps: list[float | str]
    values: list[float]


class PointNumbers(Wire):
    """A batch as columns of one length, whose series are named by numbers (see `/api/v1/series/resolve`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"series": [1, 1], "timestamps": [1733587200, 1733587260.5], "values": [1.5, 1.75]}]
        }
    )
    series: list[int]
    timestamps: list[float | str]
    values: list[float]


class ResolveIn(Wire):
    """Ids of series whose numbers are wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"series_ids": ["pump/7", "pump/8"]}]})
    series_ids: list[str] = Field(max_length=1_000_000)


class Resolved(Wire):
    """Numbers of series."""

    series: list[int] = Field(description="The number of each id, in their order.")
    created: int = Field(description="Series that were new.")


class Accepted(Wire):
    """Points were acknowledged: they are durable."""

    accepted: int = Field(description="Points in the batch.")
    series: int = Field(description="Series in the batch.")
    created: int = Field(description="Series that were new.")


class StatisticsOut(Wire):
    """Running statistics of a series."""

    count: int
    mean: float
    std: float
    last_value: float | None


class SeriesOut(Wire):
    """A series of the catalogue."""

    series_id: str
    fleet_id: str | None
    labels: dict[str, str]
    first_at: str | None
    last_at: str | None
    received: int = Field(description="Points received, repeats included.")
    step_s: float | None = Field(description="Usual distance between two points, in seconds.")
    statistics: StatisticsOut

    @staticmethod
    def of(series: Series) -> "SeriesOut":
        """Return `series` for the wire."""
        said = series.statistics
        return SeriesOut(
            series_id=series.series_id,
            fleet_id=series.fleet_id,
            labels=dict(series.labels),
            first_at=rfc3339(series.first_at),
            last_at=rfc3339(series.last_at),
            received=series.received,
            step_s=series.step_s,
            statistics=StatisticsOut(count=said.count, mean=said.mean, std=said.std, last_value=said.last_value),
        )


class SeriesPage(Wire):
    """Series in order of id."""

    items: list[SeriesOut]
    next: str | None


LabelName = Annotated[str, Field(min_length=1, max_length=128)]
LabelValue = Annotated[str, Field(max_length=256)]


class LabelsIn(Wire):
    """Labels of a series to set; null removes one, those that are not named stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"labels": {"asset": "pump-7", "axis": "radial"}}]})
    labels: dict[LabelName, LabelValue | None] = Field(max_length=MAX_LABELS)


class FleetIn(Wire):
    """The members of a fleet."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"series_ids": ["sensor_001_radial"]}]})
    series_ids: list[str]


class FleetOut(Wire):
    """A fleet."""

    fleet_id: str
    source: str = Field(description="`rule` or `hand`: who put the series together.")
    series_count: int
    series: list[str] = Field(default=[], description="Ids of members, at most 1,000, when one fleet is asked for.")


class FleetPage(Wire):
    """Fleets in order of id."""

    items: list[FleetOut]
    next: str | None


class FeedbackIn(Wire):
    """What a person says of an anomaly."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "useful", "note": "the bearing was worn"}]})
    kind: FeedbackKind
    note: str = Field(default="", max_length=4_000)


class FeedbackOut(Wire):
    """What a person said."""

    kind: FeedbackKind
    note: str
    created_at: str
    threshold_change: int | None = Field(
        default=None, description="By which the threshold of the series was moved; told when it is said."
    )


class ModelOut(Wire):
    """Which model spoke."""

    model_id: str
    version: str
    algorithm: str


class AnomalyOut(Wire):
    """An interval of one series that was stranger than the threshold."""

    anomaly_id: str
    series_id: str
    state: Literal["open", "closed"]
    from_: str = Field(alias="from", serialization_alias="from")
    to: str | None = Field(description="Last strange point, once the series was quiet again.")
    last_at: str = Field(description="Newest strange point.")
    peak_at: str
    peak_score: float = Field(description="1.0 is the threshold in force.")
    points: int = Field(description="Strange points.")
    seen: float = Field(description="The value at the peak.")
    expected: float | None
    lower: float | None
    upper: float | None
    part: str = Field(description="Which part of the model decided.")
    explanation: str
    model: ModelOut
    feedback: list[FeedbackOut]

    @staticmethod
    def of(anomaly: Anomaly) -> "AnomalyOut":
        """Return `anomaly` for the wire."""
        why, model = anomaly.explanation, anomaly.model
        fields: dict[str, Any] = {
            "anomaly_id": anomaly.anomaly_id,
            "series_id": anomaly.series_id,
            "state": anomaly.state.value,
            "from": rfc3339(anomaly.opened_at),
            "to": rfc3339(anomaly.closed_at),
            "last_at": rfc3339(anomaly.last_at),
            "peak_at": rfc3339(anomaly.peak_at),
            "peak_score": anomaly.peak_score,
            "points": anomaly.points,
            "seen": anomaly.seen,
            "expected": why.expected,
            "lower": why.lower,
            "upper": why.upper,
            "part": why.part,
            "explanation": why.text,
            "model": ModelOut(model_id=model.model_id, version=model.version, algorithm=model.algorithm),
            "feedback": [feedback_out(said) for said in anomaly.feedback],
        }
        return AnomalyOut.model_validate(fields)


class AnomalyPage(Wire):
    """Anomalies, newest first."""

    items: list[AnomalyOut]
    next: str | None


def feedback_out(said: CoreFeedback, change_id: int | None = None) -> FeedbackOut:
    """Return feedback for the wire."""
    at = rfc3339(said.created_at) or ""
    return FeedbackOut(kind=said.kind, note=said.note, created_at=at, threshold_change=change_id)


class BucketOut(Wire):
    """What lies in one part of the range."""

    from_: str = Field(alias="from", serialization_alias="from")
    to: str
    count: int
    min: float
    mean: float
    max: float


class PointOut(Wire):
    """One stored point."""

    timestamp: str
    value: float


class PointsOut(Wire):
    """Stored points of a series: buckets if they were asked for, else the points themselves, a page at a time."""

    series_id: str
    from_: str = Field(alias="from", serialization_alias="from")
    to: str
    buckets: list[BucketOut] | None = None
    points: list[PointOut] | None = None
    next: str | None = None
