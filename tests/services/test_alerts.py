"""The alerts, live: a real fault makes each fire in Alertmanager, and its end makes it go.

The rules are those that we ship; only their times are seconds (`quickened`), and so is the age of a backup: twice
the schedule, as the guide says, which is 8 s here. All other thresholds are the real ones.
"""

import re
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import psycopg
import pytest

from atalaia.connectors.atalaia import Client, Columns, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.faults.conftest import mounted
from tests.journeys.measurements import MICROS, START_S, STEP_S, wave
from tests.journeys.servers import Server, until
from tests.parts.postgres import Postgres
from tests.parts.prometheus import Alertmanager, Prometheus, quickened
from tests.services.test_alert_rules import RULES, alerts

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.SERIES, "pump")
ROLES = ("api", "predictor", "worker", "scheduler")
CROWD = 1_001
BACKUP_S = 4
DISK = "160m"
PATIENCE_S = 40.0
JSON = {"Content-Type": "application/json"}
SETTINGS: dict[str, Any] = {
    "schedule_every_s": 0.5,
    "lifecycle__cooldown_s": 0,
    "job_backoff_s": 0.2,
    "database__connect_timeout_s": 2,
    "signals__store_memory_s": 0.3,
    "signals__fleet_rules": '[{"match": "crowd/*", "fleet": "{}"}]',
    "backup__every_hours": BACKUP_S / 3600,
    "backup__keep_newest": 1,
}


@dataclass
class Stage:
    """A site with what watches it."""

    server: Postgres
    database_url: str
    roles: dict[str, Server]
    disk: Path
    backups: Path
    alertmanager: Alertmanager
    seen: set[str]
    cleared: set[str]

    @contextmanager
    def expecting(self, *names: str) -> Generator[None]:
        """Check that none of these alerts fires before, all do after a fault, and none when it is over.

        What is within the block is the fault; it goes on until all have fired.
        """
        assert not self.alertmanager.names() & set(names)
        yield
        self.cleared |= set(names)
        began = time.monotonic()
        until(lambda: not self.alertmanager.names() & set(names), f"{names} to be resolved", timeout_s=PATIENCE_S)
        print(f"{', '.join(names)} resolved after {time.monotonic() - began:.1f} s")

    def fires(self, *names: str) -> None:
        """Return once each of these has come to Alertmanager, at whatever time."""
        began = time.monotonic()
        missing = set(names)
        while missing := missing - self.alertmanager.names():
            assert time.monotonic() < began + PATIENCE_S, f"waited in vain for {', '.join(missing)}"
            time.sleep(0.1)
        self.seen |= set(names)
        print(f"{', '.join(names)} fired after {time.monotonic() - began:.1f} s")

    def http(self, role: str = "api") -> httpx.Client:
        """Return a plain client of a role."""
        return self.roles[role].http()


@contextmanager
def again_and_again(act: Callable[[], object], *, pause_s: float = 0.05, threads: int = 1) -> Generator[None]:
    """Do something in threads until the block ends."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                act()
                stop.wait(pause_s)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join(30)
    assert not errors, errors[0]


@pytest.fixture(scope="module")
def stage(parts_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run the site: all roles on PostgreSQL, their data on a small disk."""
    folder = tmp_path_factory.mktemp("alerts")
    backups = folder / "backups"
    backups.mkdir()
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(folder / "disk", DISK))
        server = stack.enter_context(Postgres(parts_folder / "postgres-of-alerts"))
        url = server.new_database()
        settings = {**SETTINGS, "database_url": url, "backup__to": str(backups)}
        roles = {role: Server(disk / "data", role=role, **settings) for role in ROLES}
        for role, one in roles.items():
            one.log = folder / f"{role}.log"
            one.start(wait=False)
            stack.push(one)
        for one in roles.values():
            one.wait_ready()
        prepare(roles)
        rules = quickened(RULES.read_text()).replace("> 43200", f"> {2 * BACKUP_S}")
        alertmanager = stack.enter_context(Alertmanager(folder / "alertmanager"))
        targets = {"atalaia": [one.port for one in roles.values()]}
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", rules, targets, alertmanager))
        until(lambda: prometheus.value('sum(up{job="atalaia"})') == len(ROLES), "all roles to be scraped")
        time.sleep(3)
        await_quiet(alertmanager)
        yield Stage(server, url, roles, disk, backups, alertmanager, set(), set())
        assert prometheus.unhealthy() == []


def prepare(roles: dict[str, Server]) -> None:
    """Send history, put a model into Production, and make a fleet for each of many series."""
    with roles["api"].client() as client, roles["predictor"].client() as asks:
        client.points.add(wave(500, KEY.name))
        crowd = [f"crowd/{number}" for number in range(CROWD)]
        client.points.add(Columns(crowd, np.full(CROWD, START_S * MICROS), np.ones(CROWD)))
        job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
        client.models.promote(KEY, job.model_version or "")
        until(lambda: version(asks) == "v1", "the predictor to have the model")
        for _ in range(300):  # those that came too early count as missed for five minutes
            asks.predict(KEY.name, 50.0, START_S)


def await_quiet(alertmanager: Alertmanager) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while firing := alertmanager.names():
        assert time.monotonic() < deadline, firing
        time.sleep(0.2)


def version(asks: Client) -> str | None:
    told = asks.predict(KEY.name, 50.0, START_S).model_info
    return told.version if told else None


def points_of(series_id: str, first: int, values: list[float]) -> dict[str, Any]:
    stamps = [START_S + (first + i) * STEP_S for i in range(len(values))]
    return {"series_ids": [series_id] * len(values), "timestamps": stamps, "values": values}


def test_only_times_are_changed() -> None:
    def timeless(rules: str) -> str:
        return re.sub(r"(\[|for: |interval: )\d+[smhd]", r"\1", rules)

    text = RULES.read_text()
    quick = quickened(text)
    assert quick != text
    assert timeless(quick) == timeless(text)
    assert set(re.findall(r"(?:\[|for: |interval: )(\d+[smhd])", quick)) == {"1s", "5s", "8s"}


def test_a_disk_that_fills_and_backups_that_fail(stage: Stage) -> None:
    ballast = stage.disk / "ballast"
    with stage.expecting("DiskAlmostFull", "BackupTooOld"):
        stage.backups.rename(stage.backups.with_name("away"))
        stage.backups.write_text("this is no folder")
        ballast.write_bytes(b"x" * (shutil.disk_usage(stage.disk).free - 9 * 2**20))
        stage.fires("DiskAlmostFull", "BackupTooOld")
        ballast.unlink()
        stage.backups.unlink()
        stage.backups.with_name("away").rename(stage.backups)


def test_a_database_that_stops(stage: Stage) -> None:
    with stage.http() as api, stage.http("predictor") as predictor:

        def ask() -> None:
            api.post("/api/v1/points", json=points_of("sent", 0, [1.0]))
            predictor.post("/api/v1/predict/crowd%2F7", json={"timestamp": START_S, "value": 1.0})

        with stage.expecting("HighErrorRate", "ModelErrors"), again_and_again(ask):
            stage.server.stop()
            try:
                stage.fires("HighErrorRate", "ModelErrors")
            finally:
                stage.server.start()
        assert api.get("/health").json()["status"] == "ok"


def test_series_without_a_model(stage: Stage) -> None:
    with stage.http("predictor") as http:

        def ask() -> None:
            http.post("/api/v1/predict/crowd%2F7", json={"timestamp": START_S, "value": 1.0}).raise_for_status()

        with stage.expecting("LowCacheHitRate"):
            with again_and_again(ask, pause_s=0.002):
                stage.fires("LowCacheHitRate")
            for _ in range(3):  # what was asked in the last five minutes counts, so many good ones end it
                http.post("/api/v1/predict/batch", content=rows(10_000), headers=JSON).raise_for_status()


def test_a_table_that_somebody_locks(stage: Stage) -> None:
    """Series without a model wait for their statistics: slow, and answered all the same."""
    dsn = stage.database_url.replace("+psycopg", "")

    def lock() -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
            time.sleep(2)

    def ask() -> None:
        with stage.http("predictor") as http:
            http.post("/api/v1/predict/crowd%2F7", json={"timestamp": START_S, "value": 1.0}).raise_for_status()

    with stage.expecting("HighLatency", "ModelLatency"):
        with again_and_again(lock), again_and_again(ask, threads=4):
            stage.fires("HighLatency", "ModelLatency")
        with stage.http("predictor") as http:  # nobody is slow any more
            http.post("/api/v1/predict/batch", content=rows(10_000), headers=JSON).raise_for_status()


@cache
def rows(count: int) -> bytes:
    """Return the body of a batch of normal points of the series with a model."""
    points = [{"series_id": "pump", "timestamp": START_S + i, "value": 50.0} for i in range(count)]
    return msgspec.json.encode({"points": points})


def test_a_worker_that_is_gone(stage: Stage) -> None:
    worker = stage.roles["worker"]
    with stage.expecting("TrainingQueueBacklog", "ScoringFallsBehind", "AtalaiaDown"), stage.http() as http:
        worker.stop()
        fleets = [str(number) for number in range(CROWD)]
        http.post("/api/v1/training/waves", json={"fleets": fleets}).raise_for_status()
        for number in range(110):
            http.post("/api/v1/points", json=points_of("behind", number, [1.0])).raise_for_status()
        stage.fires("TrainingQueueBacklog", "ScoringFallsBehind", "AtalaiaDown")
        worker.start()


def test_data_that_change_and_people_who_are_not_amused(stage: Stage) -> None:
    """Strange points come: the anomaly rate rises, the model's data have drifted, and people call it noise."""
    names = ("HighAnomalyRate", "ModelDriftDetected", "LowAccuracy", "HighFalsePositiveRate")
    with stage.expecting(*names), stage.http() as http, stage.http() as sends:
        sent = [500]

        def send() -> None:
            strange = [150.0] * 10 + [50.0] * 15  # quiet points between, so that these are several anomalies
            sends.post("/api/v1/points", json=points_of("pump", sent[0], strange)).raise_for_status()
            sent[0] += len(strange)

        http.get("/api/v1/models/pump/metrics").raise_for_status()
        with again_and_again(send, pause_s=0.3):
            anomalies = until(lambda: some_ids(http, 4), "the anomalies")
            until(lambda: has_drifted(http), "the data to drift")
            for anomaly in anomalies:
                judge(http, anomaly, "noise")
            stage.fires(*names)
        for anomaly in anomalies * 10:
            judge(http, anomaly, "useful")


def some_ids(http: httpx.Client, count: int) -> list[str] | None:
    told = http.get("/api/v1/anomalies", params={"series_id": "pump", "limit": count}).raise_for_status().json()
    found = [anomaly["anomaly_id"] for anomaly in told["items"]]
    return found if len(found) == count else None


def has_drifted(http: httpx.Client) -> bool:
    answer = http.get("/api/v1/models/pump/metrics", params={"window": "1h"}).raise_for_status()
    return answer.json()["drift"]["drifted"] is True


def judge(http: httpx.Client, anomaly: str, kind: str) -> None:
    http.post(f"/api/v1/anomalies/{anomaly}/feedback", json={"kind": kind}).raise_for_status()


def test_each_alert_was_seen_and_went(stage: Stage) -> None:
    assert stage.seen == stage.cleared == set(alerts())
