import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Busy, Invalid, Missing
from atalaia.core.facts import ModelRegistered
from atalaia.core.models import ModelKey, Scope, Stage, artefact_key
from atalaia.core.points import Group
from atalaia.kit.jobs import JobStatus
from atalaia.lifecycle import store
from atalaia.lifecycle.training import Config, Inline
from tests.lifecycle.builders import FLEET, SERIES, START_US, open_workshop, wave


def inline(count=10_000, seed=3):
    return Inline(START_US + np.arange(count, dtype=np.int64) * MICROS, wave(count, seed))


def test_a_training_ends_in_a_version_in_staging(workshop):
    job_id = workshop.request(hyperparameters={"threshold_sigma": 4.0})
    workshop.work()
    job = workshop.job(job_id)
    assert job.status == JobStatus.COMPLETED
    assert job.result["model_version"] == "v1"
    assert workshop.stages() == {"v1": "Staging"}
    assert workshop.told == [ModelRegistered("series:pump/7", 1, job_id)]
    assert workshop.registry.stages == {"series:pump/7 v1": Stage.STAGING}


def test_the_artefact_is_kept_under_its_checksum_and_published(workshop):
    job_id = workshop.request()
    workshop.work()
    published = workshop.registry.runs[job_id]
    kept = workshop.blobs.get(artefact_key(published.sha256), published.sha256)
    assert kept == published.data
    model = FleetModel.from_bytes(kept)
    assert model.series_ids == ("pump/7",)
    assert model.metrics()["points"] == 2_000
    assert published.parameters["hyperparameters"] == {"threshold_sigma": 3.0}


def test_versions_count_up(workshop):
    assert [workshop.train() for _ in range(3)] == ["v1", "v2", "v3"]


def test_a_fleet_is_one_model(workshop):
    workshop.history.fill("pump/8", wave(seed=2))
    workshop.history.fleets["pumps"] = ["pump/7", "pump/8"]
    assert workshop.train(FLEET) == "v1"
    with workshop.database.read() as session:
        _, (version,) = workshop.lifecycle.model(session, FLEET)
    assert version.series_count == 2


def test_the_window_ends_with_the_newest_point(workshop):
    job_id = workshop.request(window_hours=10.0)
    workshop.work()
    assert workshop.job(job_id).result["metrics"]["points"] == 10 * 60 + 1


def test_no_more_than_the_newest_points_are_learnt(tmp_path):
    with open_workshop(tmp_path, history_max_points=500) as shop:
        shop.history.fill("pump/7", np.concatenate([np.full(1_500, 1e6) + wave(1_500), wave(500)]))
        shop.train()
        (artefact,) = shop.registry.runs.values()
        model = FleetModel.from_bytes(artefact.data)
        row = np.zeros(1, np.int64)
        assert abs(model.score(row, np.array([START_US]), np.array([50.0])).expected[0] - 50.0) < 2.0


def test_inline_data_need_no_history(workshop):
    key = ModelKey(Scope.SERIES, "never seen")
    job_id = workshop.request(key, inline=inline())
    workshop.work()
    assert workshop.job(job_id).result["metrics"]["points"] == 10_000
    assert "bulk" not in workshop.job(job_id).payload


@pytest.mark.parametrize("count", [9_999, 100_001])
def test_inline_data_of_the_wrong_size_are_refused_before_a_job_exists(workshop, count):
    with pytest.raises(Invalid):
        workshop.request(inline=inline(count))
    assert workshop.queue.depth(["train"]) == 0


def test_an_unknown_series_or_fleet_is_refused_before_a_job_exists(workshop):
    with pytest.raises(Missing):
        workshop.request(ModelKey(Scope.SERIES, "nobody"))
    with pytest.raises(Missing):
        workshop.request(ModelKey(Scope.FLEET, "nobodies"))
    assert workshop.queue.depth(["train"]) == 0


def test_a_fleet_without_series_is_refused(workshop):
    workshop.history.fleets["pumps"] = []
    with pytest.raises(Invalid):
        workshop.request(FLEET)


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "code"),
    [
        ("crystal ball", {}, "unknown_algorithm"),
        ("statistical", {"threshold_sigma": -1}, "invalid_hyperparameters"),
        ("statistical", {"colour": "red"}, "invalid_hyperparameters"),
    ],
)
def test_a_wrong_config_is_refused(workshop, algorithm, hyperparameters, code):
    with pytest.raises(Invalid) as caught:
        workshop.request(algorithm=algorithm, hyperparameters=hyperparameters)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "values", [np.full(500, 3.0), wave(99), np.empty(0)], ids=["constant", "too short", "no points"]
)
def test_history_that_teaches_nothing_fails_the_job_for_good(workshop, values):
    workshop.history.fill("pump/7", values)
    job_id = workshop.request()
    workshop.work()
    job = workshop.job(job_id)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert job.error["code"] == "invalid_training_data"


def test_a_fleet_of_silent_series_fails(workshop):
    workshop.history.points["pump/7"] = (np.array([START_US]), np.array([1.0]))
    workshop.history.points["pump/8"] = (np.empty(0, np.int64), np.empty(0))
    workshop.history.fleets["pumps"] = ["pump/8"]
    job_id = workshop.request(FLEET)
    workshop.work()
    assert workshop.job(job_id).status == JobStatus.FAILED


def test_a_fleet_without_points_in_the_window_fails_unless_that_may_be(workshop):
    workshop.history.points["pump/8"] = (np.empty(0, np.int64), np.empty(0))
    workshop.history.fleets["pumps"] = ["pump/8"]
    ended: list[tuple[Any, ...]] = []
    workshop.lifecycle.training.on_ended(lambda session, *told: ended.append(told))
    strict, lenient = workshop.request(FLEET), workshop.request(FLEET, may_be_empty=True)
    workshop.work()
    assert workshop.job(strict).error["code"] == "invalid_training_data"
    assert workshop.job(lenient).status == JobStatus.COMPLETED
    assert workshop.job(lenient).result["skipped"] == "fleet:pumps has no points in the window"
    assert ended == [(lenient, 0, 0, 0)]
    with pytest.raises(Missing), workshop.database.read() as session:
        workshop.lifecycle.model(session, FLEET)


def test_who_asks_is_told_when_a_training_has_ended(workshop):
    ended: list[tuple[Any, ...]] = []
    workshop.lifecycle.training.on_ended(lambda session, *told: ended.append(told))
    job_id = workshop.request()
    workshop.work()
    assert ended == [(job_id, 1, 1, 2_000)]


def test_a_registry_that_is_down_makes_the_training_wait(workshop):
    workshop.registry.is_down = True
    job_id = workshop.request()
    workshop.worker.work_once()
    waiting = workshop.job(job_id)
    assert (waiting.status, waiting.error["code"]) == (JobStatus.QUEUED, "registry_unavailable")
    workshop.registry.is_down = False
    workshop.work()
    assert workshop.job(job_id).status == JobStatus.COMPLETED
    assert workshop.stages() == {"v1": "Staging"}


def test_a_second_training_within_the_cooldown_is_told_to_wait(tmp_path):
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        shop.history.fill("pump/7", wave())
        shop.history.fill("pump/8", wave())
        shop.train()
        with pytest.raises(Busy) as caught:
            shop.request()
        assert 290 < (caught.value.retry_after_s or 0.0) <= 300
        shop.request(ModelKey(Scope.SERIES, "pump/8"))  # another series may


def test_a_training_that_waits_is_not_asked_for_twice_however_long_that_takes(tmp_path):
    with open_workshop(tmp_path, cooldown_s=0.01) as shop:
        shop.history.fill("pump/7", wave())
        job_id = shop.request()
        time.sleep(0.02)
        with pytest.raises(Busy, match=f"{job_id} is training series:pump/7, or will"):
            shop.request()
        shop.work()
        shop.request()


def test_a_training_that_failed_does_not_count_for_the_cooldown(tmp_path):
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        shop.history.fill("pump/7", np.full(500, 1.0))
        shop.request()
        shop.work()
        shop.history.fill("pump/7", wave())
        shop.request()


def test_a_version_remembers_what_its_values_were_like(workshop):
    workshop.train()
    with workshop.database.read() as session:
        version = session.get_one(store.VersionRow, (str(SERIES), 1))
    assert len(version.learnt["reference"]) == 512
    assert version.learnt["reference"] == sorted(version.learnt["reference"])


def test_a_config_survives_the_queue():
    config = Config("statistical", {"threshold_sigma": 2.5}, 12.0)
    assert Config(**config.as_json()) == config


FLEET_IDS = [f"s{n}" for n in range(7)]


def histories() -> list[tuple[Any, Any]]:
    """Series of all kinds: with seasons and without, long, short and constant, with gaps, and without points."""
    rng = np.random.default_rng(11)
    minutes = np.arange(8 * 1_440, dtype=np.int64)
    daily = 50 + 10 * np.sin(minutes / 1_440 * 2 * np.pi) + rng.normal(0, 1, len(minutes))
    holed = np.where(rng.random(len(minutes)) < 0.1, np.nan, daily)
    values = [daily, holed, wave(300), np.full(40, 3.0), wave(9), np.empty(0), wave(1_000, seed=9) * 1e6]
    return [(START_US + minutes[: len(v)] * 60 * MICROS, v) for v in values]


@pytest.mark.parametrize("algorithm", DETECTORS)
@given(cuts=st.lists(st.integers(0, 6), max_size=4), order=st.permutations(range(7)))
@settings(max_examples=8, deadline=None)
def test_a_fit_in_parts_is_the_fit_of_the_whole_to_the_last_bit(algorithm, cuts, order):
    detector, pairs = make_detector(algorithm, {}), histories()
    whole = FleetModel.fit(detector, FLEET_IDS, Group.of(pairs))
    shares = np.split(np.array(order), sorted(cuts))
    parts = [(places, Group.of(pairs[place] for place in places)) for places in shares]
    cut = FleetModel.fit_parts(detector, FLEET_IDS, parts)
    assert cut.state.keys() == whole.state.keys()
    for name, array in whole.state.items():
        assert (cut.state[name].dtype, cut.state[name].tobytes()) == (array.dtype, array.tobytes()), name
    assert cut.readiness.tobytes() == whole.readiness.tobytes()
    assert cut.metrics() == pytest.approx(whole.metrics(), rel=1e-12)  # sums of floats, in another order


@pytest.mark.parametrize("algorithm", DETECTORS)
def test_the_artefact_of_a_fleet_does_not_depend_on_how_it_was_read(tmp_path, algorithm):
    made: list[FleetModel] = []
    for size in (1, 3, 7):
        (tmp_path / str(size)).mkdir()
        with open_workshop(tmp_path / str(size)) as shop:
            shop.history.points = dict(zip(FLEET_IDS, histories(), strict=True))
            shop.history.fleets["pumps"], shop.history.part_series = FLEET_IDS, size
            shop.train(FLEET, algorithm=algorithm)
            (artefact,) = shop.registry.runs.values()
            made.append(FleetModel.from_bytes(artefact.data))
    for other in made[1:]:
        assert {n: a.tobytes() for n, a in other.state.items()} == {
            n: a.tobytes() for n, a in made[0].state.items()
        }
