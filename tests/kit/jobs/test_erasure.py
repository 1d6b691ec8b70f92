"""Jobs that are in the way of an erasure are known by their lease, jobs that name somebody go."""

from pathlib import Path

from sqlalchemy import select, update

from atalaia.kit.jobs import JobQueue
from atalaia.kit.jobs.erasure import erase_jobs, leases, still_held
from atalaia.kit.jobs.rows import JobRow
from tests.signals.builders import fresh_database


def test_a_job_is_waited_for_until_its_lease_is_another_or_over(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    queue = JobQueue(database)
    with database.write() as session:
        for kind in ("train", "train", "other"):
            queue.enqueue(session, kind, {})
    claims = [queue.claim(("train",)), queue.claim(("other",))]
    assert all(claims)
    with database.read() as session:
        held = leases(session, ("train",))
        assert list(held) == [claims[0].job.job_id] if claims[0] else None
        assert still_held(session, held) == list(held)
        assert still_held(session, dict.fromkeys(held, "lease_other")) == []
    with database.write() as session:
        session.execute(update(JobRow).values(lease_until=1))
    with database.read() as session:
        assert (leases(session, ("train",)), still_held(session, held)) == ({}, [])
    database.close()


def test_jobs_that_name_somebody_are_deleted_but_one(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    queue = JobQueue(database)
    with database.write() as session:
        own = queue.enqueue(session, "erase_subject", {"erasure": "series:ada"})
        queue.enqueue(session, "train", {"key": "series:ada"}, subject="series:ada")
        queue.enqueue(session, "train", {"key": "series:adam"}, subject="series:adam")
        failed = queue.enqueue(session, "train", {}, subject="fleet:f")
    with database.write() as session:
        session.get_one(JobRow, failed.job_id).error = {"detail": "no point of 'ada' was ever received"}
    with database.write() as session:
        assert erase_jobs(session, ["ada", "series:ada"], but=own.job_id) == 2
    with database.read() as session:
        assert set(session.scalars(select(JobRow.subject))) == {None, "series:adam"}
    database.close()
