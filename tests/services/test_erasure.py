"""One person's data are erased from a site on PostgreSQL, a bucket and an MLflow server."""

from concurrent.futures import Future
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session

from atalaia.app.auditing import verify_audit
from atalaia.app.build import build
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from atalaia.core.points import Points
from atalaia.kit.erasures import Subject
from atalaia.signals.erasure import SeriesErasure
from atalaia.signals.intake import Delivery
from tests.journeys.measurements import START_S
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


def test_points_that_are_kept_while_their_series_is_erased_come_again_as_a_new_one(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    door, worker = (build(load_settings({"data_dir": tmp_path, "database_url": url})) for _ in range(2))
    at = START_S * MICROS

    def keep(value: float, *, asks: bool) -> Future[Any]:
        def prepare(session: Session) -> tuple[Points, dict[str, Any]]:
            numbers = door.signals.catalogue.resolve(session, ["a"])[0] if asks else np.array([1], np.int32)
            return Points(numbers, np.array([at]), np.array([value])), {"number": int(numbers[0])}

        return door.signals.intake.submit(Delivery(prepare, 1, can_fail=asks))

    assert keep(1.0, asks=True).result(10) == {"number": 1}
    append, ids = door.signals.history.append, list[int]()

    def late(session: Session, points: Points) -> None:
        if not ids:  # after this process has looked whether the series is there, before the points are
            ids.append(1)
            SeriesErasure(worker.signals).bury(Subject("series_id", "a"), lambda *given: None)
        append(session, points)

    monkeypatch.setattr(door.signals.history, "append", late)
    refused = keep(2.0, asks=False).exception(20)
    assert isinstance(refused, Unavailable)
    assert refused.code == "series_erased"
    assert keep(3.0, asks=True).result(10) == {"number": 2}
    assert door.signals.history.read([1], 0, 1 << 62).values.tolist() == []
    assert door.signals.history.read([2], 0, 1 << 62).values.tolist() == [3.0]
    for one in (door, worker):
        one.signals.intake.stop()
        one.database.close()
