"""The calls about how models come to be: training, jobs, models."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from atalaia.connectors.atalaia.answers import (
    Challenge,
    Deployment,
    Job,
    JobRef,
    Model,
    ModelMetrics,
    Page,
    Promotion,
    Readiness,
    Reloaded,
)
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.paging import iterate
from atalaia.connectors.atalaia.problems import error_of
from atalaia.connectors.atalaia.requests import Columns, TrainingConfig, points_body, query, segment
from atalaia.core.errors import AtalaiaError, Conflict, Unavailable
from atalaia.core.models import ModelKey, Scope

_ROOMS = {Scope.SERIES: "", Scope.FLEET: "fleets/", Scope.ASSET: "assets/"}


def model_path(key: ModelKey) -> str:
    """Return the path of a model: ``/models/<series>``, or ``/models/fleets/<fleet>`` and the like for assets."""
    return f"/models/{_ROOMS[key.scope]}{segment(key.name)}"


def job_error(job: Job) -> AtalaiaError | None:
    """Return why a job that has ended did not end well, None if it did."""
    if job.status == "cancelled":
        return Conflict("job_cancelled", f"job {job.job_id} was cancelled")
    if job.status != "failed":
        return None
    problem = job.error or {"detail": f"job {job.job_id} failed"}
    return error_of(int(problem.get("status") or 500), msgspec.json.encode(problem))


class TrainingCalls:
    """``/training``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        key: ModelKey,
        config: TrainingConfig | None = None,
        *,
        data: Columns | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> JobRef:
        """Ask for a training of a series, a fleet or an asset over its stored history.

        Parameters
        ----------
        data
            Train on these points of one series instead.
        priority
            0 to 9; the higher comes first.
        """
        body: dict[str, Any] = {"config": config.body()} if config else {}
        if data is not None:
            inline = points_body(data)
            body |= {"timestamps": inline["timestamps"], "values": inline["values"]}
        if priority is not None:
            body["priority"] = priority
        path = f"/training/{_ROOMS[key.scope]}{segment(key.name)}"
        return self._connection.create(path, JobRef, body, idempotency_key)

    def list(
        self,
        *,
        status: str | None = None,
        series_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return one page of the training jobs."""
        params = query(status=status, series_id=series_id, limit=limit, cursor=cursor)
        return self._connection.get("/training/jobs", Page[Job], params)

    def iterate(self, *, status: str | None = None, series_id: str | None = None) -> Iterator[Job]:
        """Yield every training job that matches."""
        fetch = partial(self.list, status=status, series_id=series_id, limit=1000)
        return iterate(lambda cursor: fetch(cursor=cursor))


class JobCalls:
    """``/jobs``: training and all other long work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None) -> Page[Job]:
        """Return one page of the jobs."""
        return self._connection.get("/jobs", Page[Job], query(status=status, limit=limit, cursor=cursor))

    def get(self, job_id: str) -> Job:
        """Return one job."""
        return self._connection.get(f"/jobs/{segment(job_id)}", Job)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop."""
        return self._connection.send("DELETE", f"/jobs/{segment(job_id)}", Job)

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.2,
        on_change: Callable[[Job], None] = lambda job: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Job:
        """Return the job once it has ended, well or not; `on_change` hears of every look at it.

        Raises
        ------
        Unavailable
            ``job_not_done`` when it has not ended after about `timeout_s`.
        """
        waited_s = 0.0
        while True:
            job = self.get(job_id)
            on_change(job)
            if job.is_final:
                return job
            if timeout_s is not None and waited_s >= timeout_s:
                raise Unavailable("job_not_done", f"job {job_id} is {job.status} after {timeout_s:g} s")
            sleep(poll_s)
            waited_s += poll_s


class ModelCalls:
    """``/models``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Model]:
        """Return one page of the models."""
        return self._connection.get("/models", Page[Model], query(limit=limit, cursor=cursor))

    def iterate(self) -> Iterator[Model]:
        """Yield every model."""
        return iterate(lambda cursor: self.list(limit=1000, cursor=cursor))

    def get(self, key: ModelKey) -> Model:
        """Return a model and its versions."""
        return self._connection.get(model_path(key), Model)

    def promote(
        self,
        key: ModelKey,
        version: str,
        *,
        strategy: str = "direct",
        archive_previous: bool = True,
        idempotency_key: str | None = None,
    ) -> Promotion:
        """Put a version that stands in Staging into Production."""
        body = {"strategy": strategy, "archive_previous": archive_previous}
        path = f"{model_path(key)}/versions/{segment(version)}/promote"
        return self._connection.create(path, Promotion, body, idempotency_key)

    def challenge(self, key: ModelKey, version: str | None) -> Challenge:
        """Let a version in Staging be scored beside the one in Production; None ends that."""
        return self._connection.send("PUT", f"{model_path(key)}/challenger", Challenge, {"version": version})

    def deployment(self, key: ModelKey) -> Deployment:
        """Return what answers for a model."""
        return self._connection.get(f"{model_path(key)}/deployment-config", Deployment)

    def metrics(self, key: ModelKey, window: str = "24h") -> ModelMetrics:
        """Return how a model does in the last `window`, and whether its data drifted."""
        return self._connection.get(f"{model_path(key)}/metrics", ModelMetrics, query(window=window))

    def readiness(self, series_id: str) -> Readiness:
        """Return what the version that answers for a series has learnt of it, and what is missing."""
        return self._connection.get(f"/models/{segment(series_id)}/readiness", Readiness)

    def reload(self, series_id: str) -> Reloaded:
        """Load the model of a series again."""
        return self._connection.send("POST", f"/admin/reload/{segment(series_id)}", Reloaded)
