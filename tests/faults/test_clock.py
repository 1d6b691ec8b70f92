"""The clock of the machine jumps by hours, forward and back, under running processes (libfaketime)."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client, Columns, TrainingConfig
from atalaia.core.clock import now_us
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.signing import load_key
from tests.faults.outages import KEY, Sender, assert_nothing_lost
from tests.journeys.measurements import wave
from tests.journeys.servers import Server, until
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow
LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOURS = (3, -3)
SETTINGS: dict[str, Any] = {
    "schedule_every_s": 0.5,
    "lifecycle__cooldown_s": 0,
    "signals__store_memory_s": 0.3,
    "signals__compact_after_points": 200,
    "signals__compact_after_s": 1,
    "signals__follow_lease_s": 3,
    "job_lease_s": 3,
}


class Machine:
    """Processes whose clock is ours and some hours, which may change at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.variables = {
            "LD_PRELOAD": str(LIBRARY[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def jump(self, hours: float) -> None:
        """Put the clock some hours ahead of ours."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours:+g}h\n" if hours else "+0\n")
        new.rename(self._file)
        time.sleep(1.5)  # processes look at the file every second


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Make a machine."""
    assert LIBRARY, "install the package faketime, as `make setup-parts` does for root"
    return Machine(tmp_path / "clock")


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Make a database."""
    return postgres.new_database()


@pytest.fixture
def roles(url: str, machine: Machine, tmp_path: Path) -> Iterator[dict[str, Server]]:
    """Run a site with two schedulers, and an API that wants tokens."""
    with ExitStack() as stack:
        found = {
            name: Server(
                tmp_path / "data",
                role=name.split("-")[0],
                database_url=url,
                **SETTINGS,
                **({"auth__mode": "on"} if name == "api-guarded" else {}),
            )
            for name in ("api", "api-guarded", "worker", "scheduler", "scheduler-two")
        }
        for name, one in found.items():
            one.log, one.variables = tmp_path / f"{name}.log", machine.variables
            stack.push(one)
            one.start(wait=False)
        for one in found.values():
            one.wait_ready()
        yield found


def test_a_clock_that_jumps_loses_and_breaks_nothing(
    machine: Machine, roles: dict[str, Server], url: str, tmp_path: Path
) -> None:
    jobs: list[str] = []
    with roles["api"].client() as client:
        client.points.add(wave(500, KEY.name))
        with Sender(roles["api"]) as sender:
            jobs += works(client, roles, url)
            client.models.promote(KEY, client.jobs.get(jobs[0]).model_version or "")
            time.sleep(2)  # the worker looks for promotions every second
            for number, hours in enumerate(HOURS):
                waiting = client.training.start(KEY, TrainingConfig(24)).job_id  # asked for by the old clock
                machine.jump(hours)
                began = time.monotonic()
                client.points.add(shift(number))
                jobs += [done(client, waiting), *works(client, roles, url)]
                print(f"after a jump to {hours:+d} h all went on within {time.monotonic() - began:.2f} s")
                assert tokens(roles["api-guarded"], tmp_path) == (401, 200), "a token of minutes, and one of a year"
            assert not sender.refused
        assert_nothing_lost(roles, sender)
        assert len(set(jobs)) == len(jobs)
        kept = client.series.points(KEY.name, limit=100_000).points
        assert [point.timestamp for point in kept] == sorted({point.timestamp for point in kept})
        assert len(kept) == 500 + 30 * len(HOURS)
        opened = client.anomalies.list(series_id=KEY.name).items
        assert [(one.state, one.points) for one in opened] == [("open", 30 * len(HOURS))]
    for server in roles.values():
        assert "Traceback" not in server.log.read_text()


def shift(number: int) -> Columns:
    """Return the next points of the series, on another level: one anomaly, whatever the clock says."""
    points = wave(30, KEY.name, start=500 + 30 * number)
    points.values[:] += 100
    return points


def done(client: Client, job_id: str) -> str:
    """Wait for a job."""
    job = client.jobs.wait(job_id, timeout_s=40)
    assert (job.status, job.error) == ("completed", None)
    return job_id


def works(client: Client, roles: dict[str, Server], url: str) -> list[str]:
    """Check that points are scored, trainings end, blocks are written and one scheduler leads; return the jobs."""
    job_id = done(client, client.training.start(KEY, TrainingConfig(24)).job_id)
    before = compactions(client)
    until(lambda: client.health().scoring_lag_rows == 0, "points to be scored", timeout_s=30)
    until(lambda: compactions(client) - before, "history to become blocks", timeout_s=60)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        owners = connection.execute("SELECT owner FROM leases WHERE name = 'scheduler'").fetchall()
    assert len(owners) == 1
    pids = {f":{roles[name].pid}:" for name in ("scheduler", "scheduler-two")}
    assert any(pid in owners[0][0] for pid in pids)
    return [job_id]


def compactions(client: Client) -> set[str]:
    """Return the compactions that ended well."""
    jobs = client.jobs.list(status="completed", limit=200).items
    return {job.job_id for job in jobs if job.kind == "compact_history"}


def tokens(server: Server, folder: Path) -> tuple[int, int]:
    """Return what is answered to a token of fifteen minutes from our clock, and to one of a year from a day ago."""
    key = load_key(None, load_settings({"data_dir": folder / "data"}).data_dir)
    short = key.sign("service:short", Role.ADMIN, 900)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atalaia.kit.auth.signing.now_us", lambda: now_us() - 86_400 * 1_000_000)
        long = key.sign("service:long", Role.ADMIN, 366 * 86_400)[0]
    with server.http() as http:
        asked = [
            http.get("/api/v1/series", headers={"Authorization": f"Bearer {token}"}).status_code
            for token in (short, long)
        ]
    return asked[0], asked[1]
