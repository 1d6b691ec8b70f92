"""Training: a request becomes a job, the job becomes a version in Staging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Busy, Fault, Invalid
from atalaia.core.facts import ModelRegistered
from atalaia.core.models import ModelKey, Scope, Stage, artefact_key, version_name
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.series import check_id
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import Job, JobQueue, JobStatus, Outcome, Run
from atalaia.kit.jobs.queue import BULK
from atalaia.lifecycle import store
from atalaia.lifecycle.ports import Artefact, History, Registry
from atalaia.lifecycle.rules import check_training_data
from atalaia.lifecycle.settings import LifecycleSettings

KIND = "train"
_REFERENCE = 512
_FITTING = 0.6
_LOGGED = 0.8


@dataclass(frozen=True, slots=True)
class Config:
    """What to train, and on how much history."""

    algorithm: str
    hyperparameters: Mapping[str, Any]
    window_hours: float

    def as_json(self) -> dict[str, Any]:
        """Return the config for a job's payload."""
        return {
            "algorithm": self.algorithm,
            "hyperparameters": dict(self.hyperparameters),
            "window_hours": self.window_hours,
        }


@dataclass(frozen=True, slots=True)
class Inline:
    """Training data that came with the request."""

    timestamps: IntArray
    values: FloatArray


class Training:
    """Accepts trainings and does them."""

    def __init__(
        self,
        queue: JobQueue,
        blobs: Blobs,
        outbox: Outbox,
        history: History,
        registry: Registry,
        settings: LifecycleSettings,
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._outbox = outbox
        self._history = history
        self._registry = registry
        self._settings = settings

    def request(self, session: Session, key: ModelKey, config: Config, inline: Inline | None, priority: int) -> Job:
        """Queue a training.

        Raises
        ------
        Missing, Invalid, Busy
            When the series or fleet is unknown, the config or inline data are wrong, or one was trained recently.
        """
        make_detector(config.algorithm, config.hyperparameters)
        if inline is not None:  # the series need not be known, but it must be one that could be
            check_id(key.name)
            self._check(inline.timestamps, inline.values, inline=True)
        elif key.scope is Scope.FLEET:
            self._members(key)
        else:
            self._history.newest([key.name])
        self._check_cooldown(session, key)
        payload: dict[str, Any] = {"key": str(key), "config": config.as_json()}
        if inline is not None:
            payload[BULK] = {"timestamps": inline.timestamps.tolist(), "values": inline.values.tolist()}
        return self._queue.enqueue(session, KIND, payload, subject=str(key), priority=priority)

    def work(self, run: Run) -> Outcome:
        """Do one training; the version appears when the job completes."""
        key = ModelKey.parse(run.payload["key"])
        config = Config(**run.payload["config"])
        detector = make_detector(config.algorithm, config.hyperparameters)
        series_ids, group, learnt = self._data(key, config, run.payload.get(BULK))
        run.report(0.2)
        model = FleetModel.fit(detector, series_ids, group)
        run.report(_FITTING)
        data = model.to_bytes()
        blob = self._blobs.put(artefact_key(sha256_of(data)), data)
        parameters = {**config.as_json(), "hyperparameters": detector.hyperparameters(), "series": len(series_ids)}
        artefact = Artefact(key, run.job_id, data, blob.sha256, parameters, model.metrics())
        run_id = self._registry.publish(artefact)
        run.report(_LOGGED)

        def register(session: Session) -> dict[str, Any]:
            return self._register(session, artefact, run_id, detector.hyperparameters(), model, learnt)

        return Outcome({"model_id": str(key), "metrics": model.metrics()}, register)

    def _register(
        self,
        session: Session,
        artefact: Artefact,
        run_id: str,
        hyperparameters: Mapping[str, Any],
        model: FleetModel,
        learnt: dict[str, Any],
    ) -> dict[str, Any]:
        now = now_us()
        row = store.lock_model(session, artefact.key)
        if row is None:
            row = store.ModelRow(key=str(artefact.key), latest=0, revision=0, created_at=now)
            session.add(row)
            session.flush()
        row.latest += 1
        version = store.VersionRow(
            key=row.key,
            number=row.latest,
            stage=Stage.STAGING.value,
            algorithm=model.detector.name,
            hyperparameters=dict(hyperparameters),
            metrics=dict(artefact.metrics),
            series_count=len(model.series_ids),
            sha256=artefact.sha256,
            size_bytes=len(artefact.data),
            run_id=run_id,
            job_id=artefact.job_id,
            learnt=learnt,
            created_at=now,
        )
        session.add(version)
        self._outbox.publish(session, ModelRegistered(row.key, row.latest, artefact.job_id))
        return {"model_version": version_name(row.latest)}

    def _data(
        self, key: ModelKey, config: Config, bulk: Mapping[str, Any] | None
    ) -> tuple[Sequence[str], Group, dict[str, Any]]:
        if bulk is not None:
            timestamps, values = np.array(bulk["timestamps"], np.int64), np.array(bulk["values"], np.float64)
            group = Group.of([(timestamps, values)])
            return [key.name], group, _learnt(group, int(timestamps[0]), int(timestamps[-1]))
        series_ids = self._members(key) if key.scope is Scope.FLEET else [key.name]
        newest = self._history.newest(series_ids)
        if newest is None:
            raise Invalid("invalid_training_data", f"{key} has no points yet", faults=[Fault("", "no points")])
        start = newest - int(config.window_hours * 3_600 * MICROS)
        group = _newest_points(
            self._history.group(series_ids, start, newest + 1), self._settings.history_max_points
        )
        if key.scope is Scope.SERIES:
            self._check(*group.series(0), inline=False)
        elif not len(group.values):
            raise Invalid(
                "invalid_training_data", f"{key} has no points in the window", faults=[Fault("", "no points")]
            )
        return series_ids, group, _learnt(group, start, newest)

    def _members(self, key: ModelKey) -> list[str]:
        members = self._history.members(key.name)
        if not members:
            raise Invalid("invalid_training_data", f"{key} has no series", faults=[Fault("", "no series")])
        return members

    def _check(self, timestamps: IntArray, values: FloatArray, *, inline: bool) -> None:
        settings = self._settings
        check_training_data(
            timestamps,
            values,
            min_points=settings.inline_min_points if inline else settings.history_min_points,
            max_points=settings.inline_max_points if inline else settings.history_max_points,
            min_std=settings.min_std,
        )

    def _check_cooldown(self, session: Session, key: ModelKey) -> None:
        last = self._queue.last(session, KIND, str(key))
        if last is None or last.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            return
        wait_s = self._settings.cooldown_s - (now_us() - last.created_at) / MICROS
        if wait_s > 0:
            minutes = self._settings.cooldown_s / 60
            detail = f"{key} was trained less than {minutes:g} minutes ago by {last.job_id}; wait {wait_s:.0f} s"
            raise Busy("trained_recently", detail, retry_after_s=wait_s)


def _newest_points(group: Group, most: int) -> Group:
    if not len(group) or int(group.counts.max()) <= most:
        return group
    return Group.of((t[-most:], v[-most:]) for t, v in map(group.series, range(len(group))))


def _learnt(group: Group, start_us: int, end_us: int) -> dict[str, Any]:
    """Return what a version remembers of its data: their range, and for a lone series order statistics of them.

    Against these the values of later days are compared, see `lifecycle.report`.
    """
    reference: list[float] | None = None
    if len(group) == 1:
        ordered = np.sort(group.values)
        picked = np.linspace(0, len(ordered) - 1, min(_REFERENCE, len(ordered))).round().astype(np.int64)
        reference = ordered[picked].tolist()
    return {"from": start_us, "to": end_us, "reference": reference}
