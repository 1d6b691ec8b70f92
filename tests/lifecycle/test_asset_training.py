"""Assets are learnt by jobs: what their labels say they are made of, on common moments, signed like all others."""

import builtins
import sys

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Busy, Conflict, Invalid, Missing
from atalaia.core.models import artefact_key
from atalaia.kit.jobs import JobStatus
from atalaia.lifecycle import asset_training
from tests.lifecycle.builders import ASSET, open_workshop

SENSORS = ["flow", "heat", "power"]


def fill(shop, names=SENSORS, moments=600, asset=ASSET.name):
    readings = plant(0, moments, len(names))
    for i, name in enumerate(names):
        shop.history.fill(name, readings[:, i])
    shop.history.of_assets[asset] = list(names)


@pytest.fixture
def shop(workshop):
    fill(workshop)
    return workshop


def model_of(shop, number=1):
    with shop.database.read() as session:
        version = shop.lifecycle.model(session, ASSET)[1][-number]
    return version, AssetModel.from_bytes(shop.blobs.get(artefact_key(version.sha256), version.sha256))


def test_an_asset_becomes_a_signed_version_in_staging_of_all_its_sensors(shop):
    assert shop.train(ASSET, algorithm="relations") == "v1"
    version, model = model_of(shop)
    assert (version.stage, version.algorithm, version.series_count) == ("Staging", "relations", 3)
    assert version.signature
    assert model.sensors == ("flow", "heat", "power")
    assert model.ready.all()
    assert model.pace is not None
    assert model.pace.step_us == 60 * MICROS
    assert version.metrics["moments"] == 600
    assert version.metrics["points"] == 1800
    assert version.metrics["training_anomaly_share"] < 0.1
    assert shop.registry.stages == {"asset:press 3 v1": "Staging"}


def test_what_is_learnt_is_what_the_moments_teach(shop):
    shop.train(ASSET, algorithm="relations", hyperparameters={"ridge": 0.1})
    version, model = model_of(shop)
    wanted = AssetModel.fit(model.detector, model.sensors, plant(0, 600, 3), model.pace)
    assert model.to_bytes() == wanted.to_bytes()
    assert version.hyperparameters["ridge"] == 0.1


def test_versions_are_promoted_rolled_back_and_archived_like_others(shop):
    for _ in range(2):
        shop.train(ASSET, algorithm="relations")
    shop.promote(1, ASSET)
    shop.promote(2, ASSET, archive_previous=False)
    assert shop.stages(ASSET) == {"v2": "Production", "v1": "Staging"}
    shop.promote(1, ASSET)
    assert shop.production() == {"asset:press 3": 1}
    with pytest.raises(Conflict):
        shop.promote(2, ASSET)


def test_an_artefact_that_was_changed_is_not_promoted(shop):
    shop.train(ASSET, algorithm="relations")
    version, _ = model_of(shop)
    path = shop.blobs.path(artefact_key(version.sha256))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Conflict, match="checksum"):
        shop.promote(1, ASSET)


def test_a_forest_takes_its_usual_hyperparameters(shop):
    shop.train(ASSET, algorithm="isolation_forest", hyperparameters={"trees": 10})
    version, model = model_of(shop)
    assert version.hyperparameters == {"contamination": 0.1, "trees": 10, "random_state": 42}
    assert version.metrics["training_anomaly_share"] == pytest.approx(0.1, abs=0.02)
    assert np.isfinite(model.score(plant(1, 5, 3)).score).all()


def test_without_scikit_learn_a_forest_says_what_is_missing(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    job_id = shop.request(ASSET, algorithm="isolation_forest")
    shop.worker.work_once()
    error = shop.job(job_id).error
    assert error["code"] == "missing_package"
    assert "atalaia[detect]" in error["detail"]


def test_nothing_of_scikit_learn_is_needed_for_relations(shop, monkeypatch):
    kept = builtins.__import__

    def refuse(name, *rest):
        assert not name.startswith("sklearn")
        return kept(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    shop.train(ASSET, algorithm="relations")


@pytest.mark.parametrize(
    ("algorithm", "given", "code"),
    [
        ("auto", {}, "unknown_algorithm"),
        ("statistical", {}, "unknown_algorithm"),
        ("relations", {"ridge": -1}, "invalid_hyperparameters"),
        ("relations", {"contamination": 0.1}, "invalid_hyperparameters"),
        ("isolation_forest", {"trees": 10**9}, "invalid_hyperparameters"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(shop, algorithm, given, code):
    with pytest.raises(Invalid) as caught:
        shop.request(ASSET, algorithm=algorithm, hyperparameters=given)
    assert caught.value.code == code


def test_an_asset_without_series_is_unknown(shop):
    shop.history.of_assets.clear()
    with pytest.raises(Missing) as caught:
        shop.request(ASSET, algorithm="relations")
    assert caught.value.code == "unknown_asset"


def test_an_asset_that_lost_its_series_meanwhile_fails(shop):
    job_id = shop.request(ASSET, algorithm="relations")
    shop.history.of_assets.clear()
    shop.work()
    assert shop.job(job_id).error["code"] == "unknown_asset"


def test_an_asset_with_too_many_sensors_is_refused(shop):
    shop.history.of_assets[ASSET.name] = [f"s{i}" for i in range(513)]
    with pytest.raises(Invalid) as caught:
        shop.request(ASSET, algorithm="relations")
    assert caught.value.code == "too_many_sensors"


@pytest.mark.parametrize("moments", [0, 1, 99])
def test_too_few_moments_fail_with_what_is_needed(workshop, moments):
    fill(workshop, moments=moments)
    job_id = workshop.request(ASSET, algorithm="relations")
    workshop.work()
    job = workshop.job(job_id)
    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "invalid_training_data")
    assert "at least 100" in job.error["detail"]


def test_sensors_that_were_each_read_too_seldom_fail(tmp_path):
    with open_workshop(tmp_path, history_min_points=10) as shop:
        fill(shop, moments=39)
        job_id = shop.request(ASSET, algorithm="relations")
        shop.work()
        assert "no sensor of 'press 3' was read at 40 moments" in shop.job(job_id).error["detail"]


def test_a_dead_and_a_silent_sensor_do_not_stop_the_others(workshop):
    fill(workshop, ["a", "b", "c", "dead", "silent"])
    workshop.history.fill("dead", np.full(600, 7.0))
    workshop.history.points["silent"] = (np.empty(0, np.int64), np.empty(0))
    workshop.train(ASSET, algorithm="relations")
    _, model = model_of(workshop)
    assert dict(zip(model.sensors, model.ready.tolist(), strict=True)) == {
        "a": True,
        "b": True,
        "c": True,
        "dead": True,
        "silent": False,
    }


def test_no_more_is_learnt_than_fits_into_memory(shop, monkeypatch):
    monkeypatch.setattr(asset_training, "MOST_VALUES", 900)
    shop.train(ASSET, algorithm="relations")
    version, model = model_of(shop)
    assert version.metrics["moments"] == 300
    assert model.state["points"].tolist() == [300] * 3


def test_only_the_window_is_learnt(shop):
    shop.train(ASSET, algorithm="relations", window_hours=5.0)
    assert model_of(shop)[0].metrics["moments"] == 301


def test_an_asset_rests_between_trainings(tmp_path):
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        fill(shop)
        shop.train(ASSET, algorithm="relations")
        with pytest.raises(Busy):
            shop.request(ASSET, algorithm="relations")
