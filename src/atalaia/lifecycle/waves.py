"""Waves: trainings of many fleets, asked for together and put into Production together.

A wave is one job for each fleet. Whatever is killed, the jobs that have ended stay done, and the others go on. When
all have ended well their versions are promoted in one transaction, so that those who serve swap all models at once.
A fleet without points in the window has nothing to learn from: its job ends well, without a version, and holds up
nobody. A job that failed or was cancelled holds up the promotion until it is done again, or left out on purpose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.core.errors import Busy, Conflict, Fault, Invalid, Missing
from atalaia.core.ids import new_id
from atalaia.core.models import ModelKey, Scope, version_name
from atalaia.kit.database import savepoint
from atalaia.kit.jobs import Job, JobQueue, JobStatus
from atalaia.kit.notes import note
from atalaia.lifecycle import store
from atalaia.lifecycle.ports import History
from atalaia.lifecycle.promotion import Promoted, Promotion
from atalaia.lifecycle.training import KIND, Config, Training

_log = structlog.get_logger(__name__)
_BADLY = (JobStatus.FAILED, JobStatus.CANCELLED)
_ENDED = (JobStatus.COMPLETED, *_BADLY)
_TOLD = 5
"""Trainings that an error names; the wave itself shows all."""


@dataclass(frozen=True, slots=True)
class WaveFleet:
    """One training of a wave. `version` is None until it has made one; `error` says why it failed."""

    fleet_id: str
    job_id: str
    status: JobStatus
    progress: float
    version: str | None
    series: int
    points: int
    error: str | None
    finished_at: int | None

    @property
    def is_empty(self) -> bool:
        """Whether the fleet had no points in the window."""
        return self.status is JobStatus.COMPLETED and self.version is None


@dataclass(frozen=True, slots=True)
class Wave:
    """How far a wave is."""

    wave_id: str
    promote: bool
    created_at: int
    promoted_at: int | None
    fleets: tuple[WaveFleet, ...]

    @property
    def progress(self) -> float:
        """Share of the work that is done, each fleet counting the same."""
        done = [1.0 if fleet.status in _ENDED else fleet.progress for fleet in self.fleets]
        return sum(done) / len(done) if done else 1.0

    @property
    def finished_at(self) -> int | None:
        """When the last training ended, None as long as one waits."""
        if any(fleet.status not in _ENDED for fleet in self.fleets):
            return None
        return max((fleet.finished_at for fleet in self.fleets if fleet.finished_at), default=None)

    def count(self, *statuses: JobStatus) -> int:
        """Return how many trainings stand there."""
        return sum(fleet.status in statuses for fleet in self.fleets)


@dataclass(frozen=True, slots=True)
class Queued:
    """What was queued: how many trainings of a wave, and which fleets not, since they were trained a moment ago."""

    wave_id: str
    fleets: int
    left_out: tuple[str, ...]


class Waves:
    """Starts waves, and follows them."""

    def __init__(self, queue: JobQueue, training: Training, promotion: Promotion, history: History) -> None:
        self._queue = queue
        self._training = training
        self._promotion = promotion
        self._history = history

    def fleets(self, wanted: Sequence[str] | None) -> list[str]:
        """Return the fleets of a wave: those that are wanted, else all; series without a fleet get one first.

        That is a transaction of its own.

        Raises
        ------
        Invalid
            When there are none, or one stands there twice.
        """
        fleets = list(wanted) if wanted is not None else self._history.gather_fleets()
        reason = ""
        if not fleets:
            reason = "there are no series yet" if wanted is None else "none is named"
        elif len(set(fleets)) != len(fleets):
            reason = "one stands there twice"
        if reason:
            raise Invalid(
                "invalid_request", f"no wave of these fleets: {reason}", faults=[Fault("/fleets", reason)]
            )
        return fleets

    def start(
        self, session: Session, fleets: Sequence[str], config: Config, *, priority: int, promote: bool
    ) -> Queued:
        """Queue a training of each fleet, as one wave.

        Raises
        ------
        Missing, Invalid, Busy
            When a fleet or the config is wrong. Nothing is queued then. Fleets that are being trained, or were a
            moment ago, are left out; when that leaves none, `Busy`.
        """
        wave = store.WaveRow(id=new_id("wave"), config=config.as_json(), promote=promote, created_at=now_us())
        session.add(wave)
        session.flush()
        jobs, left_out = self._request(session, fleets, config, priority)
        session.add_all(
            store.WaveFleetRow(wave_id=wave.id, key=key, job_id=job_id, series=0, points=0)
            for key, job_id in jobs.items()
        )
        return Queued(wave.id, len(jobs), left_out)

    def retry(self, session: Session, wave_id: str, *, priority: int) -> Queued:
        """Queue those trainings of a wave anew that failed or were cancelled, with the config of the wave.

        Raises
        ------
        Missing, Invalid, Busy
            When there is no such wave, a fleet has lost all its series, or all that failed are trained elsewhere.
        """
        wave = self._locked(session, wave_id)
        failed = [fleet.fleet_id for fleet in self.get(session, wave_id).fleets if fleet.status in _BADLY]
        jobs, left_out = self._request(session, failed, Config(**wave.config), priority)
        for part in store.wave_fleets(session, wave_id):
            part.job_id = jobs.get(part.key, part.job_id)
        session.flush()
        return Queued(wave_id, len(jobs), left_out)

    def get(self, session: Session, wave_id: str) -> Wave:
        """Return how far a wave is, or raise `Missing`."""
        row = session.get(store.WaveRow, wave_id)
        if row is None:
            raise _unknown(wave_id)
        parts = store.wave_fleets(session, row.id)
        jobs = self._queue.by_ids(session, [part.job_id for part in parts])
        fleets = tuple(_fleet(part, jobs.get(part.job_id)) for part in parts)
        return Wave(row.id, row.promote, row.created_at, row.promoted_at, fleets)

    def ended(self, session: Session, job_id: str, number: int, series: int, points: int) -> None:
        """Note, in the transaction that ends it, that a training ended well; the last one may promote all."""
        part = store.wave_fleet_of_job(session, job_id)
        if part is None:
            return
        wave = self._locked(session, part.wave_id)
        part.number, part.series, part.points = number, series, points
        session.flush()
        if not wave.promote or any(other.number is None for other in store.wave_fleets(session, wave.id)):
            return
        try:
            with savepoint(session):
                self._promote(session, wave)
        except Conflict as error:  # somebody promoted by hand meanwhile; the training is sound all the same
            _log.warning("wave_not_promoted", wave_id=wave.id, detail=error.detail)

    def promote(self, session: Session, wave_id: str, *, skip_failed: bool = False) -> list[Promoted]:
        """Put all versions of a wave into Production, in one transaction; those that are there stay.

        With `skip_failed`, fleets whose training failed or was cancelled keep what they have.

        Raises
        ------
        Missing, Conflict
            When there is no such wave, a training has not ended well, none made a version, or one of the versions
            has been archived meanwhile.
        """
        wave = self._locked(session, wave_id)
        fleets = self.get(session, wave_id).fleets
        done = (JobStatus.COMPLETED, *(_BADLY if skip_failed else ()))
        waiting = [fleet for fleet in fleets if fleet.status not in done]
        if waiting:
            raise Conflict("wave_not_done", _not_done(waiting, len(fleets)))
        if not any(fleet.version for fleet in fleets):
            raise Conflict("wave_not_done", "no training of the wave made a version")
        return self._promote(session, wave)

    def _request(
        self, session: Session, fleets: Sequence[str], config: Config, priority: int
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Queue trainings; return the job of each model, and the fleets that were left out."""
        requests: list[tuple[str, dict[str, Any]]] = []
        left_out: list[str] = []
        busy: Busy | None = None
        for fleet_id in fleets:
            key = ModelKey(Scope.FLEET, fleet_id)
            try:
                requests.append((str(key), self._training.prepare(session, key, config, None, may_be_empty=True)))
            except Busy as error:
                busy = error
                left_out.append(fleet_id)
        if busy is not None and not requests:
            raise busy
        ids = self._queue.enqueue_many(session, KIND, requests, priority=priority)
        for (subject, _), job_id in zip(requests, ids, strict=True):
            note(session, "training_requested", subject, job=job_id, config=config.as_json())
        return dict(zip([subject for subject, _ in requests], ids, strict=True)), tuple(left_out)

    def _promote(self, session: Session, wave: store.WaveRow) -> list[Promoted]:
        made = {part.key: part.number for part in store.wave_fleets(session, wave.id) if part.number}
        models = store.lock_models(session, list(made))
        wave.promoted_at = (wave.promoted_at or now_us()) if made else None
        return [
            self._promotion.promote(session, ModelKey.parse(key), number, archive_previous=True, is_fresh=True)
            for key, number in made.items()
            if models[key].production != number
        ]

    def _locked(self, session: Session, wave_id: str) -> store.WaveRow:
        wave = store.lock_wave(session, wave_id)
        if wave is None:
            raise _unknown(wave_id)
        return wave


def _fleet(part: store.WaveFleetRow, job: Job | None) -> WaveFleet:
    if part.number is not None:
        status = JobStatus.COMPLETED
    elif job is None:  # it ended so long ago that it was forgotten
        status = JobStatus.FAILED
    else:
        status = job.status
    problem = job.error if job is not None and status in _BADLY else None
    return WaveFleet(
        fleet_id=ModelKey.parse(part.key).name,
        job_id=part.job_id,
        status=status,
        progress=job.progress if job is not None and status not in _ENDED else 1.0,
        version=version_name(part.number) if part.number else None,
        series=part.series,
        points=part.points,
        error=None if problem is None else str(problem.get("detail")),
        finished_at=None if job is None else job.finished_at,
    )


def _not_done(waiting: Sequence[WaveFleet], fleets: int) -> str:
    told = [
        f"{fleet.fleet_id[:80]} is {fleet.status.value}{f' ({fleet.error})' if fleet.error else ''}"
        for fleet in waiting[:_TOLD]
    ]
    told += [f"{len(waiting) - _TOLD} more"] if len(waiting) > _TOLD else []
    what = "training has" if len(waiting) == 1 else "trainings have"
    return f"{len(waiting)} {what} not ended well, of {fleets} of the wave: {', '.join(told)}"


def _unknown(wave_id: str) -> Missing:
    return Missing("unknown_wave", f"there is no wave of trainings {wave_id[:80]!r}")
