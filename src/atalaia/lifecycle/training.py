"""Training: a request becomes a job, the job becomes a version in Staging."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.selection.choosing import Choice
from atalaia.algorithms.selection.selecting import AUTO
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Busy, Fault, Invalid
from atalaia.core.facts import ModelRegistered
from atalaia.core.models import ModelKey, Scope, Stage, Statement, artefact_key, version_name
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.series import check_id
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import serialize
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import Job, JobQueue, JobStatus, Outcome, Run
from atalaia.kit.jobs.rows import BULK
from atalaia.kit.notes import note
from atalaia.kit.signatures import Signatures
from atalaia.kit.tracing import span
from atalaia.lifecycle import store
from atalaia.lifecycle.asset_training import AssetTraining, check_asset_algorithm
from atalaia.lifecycle.ports import Artefact, History, Registry
from atalaia.lifecycle.rules import check_training_data
from atalaia.lifecycle.selection import Selection, check_algorithm
from atalaia.lifecycle.settings import LifecycleSettings

KIND = "train"
_REFERENCE = 512
_READ, _CHOSEN, _FITTED, _LOGGED = 0.1, 0.4, 0.8, 0.9
_FIRST = np.zeros(1, np.int64)
_MAY_BE_EMPTY = "may_be_empty"
SELECTION = "selection"
"""Where a version remembers why it has its algorithm, if ``auto`` was asked for."""
Part = tuple[IntArray, Group]
Found = tuple[Sequence[str], Iterable[Part], dict[str, Any]]
"""The series, their histories part by part (a list for a lone series), and what the version remembers of them."""
Ended = Callable[[Session, str, int, int, int], None]
"""Takes the session, the job, the number of the version, and how many series and points it has learnt; 0 each when
there was nothing to learn from."""


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
        selection: Selection,
        assets: AssetTraining,
        settings: LifecycleSettings,
        signatures: Signatures,
    ) -> None:
        self._assets = assets
        self._queue = queue
        self._blobs = blobs
        self._outbox = outbox
        self._history = history
        self._registry = registry
        self._selection = selection
        self._settings = settings
        self._signatures = signatures
        self._listeners: list[Ended] = []

    def on_ended(self, tell: Ended) -> None:
        """Call `tell` in the transaction in which a training ends well."""
        self._listeners.append(tell)

    def request(
        self,
        session: Session,
        key: ModelKey,
        config: Config,
        inline: Inline | None,
        priority: int,
    ) -> Job:
        """Queue a training; see `prepare`."""
        payload = self.prepare(session, key, config, inline)
        job = self._queue.enqueue(session, KIND, payload, subject=str(key), priority=priority)
        points = None if inline is None else len(inline.values)
        note(session, "training_requested", str(key), job=job.job_id, config=config.as_json(), inline_points=points)
        return job

    def prepare(
        self, session: Session, key: ModelKey, config: Config, inline: Inline | None, *, may_be_empty: bool = False
    ) -> dict[str, Any]:
        """Return what is queued for a training; one that `may_be_empty` ends well when there is nothing to learn.

        Raises
        ------
        Missing, Invalid, Busy
            When the series, fleet or asset is unknown, the config or inline data are wrong, or one was trained
            recently.
        """
        if key.scope is Scope.ASSET:
            check_asset_algorithm(config.algorithm, config.hyperparameters)
            self._assets.sensors(key.name)
        else:
            check_algorithm(config.algorithm, config.hyperparameters)
        if inline is not None:  # the series need not be known, but it must be one that could be
            check_id(key.name)
            self._check(inline.timestamps, inline.values, inline=True)
        elif key.scope is Scope.FLEET:
            self._members(key)
        elif key.scope is Scope.SERIES:
            self._history.check(session, key.name)
        self._check_cooldown(session, key)
        payload: dict[str, Any] = {"key": str(key), "config": config.as_json()}
        if may_be_empty:
            payload[_MAY_BE_EMPTY] = True
        if inline is not None:
            payload[BULK] = {"timestamps": inline.timestamps.tolist(), "values": inline.values.tolist()}
        return payload

    def work(self, run: Run) -> Outcome:
        """Do one training; the version appears when the job completes."""
        key = ModelKey.parse(run.payload["key"])
        config = Config(**run.payload["config"])
        if key.scope is Scope.ASSET:
            made = self._assets.learn(
                key.name, config.algorithm, config.hyperparameters, config.window_hours, run.report
            )
            return self._published(run, key, config, made.model, made.metrics, made.learnt, None)
        check_algorithm(config.algorithm, config.hyperparameters)
        with span("load_history"):
            found = self._data(key, config, run.payload.get(BULK))
        run.report(_READ)
        if found is None:
            return self._nothing(run, key)
        series_ids, parts, learnt = found
        config, choice = self._chosen(run, config, found)
        detector = make_detector(config.algorithm, config.hyperparameters)
        with span("fit", series=len(series_ids)):
            model = FleetModel.fit_parts(detector, series_ids, _reported(run, parts, len(series_ids)))
        if key.scope is Scope.FLEET and not model.metrics()["points"]:
            return self._nothing(run, key)
        run.report(_FITTED)
        return self._published(run, key, config, model, model.metrics(), learnt, choice)

    def _published(
        self,
        run: Run,
        key: ModelKey,
        config: Config,
        model: FleetModel | AssetModel,
        metrics: Mapping[str, float],
        learnt: dict[str, Any],
        choice: Choice | None,
    ) -> Outcome:
        """Bring what was trained into the registry; the version appears when the job completes."""
        hyperparameters, series = model.detector.hyperparameters(), len(model.series_ids)
        parameters = {**config.as_json(), "hyperparameters": hyperparameters, "series": series}
        told: dict[str, Any] = {"model_id": str(key), "metrics": dict(metrics)}
        if choice is not None:
            parameters |= {"chosen_by": AUTO, "reason": choice.reason}
            told, learnt = told | {SELECTION: choice.as_json()}, learnt | {SELECTION: choice.as_json()}
        artefact = self.artefact(key, run.job_id, model, metrics, parameters)
        with span("mlflow_publish"):
            run_id = self._registry.publish(artefact)
        run.report(_LOGGED)

        def apply(session: Session) -> dict[str, Any]:
            return self.register(session, artefact, run_id, hyperparameters, model, learnt)

        return Outcome(told, apply)

    def _chosen(self, run: Run, config: Config, found: Found) -> tuple[Config, Choice | None]:
        """Return the config with the algorithm that the histories choose, where that is wanted, and the choice."""
        if config.algorithm != AUTO:
            return config, None
        series_ids, parts, learnt = found
        lone = parts[0][1] if isinstance(parts, list) else None
        choice = self._selection.choose(
            series_ids,
            lone,
            (learnt["from"], learnt["to"]),
            lambda share: run.report(_READ + (_CHOSEN - _READ) * share),
        )
        run.report(_CHOSEN)
        return replace(config, algorithm=choice.algorithm), choice

    def artefact(
        self,
        key: ModelKey,
        job_id: str,
        model: FleetModel | AssetModel,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Any],
    ) -> Artefact:
        """Return a model as it is registered: signed, with a local copy."""
        data = model.to_bytes()
        blob = self._blobs.put(artefact_key(sha256_of(data)), data)
        algorithm, now = model.detector.name, now_us()
        signature = self._signatures.sign(Statement(key, blob.sha256, algorithm, job_id, now).encoded())
        return Artefact(key, job_id, data, blob.sha256, parameters, metrics, algorithm, now, signature)

    def register(
        self,
        session: Session,
        artefact: Artefact,
        run_id: str,
        hyperparameters: Mapping[str, Any],
        model: FleetModel | AssetModel,
        learnt: dict[str, Any],
    ) -> dict[str, Any]:
        """Add a version in Staging, in the transaction that ends its training."""
        row = store.lock_or_add_model(session, artefact.key, now_us())
        row.latest += 1
        version = store.VersionRow(
            key=row.key,
            number=row.latest,
            stage=Stage.STAGING.value,
            algorithm=artefact.algorithm,
            hyperparameters=dict(hyperparameters),
            metrics=dict(artefact.metrics),
            series_count=len(model.series_ids),
            sha256=artefact.sha256,
            size_bytes=len(artefact.data),
            run_id=run_id,
            job_id=artefact.job_id,
            learnt=learnt,
            created_at=artefact.created_at,
            signature=artefact.signature.text,
            signed_by=artefact.signature.key_id,
        )
        session.add(version)
        self._outbox.publish(session, ModelRegistered(row.key, row.latest, artefact.job_id))
        told = {"version": version_name(row.latest), "sha256": artefact.sha256, "run_id": run_id}
        note(session, "version_registered", row.key, stage=version.stage, algorithm=version.algorithm, **told)
        note(session, "training_completed", row.key, version=version_name(row.latest))
        session.flush()
        self._tell(session, artefact.job_id, row.latest, version.series_count, int(artefact.metrics["points"]))
        return {"model_version": version_name(row.latest)}

    def _tell(self, session: Session, job_id: str, number: int, series: int, points: int) -> None:
        for tell in self._listeners:
            tell(session, job_id, number, series, points)

    def _nothing(self, run: Run, key: ModelKey) -> Outcome:
        """End a training of a fleet that has no points in the window: badly, unless that may be."""
        detail = f"{key} has no points in the window"
        if not run.payload.get(_MAY_BE_EMPTY):
            raise Invalid("invalid_training_data", detail, faults=[Fault("", "no points")])
        return Outcome(
            {"model_id": str(key), "skipped": detail}, lambda session: self._tell(session, run.job_id, 0, 0, 0)
        )

    def _data(self, key: ModelKey, config: Config, bulk: Mapping[str, Any] | None) -> Found | None:
        """Return the series, their histories part by part, and what the version remembers of them.

        None when a fleet has lost its series since it was asked for, or never had a point.
        """
        if bulk is not None:
            timestamps, values = np.array(bulk["timestamps"], np.int64), np.array(bulk["values"], np.float64)
            return (
                [key.name],
                [(_FIRST, Group.of([(timestamps, values)]))],
                _learnt(values, timestamps[[0, -1]].tolist()),
            )
        series_ids = self._history.members(key.name) if key.scope is Scope.FLEET else [key.name]
        newest = self._history.newest(series_ids)
        if newest is None and key.scope is Scope.FLEET:
            return None
        if newest is None:
            raise Invalid("invalid_training_data", f"{key} has no points yet", faults=[Fault("", "no points")])
        start, most = newest - int(config.window_hours * 3_600 * MICROS), self._settings.history_max_points
        if key.scope is Scope.FLEET:
            found = self._history.groups(series_ids, start, newest + 1)
            parts = ((places, _newest_points(group, most)) for places, group in found)
            return series_ids, parts, {"from": start, "to": newest, "reference": None}
        group = _newest_points(self._history.group(series_ids, start, newest + 1), most)
        self._check(*group.series(0), inline=False)
        return series_ids, [(_FIRST, group)], _learnt(group.values, (start, newest))

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
        serialize(session, "trainings asked for")  # two requests at once would both find that none was asked for
        last, cooldown_s = self._queue.last(session, KIND, str(key)), self._settings.cooldown_s
        if last is None or last.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            return
        if last.status is JobStatus.COMPLETED:
            wait_s = cooldown_s - (now_us() - last.created_at) / MICROS
            detail = f"{key} was trained less than {cooldown_s / 60:g} minutes ago by {last.job_id}"
        else:  # many trainings at once may wait for longer than that
            wait_s, detail = cooldown_s, f"{last.job_id} is training {key}, or will"
        if wait_s > 0:
            raise Busy("trained_recently", f"{detail}; wait {wait_s:.0f} s", retry_after_s=wait_s)


def _newest_points(group: Group, most: int) -> Group:
    if not len(group) or int(group.counts.max()) <= most:
        return group
    return Group.of((t[-most:], v[-most:]) for t, v in map(group.series, range(len(group))))


def _learnt(values: FloatArray, span: Sequence[int]) -> dict[str, Any]:
    """Return what a version of a lone series remembers of its data: their range, and order statistics of them.

    Against these the values of later days are compared, see `lifecycle.report`.
    """
    ordered = np.sort(values)
    picked = np.linspace(0, len(ordered) - 1, min(_REFERENCE, len(ordered))).round().astype(np.int64)
    return {"from": int(span[0]), "to": int(span[1]), "reference": ordered[picked].tolist()}


def _reported(run: Run, parts: Iterable[Part], series: int) -> Iterator[Part]:
    """Yield the parts, and report how far the fit is before each."""
    done = 0
    for places, group in parts:
        yield places, group
        done += len(places)
        run.report(max(run.progress, _READ + (_FITTED - _READ) * done / series))
