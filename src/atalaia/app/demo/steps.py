"""The steps of the demo, each over HTTP, each doing only what is left of it."""

import time
from collections.abc import Callable, Sequence

from atalaia.app.demo.histories import SAMPLES, History
from atalaia.app.demo.replay import BEFORE_ALL, Left, Replay, left_to_learn, left_to_train
from atalaia.connectors.atalaia import Anomaly, Client, Job, Model, TrainingConfig, job_error
from atalaia.core.clock import to_us
from atalaia.core.errors import Broken, Busy, Conflict, Missing, Unavailable
from atalaia.core.models import ModelKey, Scope

BATCH = 500
Advance = Callable[[int], None]
Sleep = Callable[[float], None]


def last_times(client: Client) -> dict[str, int]:
    """Return the newest time of each sample that the service has, microseconds since the epoch."""
    found: dict[str, int] = {}
    for sample in SAMPLES:
        try:
            last = client.series.get(sample.series_id).last_at
        except Missing:
            last = None
        found[sample.series_id] = BEFORE_ALL if last is None else to_us(last)
    return found


def import_first_parts(client: Client, histories: Sequence[History], last_us: dict[str, int]) -> int:
    """Send what is left of the first parts; return how many points that were."""
    sent = 0
    for history in histories:
        points = left_to_learn(history, last_us[history.sample.series_id])
        if len(points):
            sent += client.points.add(points).accepted
    return sent


def train_and_promote(client: Client, histories: Sequence[History], advance: Advance) -> int:
    """Bring a model of each series into Production; return how many were not there yet."""
    left = [(h, todo) for h in histories if (todo := left_to_train(_model(client, h)))]
    jobs = {
        h.sample.series_id: _start(client, h) for h, todo in left if todo.training
    }  # all, before waiting for any
    advance(len(histories) - len(left))
    for history, todo in left:
        client.models.promote(_key(history), _version(client, jobs.get(history.sample.series_id), todo))
        advance(1)
    return len(left)


def _key(history: History) -> ModelKey:
    return ModelKey(Scope.SERIES, history.sample.series_id)


def _model(client: Client, history: History) -> Model | None:
    try:
        return client.models.get(_key(history))
    except Missing:
        return None


def _start(client: Client, history: History) -> str:
    """Start a training and return its job; when one of an interrupted run is still there, return that."""
    sample = history.sample
    config = TrainingConfig(history.learning_hours, sample.algorithm, sample.hyperparameters)
    try:
        return client.training.start(_key(history), config).job_id
    except (Busy, Conflict):
        jobs: list[Job] = client.training.list(series_id=sample.series_id).items
        if not jobs:
            raise
        return max(jobs, key=lambda job: 0 if job.created_at is None else to_us(job.created_at)).job_id


def _version(client: Client, job_id: str | None, todo: Left) -> str:
    if job_id is None:
        return todo.version or ""
    job = client.jobs.wait(job_id)
    error = job_error(job)
    if error:
        raise error
    if not job.model_version:
        raise Broken("no_version", f"job {job_id} is completed but names no version")
    return job.model_version


def replay(client: Client, left: Replay, speed: float | None, advance: Advance, sleep: Sleep = time.sleep) -> None:
    """Send the second parts in order of time, `speed` seconds of data in a second, or as fast as it goes."""
    passed_s = 0.0
    for batch, at_s in left.batches(BATCH):
        if speed:
            sleep((at_s - passed_s) / speed)
            passed_s = at_s
        client.points.add(batch)
        advance(len(batch))


def wait_until_scored(client: Client, *, timeout_s: float = 120.0, sleep: Sleep = time.sleep) -> None:
    """Return once every accepted point is scored.

    Raises
    ------
    Unavailable
        ``not_scored`` after about `timeout_s`.
    """
    pause_s = 0.1
    for _ in range(int(timeout_s / pause_s)):
        if client.health().scoring_lag_rows in (0, None):
            return
        sleep(pause_s)
    raise Unavailable("not_scored", f"the service is still scoring after {timeout_s:g} s; see `atalaia doctor`")


def anomalies(client: Client) -> list[Anomaly]:
    """Return the anomalies of the samples, by series and time."""
    names = [sample.series_id for sample in SAMPLES]
    found = [anomaly for anomaly in client.anomalies.iterate() if anomaly.series_id in names]
    return sorted(found, key=lambda anomaly: (names.index(anomaly.series_id), anomaly.from_))
