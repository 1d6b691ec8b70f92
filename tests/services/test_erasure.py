"""One person's data are erased from a site on PostgreSQL, a bucket and an MLflow server."""

from pathlib import Path
from subprocess import run

import pytest

from atalaia.app.auditing import verify_audit
from atalaia.connectors.atalaia import Client
from tests.journeys.persons import (
    PERSON,
    WATCH,
    answers,
    check_a_new_life,
    check_certificate,
    erase,
    holders,
    live,
    number_of,
)
from tests.journeys.servers import until
from tests.parts.buckets import rented
from tests.parts.journey import service
from tests.parts.mlflow_server import MlflowService
from tests.parts.postgres import Postgres, program

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]


def dumped(url: str, *but: str) -> str:
    """Return all rows of a database as text, those of some tables left out."""
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    left_out = [f"--exclude-table-data={table}" for table in but]
    told = run([program("pg_dump"), "--data-only", *left_out, plain], capture_output=True, check=True)
    return told.stdout.decode()


def test_a_person_is_erased_from_postgresql_a_bucket_and_a_server(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, mlflow_server: MlflowService
) -> None:
    url, bucket = postgres.new_database(), rented(request, "moto")
    more = {"database_url": url, "audit__segment_s": 1, "audit__export_every_s": 0.5}
    with service(tmp_path, bucket, mlflow_server.url, **more) as running, Client(running.url) as client:
        live(running, client)
        assert PERSON in dumped(url, "audit_events")
        before, old = answers(client), number_of(running, WATCH)
        told = erase(client)
        until(lambda: answers(client) == before, "the follower to be back", timeout_s=20)
        check_certificate(running, told)
        assert PERSON not in dumped(url, "audit_events")
        assert [name for name in holders(tmp_path) if not name.startswith(("audit/", "copies/audit/"))] == []
        objects = [found.key for found in running.atalaia.blobs.list("") if not found.key.startswith("audit/")]
        assert [key for key in objects if PERSON.encode() in running.atalaia.blobs.get(key)] == []
        assert any("mlflow gc" in one for one in told["certificate"]["to_do"])
        assert verify_audit(running.atalaia.settings).findings == []
        assert all(one.ok for one in running.atalaia.lifecycle.verification.verified())
        check_a_new_life(client)
        assert number_of(running, WATCH) != old
        assert answers(client) == before
