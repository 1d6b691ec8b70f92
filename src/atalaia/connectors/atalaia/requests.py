"""What is sent to the API: points, training configurations, and how ids and times are written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from atalaia.core.clock import MICROS, isoformat, to_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import FloatArray, IntArray

Moment = datetime | float | str
"""A time: an aware datetime, Unix seconds, or RFC 3339 text."""


class Point(NamedTuple):
    """One point. The timestamp is an aware datetime, Unix seconds or RFC 3339 text; None stands for now."""

    series_id: str
    timestamp: Moment | None
    value: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Points as columns, the cheap way to send many.

    Attributes
    ----------
    series_ids
        n names.
    timestamps
        int64[n], microseconds since the epoch.
    values
        float64[n].
    """

    series_ids: Sequence[str]
    timestamps: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train; what is None is left to the service."""

    window_hours: float | None = None
    algorithm: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the API."""
        pairs = {
            "window_hours": self.window_hours,
            "algorithm": self.algorithm,
            "hyperparameters": dict(self.hyperparameters) or None,
        }
        return {name: value for name, value in pairs.items() if value is not None}


def moment(value: Moment, name: str = "timestamp") -> float | str:
    """Return `value` as the API takes it.

    Raises
    ------
    Invalid
        For a datetime without a zone.
    """
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise Invalid(
            "naive_time",
            f"{value} has no time zone; pass an aware datetime, for example with tzinfo=datetime.UTC",
            faults=[Fault(f"/{name}", "no time zone")],
        )
    return isoformat(to_us(value))


def segment(value: str) -> str:
    """Return `value` as one segment of a path: everything is encoded, the slash and lone dots too.

    Raises
    ------
    Invalid
        When it is not text.
    """
    if value in (".", ".."):  # clients and proxies resolve these before the service sees them
        return value.replace(".", "%2E")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:  # bytes of the command line that are not UTF-8
        raise Invalid("invalid_id", f"{value!r} is not text that UTF-8 can write") from error


def points_body(points: Iterable[Point] | Columns) -> dict[str, Any]:
    """Return the JSON object that carries `points`."""
    if isinstance(points, Columns):
        return {
            "series_ids": list(points.series_ids),
            "timestamps": (points.timestamps / MICROS).tolist(),
            "values": points.values.tolist(),
        }
    return {"points": [point_body(point) for point in points]}


def point_body(point: Point) -> dict[str, Any]:
    """Return the JSON object of one point."""
    series_id, timestamp, value = point
    body: dict[str, Any] = {"series_id": series_id, "value": value}
    if timestamp is not None:
        body["timestamp"] = moment(timestamp)
    return body


def query(**params: Any) -> list[tuple[str, str]]:
    """Return query parameters without the empty ones; ``from_`` is written ``from``."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        values: list[Any] = [*value] if isinstance(value, list | tuple) else [value]
        pairs += [(name.rstrip("_"), str(moment(v, name))) for v in values if v is not None]
    return pairs
