"""An erasure is asked for: who is meant, what would go, and the job that does it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from atalaia.app.erasure.parts import Parts
from atalaia.core.clock import now_us
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.core.ids import new_id
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.acting import acting
from atalaia.kit.database import serialize
from atalaia.kit.erasures import KIND, ErasureRow, Plan, Subject, unfinished
from atalaia.kit.jobs import Job
from atalaia.kit.jobs.rows import ENDED, JobRow
from atalaia.kit.notes import note
from atalaia.lifecycle.store import ModelRow

_ATTEMPTS = 25
_PRIORITY = 9


@dataclass(frozen=True, slots=True)
class Asked:
    """An erasure that goes on, and its job."""

    erasure_id: str
    job: Job


class Erasures:
    """Takes requests."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def found(self, subject: Subject) -> dict[str, Any]:
        """Return what would be erased; nothing changes.

        Raises
        ------
        Missing, Invalid
            When nothing is kept of the subject, or the label is none.
        """
        parts = self.parts
        with parts.database.read() as session:
            series = self._series(session, subject)
            names, numbers = sorted(series.values()) or [subject.value], sorted(series)
            told = parts.series.counted(session, numbers)
            told |= parts.models.counted(session, names, parts.series.fleets(session, numbers))
        return {**told, "series_ids": names[:20]}

    def ask(self, session: Session, subject: Subject) -> Asked:
        """Queue an erasure; the one that is under way for the same subject is taken up again.

        Raises
        ------
        Missing, Invalid
            When nothing is kept of the subject, or the label is none.
        """
        parts = self.parts
        hashed = parts.privacy.keyed(str(subject))
        serialize(session, f"erasure {hashed}")
        row = unfinished(session, hashed)
        if row is None:
            series = self._series(session, subject)
            row = ErasureRow(
                id=new_id("ers"),
                subject_kind=subject.kind,
                subject_hash=hashed,
                plan=Plan(subject).packed(),
                step=0,
                told={},
                job_id="",
                asked_by=acting().actor[:256],
                asked_at=now_us(),
            )
            session.add(row)
            note(session, "erasure_asked", row.id, subject_hash=hashed, kind=subject.kind, series=len(series))
        job = session.get(JobRow, row.job_id)
        if job is None or job.status in ENDED:
            queued = parts.queue.enqueue(
                session,
                KIND,
                {"erasure": row.id},
                subject=row.id,
                priority=_PRIORITY,
                max_attempts=_ATTEMPTS,
            )
            row.job_id = queued.job_id
        session.flush()
        return Asked(row.id, parts.queue.get(session, row.job_id))

    def _series(self, session: Session, subject: Subject) -> dict[int, str]:
        name, _, value = subject.value.partition(":")
        if subject.kind == "label" and not (name and value):
            reason = "expected name:value"
            raise Invalid("invalid_request", f"label: {reason}", faults=[Fault("/label", reason)])
        series = self.parts.series.find(session, subject)
        if series or (subject.kind == "series_id" and self._is_told_of(session, subject.value)):
            return series
        raise Missing(
            "unknown_series", "nothing is kept of this subject; `atalaia series list` shows what there is"
        )

    def _is_told_of(self, session: Session, series_id: str) -> bool:
        """Say whether there are a model or jobs of a series of which no point ever came."""
        key = str(ModelKey(Scope.SERIES, series_id))
        jobs = session.scalar(select(JobRow.id).where(JobRow.subject == key).limit(1))
        return jobs is not None or session.get(ModelRow, key) is not None
