"""What the API answers, typed. Unknown fields are ignored and most fields have a default, so that a client and a
server of neighbouring versions understand each other."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class Answer(Struct, frozen=True, kw_only=True):
    """The root of all answers."""


class Page(Answer, Generic[T], frozen=True, kw_only=True):
    """One page of a list. `next` is the cursor of the page behind it, None on the last."""

    items: list[T]
    next: str | None = None


class Accepted(Answer, frozen=True, kw_only=True):
    """Points that are now durable: how many, of how many series, of which `created` were new."""

    accepted: int
    series: int = 0
    created: int = 0


class RunningStatistics(Answer, frozen=True, kw_only=True):
    """Running statistics of one series, in its own unit."""

    count: int = 0
    mean: float | None = None
    std: float | None = None
    last_value: float | None = None


class Series(Answer, frozen=True, kw_only=True):
    """One series of the catalogue. `step_s` is the usual distance of two points in seconds."""

    series_id: str
    fleet_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    first_at: datetime | None = None
    last_at: datetime | None = None
    received: int = 0
    statistics: RunningStatistics | None = None
    step_s: float | None = None


class Resolved(Answer, frozen=True, kw_only=True):
    """The numbers of series, in the order of their ids; `created` of them were new."""

    series: list[int]
    created: int = 0


class Bucket(Answer, frozen=True, kw_only=True):
    """Points of one stretch of time, aggregated by the server; an empty stretch has no values."""

    from_: datetime = field(name="from")
    to: datetime
    count: int
    min: float | None = None
    mean: float | None = None
    max: float | None = None


class SeriesBuckets(Answer, frozen=True, kw_only=True):
    """A series, aggregated."""

    series_id: str = ""
    from_: datetime | None = field(name="from", default=None)
    to: datetime | None = None
    buckets: list[Bucket]


class SeenPoint(Answer, frozen=True, kw_only=True):
    """One stored point."""

    timestamp: datetime
    value: float


class SeriesPoints(Answer, frozen=True, kw_only=True):
    """One page of the points of a series."""

    points: list[SeenPoint]
    next: str | None = None


class Fleet(Answer, frozen=True, kw_only=True):
    """Series that are trained together. `source` is ``rule`` or ``hand``; `series` holds the first ones."""

    fleet_id: str
    series_count: int = 0
    source: str = ""
    series: list[str] = field(default_factory=list[str])


class ModelUsed(Answer, frozen=True, kw_only=True):
    """Which model spoke."""

    model_id: str = ""
    version: str = ""
    algorithm: str = ""


class Feedback(Answer, frozen=True, kw_only=True):
    """One person's word on one anomaly."""

    kind: str
    note: str = ""
    created_at: datetime | None = None


class Anomaly(Answer, frozen=True, kw_only=True):
    """An interval of one series whose score was above the threshold; `to` is None while it is open."""

    anomaly_id: str
    series_id: str
    state: str
    from_: datetime = field(name="from")
    to: datetime | None = None
    last_at: datetime | None = None
    peak_at: datetime | None = None
    peak_score: float | None = None
    points: int = 0
    seen: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    part: str = ""
    explanation: str = ""
    model: ModelUsed = field(default_factory=ModelUsed)
    feedback: list[Feedback] = field(default_factory=list[Feedback])


class JobRef(Answer, frozen=True, kw_only=True):
    """A job that was accepted."""

    job_id: str
    status: str = "queued"
    status_url: str = ""


FINAL = frozenset({"completed", "failed", "cancelled"})
"""The states that a job does not leave."""


class Job(Answer, frozen=True, kw_only=True):
    """Long work. `progress` runs from 0 to 1; `error` is the problem object of a failed job."""

    job_id: str
    status: str
    kind: str = ""
    progress: float | None = None
    series_id: str | None = None
    fleet_id: str | None = None
    asset_id: str | None = None
    attempts: int = 0
    model_version: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.status in FINAL


class WaveRef(Answer, frozen=True, kw_only=True):
    """Trainings of a wave that were accepted: of how many fleets, and which were left out as trained just now."""

    wave_id: str
    fleets: int = 0
    left_out: list[str] = field(default_factory=list[str])
    status_url: str = ""


class WaveFleet(Answer, frozen=True, kw_only=True):
    """One training of a wave; one that is completed without a version found no points in the window."""

    fleet_id: str
    job_id: str = ""
    status: str = ""
    progress: float | None = None
    version: str | None = None
    series: int = 0
    points: int = 0
    error: str | None = None


class Wave(Answer, frozen=True, kw_only=True):
    """Trainings of many fleets. `waiting` have not ended; `empty` of the `completed` ones found no points."""

    wave_id: str
    promote: bool = False
    progress: float = 0.0
    waiting: int = 0
    completed: int = 0
    empty: int = 0
    failed: int = 0
    series: int = 0
    points: int = 0
    created_at: datetime | None = None
    finished_at: datetime | None = None
    promoted_at: datetime | None = None
    fleets: list[WaveFleet] = field(default_factory=list[WaveFleet])

    @property
    def is_final(self) -> bool:
        """Whether every training has ended, well or not."""
        return self.waiting == 0

    @property
    def seconds(self) -> float | None:
        """How long it took, None as long as it goes on."""
        if self.created_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.created_at).total_seconds()


class Version(Answer, frozen=True, kw_only=True):
    """One version of a model."""

    version: str
    stage: str = "None"
    algorithm: str = ""
    hyperparameters: dict[str, Any] = field(default_factory=dict[str, Any])
    metrics: dict[str, float | None] = field(default_factory=dict[str, float | None])
    series_count: int = 0
    sha256: str = ""
    bytes: int = 0
    run_id: str | None = None
    job_id: str | None = None
    created_at: datetime | None = None
    promoted_at: datetime | None = None
    archived_at: datetime | None = None
    signature: str | None = None
    signed_by: str | None = None
    selection: dict[str, Any] | None = None


class Model(Answer, frozen=True, kw_only=True):
    """A model and its versions; `model_id` is ``series:<id>`` or ``fleet:<id>``."""

    model_id: str
    series_id: str | None = None
    fleet_id: str | None = None
    asset_id: str | None = None
    production_version: str | None = None
    challenger_version: str | None = None
    latest_version: str | None = None
    versions: list[Version] = field(default_factory=list[Version])


class Promotion(Answer, frozen=True, kw_only=True):
    """A version that went to Production, and the one that it took over from."""

    model_id: str
    version: str
    stage: str = "Production"
    previous_version: str | None = None
    promoted_at: datetime | None = None


class Challenge(Answer, frozen=True, kw_only=True):
    """Which version of a model answers, and which is scored beside it."""

    model_id: str
    version: str
    challenger: str | None = None


class Deployment(Answer, frozen=True, kw_only=True):
    """What answers for a model."""

    model_id: str
    version: str
    stage: str = ""
    strategy: str = ""
    traffic: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    artifact: dict[str, Any] = field(default_factory=dict[str, Any])
    revision: int = 0


class Readiness(Answer, frozen=True, kw_only=True):
    """How ready a series is to be judged: `state` is unlearnt, learnt or seasonal; `missing` says what it lacks.

    `peers` says how many series like it it began from, since it joined its fleet after the training.
    """

    series_id: str
    model_id: str = ""
    version: str = ""
    algorithm: str = ""
    state: str = ""
    confidence: str = ""
    points: int = 0
    days: float = 0.0
    peers: int = 0
    missing: list[str] = field(default_factory=list[str])


class ModelMetrics(Answer, frozen=True, kw_only=True):
    """How a model does in the window, and whether its data drifted."""

    window: str = ""
    predictions: int = 0
    anomalies: int = 0
    anomaly_rate: float | None = None
    score: dict[str, float | None] | None = None
    training: dict[str, Any] | None = None
    drift: dict[str, Any] | None = None


class ModelInfo(Answer, frozen=True, kw_only=True):
    """Which model answered, and where it was loaded from."""

    model_id: str = ""
    version: str | None = None
    stage: str | None = None
    type: str = ""
    loaded_from: str = ""


class Reason(Answer, frozen=True, kw_only=True):
    """Why a score is what it is."""

    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    part: str = ""
    text: str = ""


class Prediction(Answer, frozen=True, kw_only=True):
    """The answer to one point; in a batch, `error` is the problem object of a point that could not be scored."""

    series_id: str
    timestamp: datetime | None = None
    value: float | None = None
    anomaly: bool = False
    anomaly_score: float | None = None
    confidence: str = ""
    model_info: ModelInfo | None = None
    explanation: Reason | None = None
    flags: list[str] = field(default_factory=list[str])
    error: dict[str, Any] | None = None


class Predictions(Answer, frozen=True, kw_only=True):
    """The answer to a batch, in the order of its points."""

    predictions: list[Prediction]


class Reloaded(Answer, frozen=True, kw_only=True):
    """A model that was loaded again."""

    model_id: str
    version: str | None = None
    loaded_from: str = ""
    load_seconds: float | None = None


class Health(Answer, frozen=True, kw_only=True):
    """How the service is. `scoring_lag_rows` counts accepted points that are not scored yet."""

    status: str = ""
    version: str = ""
    scoring_lag_rows: int | None = None
    checks: Any = None
