"""A site is lost, and is there again: backed up while points came in, restored into an empty place."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from atalaia.app.backup import Site, Target, check, chosen, create, open_target, republish, restore, verify
from atalaia.app.build import build, open_blobs
from atalaia.app.diagnosis import diagnose
from atalaia.app.embedded import Embedded
from atalaia.app.settings import Settings
from atalaia.connectors.atalaia import Client
from atalaia.core.errors import Conflict
from atalaia.kit.jobs.rows import JobRow
from atalaia.kit.keys import SECRETS
from tests.journeys.servers import until
from tests.parts.buckets import Rented, rented
from tests.parts.journey import AT, KEY, SERIES, all_scored, blocks, send, service, stored, train_and_promote
from tests.parts.mlflow_server import MlflowService
from tests.parts.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]
Open = Callable[[Path], Embedded]


def site_of(settings: Settings) -> Site:
    return Site(settings, open_blobs(settings))


def told(client: Client) -> list[Any]:
    """Return what the site answers, ids and times left out."""
    answers = [client.predict(SERIES, value, AT) for value in (10.0, 50.0, 99.0)]
    return [
        (a.anomaly, a.anomaly_score, a.confidence, a.explanation, a.model_info and a.model_info.version)
        for a in answers
    ]


def found_anomalies(client: Client) -> list[Any]:
    return [(a.anomaly_id, a.series_id, a.from_, a.peak_score) for a in client.anomalies.list().items]


def points_of(running: Embedded) -> int:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as http:
        return stored(http)


def begin_job(running: Embedded) -> None:
    """Leave a job as if a worker had it when the site went down."""
    with running.atalaia.database.write() as session:
        running.atalaia.queue.enqueue(session, "compact_history", {}, subject="unheard of")
    with running.atalaia.database.write() as session:
        values = {"status": "processing", "lease": "lease_x", "lease_until": 2**60}
        session.execute(update(JobRow).where(JobRow.subject == "unheard of").values(values))


def put_back(apart: Path, settings: Settings) -> None:
    """Do as people do whose backups hold no keys, once they were told that their models are refused."""
    found = {one.check: one for one in diagnose(settings) if not one.ok}
    assert "unknown_key" in found.pop("models").detail
    assert found == {}
    shutil.copytree(apart, settings.data_dir / SECRETS)


def drill(opened: Open, settings: Settings, target: Target, lose: Callable[[], Settings]) -> None:
    """Fill a site, back it up while more points come, lose it, restore it, and hold it against what it was."""
    data = settings.data_dir
    with opened(data) as first, Client(first.url) as client:
        send(client, 0, 6_000)
        until(lambda: blocks(first), "the tail to become a block")
        assert train_and_promote(client) == "v1"
        full = create(site_of(settings), target)
        assert full.damaged == []
        send(client, 6_000, 1_500)  # more, of which the second backup knows
        all_scored(client)
        before, anomalies = told(client), found_anomalies(client)
        begin_job(first)
        second = create(site_of(settings), target)
        assert second.damaged == []
        assert second.snapshot_at > full.snapshot_at
        send(client, 7_500, 100)  # acknowledged after the snapshot: lost
    verify(target, second)
    apart = data.parent / "keys kept apart"
    shutil.copytree(data / SECRETS, apart)
    empty = lose()
    site = site_of(empty)
    restored = restore(site, target, chosen(target, None))
    assert restored.backup_id == second.backup_id
    assert restored.lost_s > 0
    with pytest.raises(Conflict, match="there is a site"):
        check(site, second, force=False)
    if target.sealer is None:
        put_back(apart, empty)
    atalaia = build(empty)
    try:
        assert republish(atalaia.database, atalaia.blobs, atalaia.registry) == (0, 0)
        with atalaia.database.read() as session:
            (job,) = atalaia.queue.list(session, kinds=("compact_history",), subject="unheard of")[0]
            assert job.status == "queued"
    finally:
        atalaia.close()
    assert [finding for finding in diagnose(empty) if not finding.ok] == []
    with opened(empty.data_dir) as again, Client(again.url) as client:
        all_scored(client)
        assert points_of(again) == 7_500
        assert told(client) == before
        assert found_anomalies(client) == anomalies
        assert client.models.get(KEY).production_version == "v1"
        send(client, 7_500, 200)  # and it goes on
        all_scored(client)
        assert points_of(again) == 7_700


def secret(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text("a passphrase of people\n")
    return file


@pytest.mark.parametrize("sealed", [False, True])
def test_an_embedded_site_comes_back(tmp_path: Path, sealed: bool) -> None:
    data, passphrase = tmp_path / "data", secret(tmp_path) if sealed else None

    def opened(folder: Path) -> Embedded:
        return service(folder, None, None, backup__passphrase_file=passphrase)

    settings = opened(data)._settings
    target = open_target(str(tmp_path / "backups"), settings.backup, settings.blobs)

    def lose() -> Settings:
        shutil.rmtree(data)
        return settings

    drill(opened, settings, target, lose)


def test_a_site_on_postgresql_and_s3_comes_back(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, mlflow_server: MlflowService
) -> None:
    first, second = rented(request, "moto"), rented(request, "moto")
    there: Rented = rented(request, "rclone")
    urls = [postgres.new_database(), postgres.new_database()]
    place = [(first, urls[0])]

    def opened(folder: Path) -> Embedded:
        given = {f"backup__bucket__{k}": v for k, v in there.told().items() if k != "blobs_url"}
        given = {name.replace("blobs__", ""): value for name, value in given.items()}
        more = {**given, "database_url": place[-1][1], "backup__passphrase_file": secret(tmp_path)}
        return service(folder, place[-1][0], mlflow_server.url, **more)

    settings = opened(tmp_path / "data")._settings
    target = open_target(there.url, settings.backup, settings.blobs)

    def lose() -> Settings:
        place.append((second, urls[1]))
        return opened(tmp_path / "elsewhere")._settings

    drill(opened, settings, target, lose)
