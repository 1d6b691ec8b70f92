"""`kill -9` of the worker in the middle of a wave: what has ended stays done, and all models change at once."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from atalaia.connectors.atalaia import Client, Point, TrainingConfig, Wave
from atalaia.core.models import ModelKey, Scope, Stage
from tests.faults.kills import SETTINGS, is_quiet, one_try
from tests.journeys.measurements import START_S, STEP_S, wave
from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow
FLEETS = {f"fleet {n}": [f"{n}/{member}" for member in range(3)] for n in range(6)}
WAVES = 2
KILLS = 3
"""For each wave: a job is given up after five attempts."""
POINTS = 4_000
CONFIG = TrainingConfig(algorithm="seasonal_profile")
Report = Callable[[str, object], None]


def test_a_wave_survives_kills_of_its_worker(tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261124)
    settings = {**SETTINGS, "signals__part_points": 10_000}
    servers = {role: Server(tmp_path / "data", role=role, **settings) for role in ("api", "worker", "predictor")}
    kills = begun_again = stayed = 0
    with ExitStack() as stack:
        for server in servers.values():
            stack.enter_context(server)
        worker, client = servers["worker"], stack.enter_context(one_try(servers["api"]))
        prepare(client)
        lasts_s = undisturbed(client)
        predictor = stack.enter_context(one_try(servers["predictor"]))
        until(lambda: versions_told(predictor) == frozenset({"v1"}), "the predictor to know the first wave")
        with asked_again_and_again(predictor) as told:
            for number in range(2, WAVES + 2):
                key = f"wave {number}"
                ref = client.waves.start(config=CONFIG, promote=True, idempotency_key=key)
                assert client.waves.start(config=CONFIG, promote=True, idempotency_key=key) == ref
                for _ in range(KILLS):
                    time.sleep(rng.uniform(0.0, 0.9 * lasts_s))
                    before = client.waves.get(ref.wave_id)
                    worker.kill()
                    kills += 1
                    stayed += before.completed
                    check_kept(before, client.waves.get(ref.wave_id))
                    check_production(client, (number - 1, number))
                    worker.start()
                ended = client.waves.wait(ref.wave_id, poll_s=0.1, timeout_s=60)
                assert (ended.completed, ended.failed, ended.empty) == (len(FLEETS), 0, 0)
                assert ended.promoted_at is not None
                check_production(client, (number,))
                until(lambda: versions_told(predictor) == frozenset({f"v{number}"}), "the predictor to swap")  # noqa: B023
        begun_again = sum(job.attempts - 1 for job in client.training.iterate())
    assert begun_again > 0
    assert stayed > 0
    # no answer ever mixed two waves, and each took over from the one before
    assert list(dict.fromkeys(told)) == [frozenset({f"v{number}"}) for number in range(1, WAVES + 2)]
    said = (
        f"{kills} kills during {WAVES} waves of {len(FLEETS)} fleets: {stayed} trainings done before a kill stayed "
    )
    said += f"done, {begun_again} begun again; {len(told)} batches scored meanwhile, none by two waves"
    print(said)
    record_property("waves", said)


def prepare(client: Client) -> None:
    """Fill the fleets with points, and wait until all are scored."""
    for fleet, members in FLEETS.items():
        for seed, series in enumerate(members):
            client.points.add(wave(POINTS, series, seed=seed))
        client.fleets.set(fleet, members)
    until(lambda: is_quiet(client), "all points to be scored", timeout_s=60)


def undisturbed(client: Client) -> float:
    """Do a first wave; return how long it took."""
    began = time.monotonic()
    ref = client.waves.start(config=CONFIG, promote=True)
    ended = client.waves.wait(ref.wave_id, poll_s=0.05, timeout_s=60)
    assert (ended.completed, ended.series) == (len(FLEETS), sum(map(len, FLEETS.values())))
    assert ended.promoted_at is not None
    return time.monotonic() - began


def check_kept(before: Wave, after: Wave) -> None:
    """Check that trainings which had ended are as they were."""
    now = {fleet.fleet_id: fleet for fleet in after.fleets}
    assert all(now[fleet.fleet_id] == fleet for fleet in before.fleets if fleet.status == "completed")


def check_production(client: Client, numbers: tuple[int, ...]) -> None:
    """Check that one of these versions is in Production for all fleets, and that no training made two."""
    found: set[int] = set()
    for fleet in FLEETS:
        model = client.models.get(ModelKey(Scope.FLEET, fleet))
        made = sorted(int(version.version[1:]) for version in model.versions)
        assert made == list(range(1, len(made) + 1))
        assert len({version.job_id for version in model.versions}) == len(made)
        found |= {int(v.version[1:]) for v in model.versions if v.stage == Stage.PRODUCTION}
    assert len(found) == 1
    assert found <= set(numbers)


def versions_told(predictor: Client) -> frozenset[str | None]:
    """Return which versions one batch over all fleets was answered by."""
    at = START_S + (POINTS + 10) * STEP_S
    answers = predictor.predict_batch([Point(name, at, 50.0) for members in FLEETS.values() for name in members])
    return frozenset(answer.model_info.version if answer.model_info else None for answer in answers)


@contextmanager
def asked_again_and_again(predictor: Client) -> Generator[list[frozenset[str | None]]]:
    """Yield what batches were answered by, which are sent one after another until the block ends."""
    told: list[frozenset[str | None]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            told.append(versions_told(predictor))
            time.sleep(0.005)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        done.set()
        thread.join()
