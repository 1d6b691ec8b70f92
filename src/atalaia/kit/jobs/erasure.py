"""Jobs that are in the way of an erasure, and jobs that tell of whoever is erased."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.kit.database import chunks
from atalaia.kit.jobs.rows import JobRow, JobStatus
from atalaia.kit.mentions import Mentions


def leases(session: Session, kinds: Sequence[str]) -> dict[str, str]:
    """Return the jobs of some kinds that are being worked on, and the lease of each."""
    running = (JobRow.kind.in_(kinds), JobRow.status == JobStatus.PROCESSING, JobRow.lease_until > now_us())
    query = select(JobRow.id, JobRow.lease).where(*running)
    return {job_id: lease or "" for job_id, lease in session.execute(query).tuples()}


def still_held(session: Session, held: Mapping[str, str]) -> list[str]:
    """Return those of the jobs that are worked on by the same worker still."""
    query = select(JobRow.id, JobRow.lease).where(JobRow.id.in_(list(held)), JobRow.lease_until > now_us())
    return [job_id for job_id, lease in session.execute(query).tuples() if held[job_id] == lease]


def erase_jobs(session: Session, names: Sequence[str], but: str) -> int:
    """Delete the jobs that name one of `names`, all `but` one; return how many.

    A worker that is at one of them has lost it, and changes nothing.
    """
    told = (JobRow.subject, JobRow.payload, JobRow.result, JobRow.error)
    ids = [key[0] for key in Mentions(names).rows(session, (JobRow.id,), told) if key[0] != but]
    for chunk in chunks(ids):
        session.execute(delete(JobRow).where(JobRow.id.in_(chunk)))
    return len(ids)
