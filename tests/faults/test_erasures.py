"""An erasure that is killed at any moment goes on where it was, and nothing is left or counted twice."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.app.build import Atalaia, build
from atalaia.app.erasure.work import Erasing
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client
from atalaia.connectors.mlflow import MlflowRegistry
from atalaia.core.clock import MICROS
from atalaia.core.errors import Missing
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import Points
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.erasures import Subject, certified, judge
from atalaia.kit.signatures import Verdict
from atalaia.lifecycle.training import Config
from atalaia.signals.intake import Delivery
from tests.faults.kills import SETTINGS, attempt, one_try
from tests.journeys.measurements import START_S
from tests.journeys.persons import PERSON, fill, holders
from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow
ADA, BOB, EVE = f"steps of {PERSON}", "steps of bob", "steps of eve"
FLEET = ModelKey(Scope.FLEET, "steps")
SUBJECT = Subject("series_id", ADA)


class Killed(BaseException):
    """The process is gone."""


class Kills:
    """Kills the process once at each place."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def at(self, place: str) -> None:
        if place not in self.seen:
            self.seen.add(place)
            raise Killed(place)


def opened(folder: Path) -> Atalaia:
    told = {"data_dir": folder, "job_lease_s": 0.3, "job_backoff_s": 0.05, "lifecycle.cooldown_s": 0}
    return build(load_settings(told))


def keep(atalaia: Atalaia, start: int, count: int, *names: str) -> None:
    def prepare(session: Any) -> tuple[Points, dict[str, Any]]:
        numbers, _ = atalaia.signals.catalogue.resolve(session, names)
        series = np.repeat(numbers, count)
        stamps = np.tile((START_S + np.arange(start, start + count, dtype=np.int64) * 60) * MICROS, len(names))
        return Points(series, stamps, np.sin(stamps / 7e8) + (series % 3).astype(np.float64)), {}

    atalaia.signals.intake.submit(Delivery(prepare, 1, True)).result(30)


def work(atalaia: Atalaia) -> None:
    while atalaia.worker.work_once():
        pass


def train(atalaia: Atalaia, key: ModelKey) -> None:
    with atalaia.database.write() as session:
        atalaia.lifecycle.training.request(session, key, Config("statistical", {}, 24.0), None, 5)
    work(atalaia)
    with atalaia.database.write() as session:
        atalaia.lifecycle.promotion.promote(session, key, 1, archive_previous=True)


def lived_in(folder: Path) -> Atalaia:
    """Return a site with blocks, a tail, models of a series and of a fleet."""
    atalaia = opened(folder)
    keep(atalaia, 0, 300, ADA, BOB, EVE)
    while atalaia.signals.scoring.drain():
        pass
    atalaia.signals.scoring.release()
    with atalaia.database.write() as session:
        atalaia.queue.enqueue(session, "compact_history", {}, subject="history")
    work(atalaia)
    with atalaia.database.write() as session:
        atalaia.signals.label(session, ADA, {"user": PERSON})
        atalaia.signals.catalogue.set_fleet(session, FLEET.name, [ADA, BOB, EVE])
    train(atalaia, FLEET)
    train(atalaia, ModelKey(Scope.SERIES, ADA))
    keep(atalaia, 300, 50, ADA, BOB)
    return atalaia


def shown(atalaia: Atalaia) -> list[Any]:
    """Return what there is of others: points, and rows of the model of the fleet."""
    with atalaia.database.read() as session:
        numbers = [atalaia.signals.catalogue.number(session, name) for name in (BOB, EVE)]
        version = atalaia.lifecycle.deployment(session, FLEET)
    points = atalaia.signals.history.read(numbers, 0, 1 << 62)
    model = atalaia.lifecycle._load(version)
    rows = [model.series_ids.index(name) for name in (BOB, EVE)]
    arrays = [array[rows].tobytes() for array in (*model.state.values(), model.readiness)]
    return [points.series.tobytes(), points.timestamps.tobytes(), points.values.tobytes(), arrays]


def killed_everywhere(monkeypatch: pytest.MonkeyPatch, kills: Kills) -> None:
    """Kill before and after the commit of each step, and in the midst of what no transaction holds."""
    done, work = Erasing._done, Erasing.work

    def dying_before(self: Erasing, *given: Any) -> None:
        done(self, *given)
        kills.at(f"before the commit of step {self._step}")

    def dying_after(step: Callable[[], None], number: int) -> Callable[[], None]:
        def act() -> None:
            step()
            kills.at(f"after step {number}")

        return act

    def begin(self: Erasing) -> Any:
        self.steps = tuple(dying_after(step, i) for i, step in enumerate(self.steps))
        return work(self)

    monkeypatch.setattr(Erasing, "_done", dying_before)
    monkeypatch.setattr(Erasing, "work", begin)
    for kind, name in (
        (Blobs, "delete"),
        (Blobs, "put"),
        (MlflowRegistry, "_remove"),
        (MlflowRegistry, "_removed"),
        (MlflowRegistry, "_keep"),
        (Database, "scrub"),
    ):
        killing(monkeypatch, kills, kind, name)


def killing(monkeypatch: pytest.MonkeyPatch, kills: Kills, kind: type, name: str) -> None:
    real = getattr(kind, name)

    def act(*given: Any) -> Any:
        told = real(*given)
        kills.at(f"behind {name}")
        return told

    monkeypatch.setattr(kind, name, act)


def test_an_erasure_goes_on_wherever_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atalaia = lived_in(tmp_path)
    before = shown(atalaia)
    with atalaia.database.write() as session:
        asked = atalaia.erasures.ask(session, SUBJECT)
    kills, job_ids = Kills(), {asked.job.job_id}
    killed_everywhere(monkeypatch, kills)
    until = time.monotonic() + 60
    while True:
        assert time.monotonic() < until
        try:
            atalaia.worker.work_once()
        except Killed:
            atalaia.signals.intake.stop()
            atalaia.database.close()
            atalaia = opened(tmp_path)
        with atalaia.database.write() as session:
            again = atalaia.erasures.ask(session, SUBJECT) if unended(session, asked.erasure_id) else None
        if again is None:
            break
        assert again.erasure_id == asked.erasure_id
        job_ids.add(again.job.job_id)
    assert len(kills.seen) >= 2 * 11 + 6  # steps that are done, and what happens between
    with atalaia.database.read() as session:
        told = certified(session, asked.erasure_id)
    assert judge(atalaia.signatures, told) is Verdict.GOOD
    counts = told["certificate"]["counts"]
    assert counts["block_points_erased"] + counts["tail_points_erased"] == 350
    assert (counts["series_blanked"], counts["models_removed"], counts["versions_rewritten"]) == (1, 1, 1)
    assert shown(atalaia) == before
    left = [name for name in holders(tmp_path) if not name.startswith(("audit/", "blobs/audit/", "atalaia.db"))]
    assert left == []
    assert set(told["certificate"]["search"]["rows"]) == {"audit_events"}
    assert all(one.ok for one in atalaia.lifecycle.verification.verified())
    atalaia.signals.intake.stop()
    atalaia.database.close()


def unended(session: Any, erasure_id: str) -> bool:
    try:
        certified(session, erasure_id)
    except Missing:
        return True
    return False


def test_an_erasure_survives_kill_9(tmp_path: Path) -> None:
    rng = np.random.default_rng(20261127)
    server = Server(tmp_path / "data", **SETTINGS)
    server.start()
    with one_try(server) as client:
        fill(client, 0, 600, ADA, BOB)
        kept = client.series.points(BOB, from_=START_S, limit=1_000).points
        until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored")
        asked = client.privacy.erase(series_id=ADA)
    kills = 0
    while True:
        time.sleep(rng.uniform(0.0, 0.5))
        server.kill()
        kills += 1
        server.start()
        with one_try(server) as client:
            if attempt(lambda: is_done(client, asked.job_id)) or kills >= 6:
                break
    with one_try(server) as client:
        until(lambda: is_done(client, asked.job_id), "the erasure")
        told = client.privacy.certificate(asked.certificate_id).certificate
        assert told["counts"]["block_points_erased"] + told["counts"]["tail_points_erased"] == 600
        assert client.series.points(BOB, from_=START_S, limit=1_000).points == kept
        assert client.privacy.find(series_id=BOB).series == 1
    assert server.stop() == 0
    left = [
        name for name in holders(tmp_path / "data") if not name.startswith(("audit/", "blobs/audit/", "atalaia"))
    ]
    assert left == []


def is_done(client: Client, job_id: str) -> bool:
    job = client.jobs.get(job_id)
    assert job.status != "failed", job.error
    return job.status == "completed"
