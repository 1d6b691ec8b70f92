"""The calls about assets: what there is, and how strange moments of one are."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer, ModelInfo, Page
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.paging import iterate
from atalaia.connectors.atalaia.requests import Moment, moment, query, segment


class Asset(Answer, frozen=True, kw_only=True):
    """Series that are sensors of one thing."""

    asset_id: str
    sensor_count: int = 0
    production_version: str | None = None
    latest_version: str | None = None


class Sensor(Answer, frozen=True, kw_only=True):
    """A sensor, and what the version in Production knows of it; `missing` says what it would take."""

    series_id: str
    is_member: bool = True
    is_learnt: bool = False
    points: int = 0
    missing: str | None = None


class AssetDetail(Asset, frozen=True, kw_only=True):
    """An asset with its sensors; `step_s` is the time from one moment to the next."""

    model_id: str = ""
    algorithm: str | None = None
    step_s: float | None = None
    is_ready: bool = False
    sensors: list[Sensor] = field(default_factory=list[Sensor])


class Deviating(Answer, frozen=True, kw_only=True):
    """A sensor that is not where the others say."""

    series_id: str
    score: float = 0.0
    seen: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None


class MomentScore(Answer, frozen=True, kw_only=True):
    """What is said of one moment."""

    timestamp: datetime | None = None
    score: float | None = None
    is_anomaly: bool = False
    sensors: list[Deviating] = field(default_factory=list[Deviating])
    missing: list[str] = field(default_factory=list[str])


class AssetScore(Answer, frozen=True, kw_only=True):
    """What the model of an asset says; `score` and `is_anomaly` are of the last moment."""

    asset_id: str
    model_info: ModelInfo | None = None
    score: float | None = None
    is_anomaly: bool = False
    moments: list[MomentScore] = field(default_factory=list[MomentScore])


Readings = tuple[Moment, Mapping[str, float | None]]
"""A moment, and what sensors showed at it, by the id of their series."""


class AssetCalls:
    """``/assets``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Asset]:
        """Return one page of the assets."""
        return self._connection.get("/assets", Page[Asset], query(limit=limit, cursor=cursor))

    def iterate(self) -> Iterator[Asset]:
        """Yield every asset."""
        return iterate(lambda cursor: self.list(limit=1000, cursor=cursor))

    def get(self, asset_id: str) -> AssetDetail:
        """Return an asset with its sensors, and what its model has learnt of each."""
        return self._connection.get(f"/assets/{segment(asset_id)}", AssetDetail)

    def score(self, asset_id: str, moments: Sequence[Readings]) -> AssetScore:
        """Return how strange moments of an asset are, in order of time; nothing is kept."""
        told: list[dict[str, Any]] = [
            {"timestamp": moment(at, f"moments[{i}]"), "values": dict(values)}
            for i, (at, values) in enumerate(moments)
        ]
        return self._connection.ask(f"/assets/{segment(asset_id)}/score", AssetScore, {"moments": told})
