"""`kill -9` at random moments: nothing acknowledged is lost or doubled, and the service comes back by itself."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.connectors.atalaia import Client, Job, TrainingConfig
from atalaia.connectors.mlflow import registered_name
from atalaia.core.models import ModelKey, Scope, Stage
from tests.faults.kills import (
    KILLS,
    SETTINGS,
    Diary,
    WrittenDiary,
    attempt,
    champions,
    is_quiet,
    killed_after,
    one_try,
    restart_until_ready,
)
from tests.journeys.measurements import wave
from tests.journeys.servers import Server, until
from tests.kit.fakes import in_threads

pytestmark = pytest.mark.slow
Report = Callable[[str, object], None]


def key_of(series_id: str) -> ModelKey:
    return ModelKey(Scope.SERIES, series_id)


def assert_ends_well(server: Server) -> None:
    assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]


def test_points_survive_kills_during_ingest(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261120)
    server = Server(tmp_path / "data", **SETTINGS)
    diary = Diary(("a", "b/c", "água"), batch=40)
    starts = 0
    for turn in range(KILLS):
        starts += restart_until_ready(server, rng)
        with one_try(server) as client, killed_after(server, rng.uniform(0.02, 0.7)):
            while diary.write(client):
                pass
        if turn % 5 == 4:
            with server, one_try(server) as client:
                diary.write(client)
                diary.check(client)
                server.kill()
    server.start()
    with one_try(server) as client:
        diary.write(client)
        diary.check_counts(client)
        diary.check(client)
        assert {job.status for job in client.jobs.list(limit=1000).items} == {"completed"}
    assert_ends_well(server)
    told = f"{KILLS} kills during ingest and {starts} while starting: {diary.acknowledged} points acknowledged in "
    told += f"{diary.sent} batches, {diary.retried} sent again; ready in {np.median(server.ready_s):.2f} s"
    print(told)
    record_property("ingest", told)


def test_all_doors_survive_kills_under_full_load(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261125)
    server = Server(tmp_path / "data", **SETTINGS)
    diaries = [Diary((f"json {i}", f"json/{i}"), batch=50, overwrite=10 * i) for i in range(2)]
    written = [WrittenDiary(f"written_{i}") for i in range(2)]
    for _ in range(KILLS // 2):
        server.start()
        with killed_after(server, rng.uniform(0.2, 1.5)):
            in_threads(4, lambda i: load(server, diaries[i] if i < 2 else written[i - 2]))
    server.start()
    with one_try(server) as client, server.http() as http:
        for diary in diaries:
            diary.write(client)
        for diary in written:
            assert diary.write(http)
        until(lambda: is_quiet(client), "all to be scored and done")
        for diary in diaries:
            diary.check_counts(client)
            diary.check(client)
        for diary in written:
            diary.check(client)
    assert_ends_well(server)
    told = f"{KILLS // 2} kills with four senders at once: {sum(d.sent for d in diaries)} batches of JSON and "
    told += f"{sum(d.sent for d in written)} of remote write acknowledged, all there once"
    print(told)
    record_property("all doors", told)


def load(server: Server, diary: Diary | WrittenDiary) -> None:
    """Send until the service is gone."""
    if isinstance(diary, Diary):
        with one_try(server) as client:
            while diary.write(client):
                pass
        return
    with server.http() as http:
        while diary.write(http):
            pass


def test_history_survives_kills_during_compaction(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261121)
    settings: dict[str, Any] = {**SETTINGS, "signals__compact_after_points": 1}
    server = Server(tmp_path / "data", **settings)
    diary = Diary(("a", "b"), batch=2_000, overwrite=500)
    for turn in range(KILLS):
        server.start()
        with one_try(server) as client:
            assert all(diary.write(client) for _ in range(2))
            if turn % 2:
                until(lambda: compacting(client), "a compaction", pause_s=0.002)
                time.sleep(rng.uniform(0.0, 0.015))
                server.kill()
            else:
                with killed_after(server, rng.uniform(0.0, 0.4)):
                    while diary.write(client):
                        time.sleep(0.03)
        if turn % 7 == 6:
            with server, one_try(server) as client:
                diary.write(client)
                diary.check(client)  # while blocks are written and merged
                until(lambda: is_quiet(client), "the compactions")
                diary.check(client)
                server.kill()
    server.start()
    with one_try(server) as client:
        diary.write(client)
        diary.check_counts(client)
        diary.check(client)
        jobs = [job for job in all_jobs(client) if job.kind == "compact_history"]
    assert {job.status for job in jobs} == {"completed"}
    interrupted = sum(job.attempts - 1 for job in jobs)
    assert interrupted > 0
    assert_ends_well(server)
    told = (
        f"{KILLS} kills during compaction: {len(jobs)} compactions completed, {interrupted} of them begun again; "
    )
    told += f"{diary.acknowledged} points acknowledged, all there once"
    print(told)
    record_property("compaction", told)


def compacting(client: Client) -> bool:
    return any(job.kind == "compact_history" for job in client.jobs.list(status="processing").items)


def all_jobs(client: Client) -> list[Job]:
    items: list[Job] = []
    cursor = None
    while True:
        page = client.jobs.list(limit=1000, cursor=cursor)
        items += page.items
        cursor = page.next
        if cursor is None:
            return items


def test_trainings_survive_kills(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261122)
    server = Server(tmp_path / "data", **SETTINGS)
    names = ["pump 1", "pump/2", "bomba 3"]
    config = TrainingConfig(24, "robust_zscore")
    server.start()
    with one_try(server) as client:
        for name in names:
            client.points.add(wave(2_000, name))
        began = time.monotonic()
        first = client.training.start(key_of(names[0]), config)
        assert client.jobs.wait(first.job_id, poll_s=0.02).status == "completed"
        lasts_s = time.monotonic() - began
    accepted = {first.job_id: names[0]}
    for turn in range(KILLS // 2):
        ref = None
        for _ in range(2):  # every second kill hits what the one before has left behind
            server.start_unless_running()
            with one_try(server) as client, killed_after(server, rng.uniform(0.0, lasts_s)):
                ref = ref or attempt(lambda: start(client, names[turn % 3], config, f"training {turn}"))  # noqa: B023
        server.start()
        with one_try(server) as client:
            ref = ref or start(client, names[turn % 3], config, f"training {turn}")
            accepted[ref.job_id] = names[turn % 3]
            until(lambda: is_quiet(client), "the trainings that were begun")
            check_trainings(client, accepted)
    with one_try(server) as client:
        jobs = check_trainings(client, accepted)
    assert_ends_well(server)
    begun_again = sum(job.attempts - 1 for job in jobs)
    assert begun_again > 0
    told = f"{KILLS} kills during training: {len(jobs)} jobs accepted and completed, {begun_again} attempts begun "
    told += f"again, {len(jobs)} versions without a gap"
    print(told)
    record_property("training", told)


def start(client: Client, name: str, config: TrainingConfig, key: str) -> Any:
    return client.training.start(key_of(name), config, idempotency_key=key)


def check_trainings(client: Client, accepted: dict[str, str]) -> list[Job]:
    """Check that every accepted job has completed and made exactly one version of its series; return the jobs."""
    jobs = list(client.training.iterate())
    assert {job.job_id for job in jobs} == set(accepted)
    assert {job.status for job in jobs} == {"completed"}
    for name in sorted(set(accepted.values())):
        versions = client.models.get(key_of(name)).versions
        numbers = sorted(int(version.version[1:]) for version in versions)
        assert numbers == list(range(1, len(numbers) + 1))
        made = {version.job_id: version.version for version in versions}
        wanted = {job.job_id: job.model_version for job in jobs if accepted[job.job_id] == name}
        assert made == wanted
        assert {version.stage for version in versions} == {"Staging"}
    return jobs


def test_promotions_survive_kills(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261123)
    server = Server(tmp_path / "data", **SETTINGS)
    names = ["pump 1", "pump/2"]
    lasts_s = prepare_versions(server, names, KILLS // 2 + 1)
    answered = done_unseen = 0
    for turn in range(KILLS):
        name, number = names[turn % 2], turn // 2 + 2
        with one_try(server) as client, killed_after(server, rng.uniform(0.0, 5 * lasts_s)):
            answer = attempt(lambda: promote(client, name, number))  # noqa: B023
        answered += answer is not None
        server.start()
        with one_try(server) as client:
            before = check_deployment(client, name)
            assert before in (number - 1, number)
            assert before == number or answer is None
            done_unseen += before == number and answer is None
            again = promote(client, name, number)  # under the same key: it is done once
            assert (again.version, again.previous_version) == (f"v{number}", f"v{number - 1}")
            assert check_deployment(client, name) == number
            check_deployment(client, names[1 - turn % 2])
    with one_try(server) as client:
        wanted = {registered_name(key_of(name)): f"v{check_deployment(client, name)}" for name in names}
        until(lambda: champions(server.data_dir) == wanted, "MLflow to know the champions")
    assert_ends_well(server)
    told = f"{KILLS} kills during promotion: {answered} answered before, {done_unseen} done but not answered, "
    told += f"{KILLS - answered - done_unseen} not done; each done once when asked again"
    print(told)
    record_property("promotion", told)


def prepare_versions(server: Server, names: list[str], count: int) -> float:
    """Train `count` versions of each series, promote the first, leave the service running.

    Return how long a promotion takes.
    """
    server.start()
    with one_try(server) as client:
        for name in names:
            client.points.add(wave(300, name))
        config = TrainingConfig(24, "statistical")
        for _ in range(count):
            for name in names:
                client.training.start(key_of(name), config)
        until(lambda: is_quiet(client), "the trainings", pause_s=0.2)
    server.kill()
    server.start()
    with one_try(server) as client:
        began = time.monotonic()
        promote(client, names[0], 1)
        lasts_s = time.monotonic() - began  # the first request of a process, as those that are killed
        promote(client, names[1], 1)
    return lasts_s


def promote(client: Client, name: str, number: int) -> Any:
    return client.models.promote(key_of(name), f"v{number}", idempotency_key=f"promote {name} {number}")


def check_deployment(client: Client, name: str) -> int:
    """Check that all who speak of the model in Production name the same one; return its number."""
    model = client.models.get(key_of(name))
    live = [version for version in model.versions if version.stage == Stage.PRODUCTION]
    deployed = client.models.deployment(key_of(name))
    answer = client.predict(name, 50.0, 1_800_000_000)
    assert len(live) == 1
    assert answer.model_info is not None
    told = {live[0].version, model.production_version, deployed.version, answer.model_info.version}
    assert told == {live[0].version}
    assert deployed.artifact["sha256"] == live[0].sha256
    assert answer.model_info.loaded_from == "mlflow"
    number = int(live[0].version[1:])
    stages = {version.version: version.stage for version in model.versions}
    assert stages == {
        f"v{n}": "Archived" if n < number else "Production" if n == number else "Staging"
        for n in range(1, len(stages) + 1)
    }
    return number
