import numpy as np
import pytest

from atalaia.algorithms.adoption import adopting
from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import Invalid, Missing
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import Group
from tests.lifecycle.builders import FLEET, SERIES, START_US, wave

MINUTE = 60_000_000


def test_metrics_tell_how_the_model_in_production_does(workshop):
    workshop.train()
    workshop.promote(1)
    told = workshop.lifecycle.metrics(SERIES, "pump/7", "24h")
    assert (told["version"], told["predictions"], told["anomalies"], told["anomaly_rate"]) == ("v1", 200, 10, 0.05)
    assert told["score"]["points"] == 24 * 60
    assert not told["drift"]["drifted"]
    assert told["training"]["points"] == 2_000


def test_metrics_without_predictions_have_no_rate(workshop):
    workshop.activity.counted = (0, 0)
    workshop.train()
    workshop.promote(1)
    assert workshop.lifecycle.metrics(SERIES, "pump/7", "1h")["anomaly_rate"] is None


def test_drift_is_seen_and_counted(workshop):
    workshop.train()
    workshop.promote(1)
    workshop.history.fill("pump/7", np.concatenate([wave(2_000), wave(2_000, seed=5) + 20.0]))
    told = workshop.lifecycle.metrics(SERIES, "pump/7", "24h")
    assert told["drift"]["drifted"]
    assert b'model_drift_detected_total{series_id="pump/7"} 1.0' in workshop.telemetry.render()


def test_a_fleet_compares_with_the_history_that_it_learnt(workshop):
    workshop.history.fleets["pumps"] = ["pump/7"]
    workshop.train(FLEET)
    workshop.promote(1, FLEET)
    told = workshop.lifecycle.metrics(FLEET, "pump/7", "24h")
    assert told["drift"]["reference_points"] > 0


@pytest.mark.parametrize("algorithm", DETECTORS)
def test_a_fleet_of_any_algorithm_that_a_wave_put_into_production_can_be_asked_and_drawn(workshop, algorithm):
    workshop.history.fleets["pumps"] = ["pump/7"]
    workshop.start_wave(promote=True, algorithm=algorithm)
    workshop.work()
    told = workshop.lifecycle.metrics(FLEET, "pump/7", "24h")
    assert (told["version"], told["score"]["points"], told["training"]["points"]) == ("v1", 1_440, 2_000)
    buckets = workshop.lifecycle.plot(FLEET, "pump/7", START_US, START_US + 600 * MINUTE, 10)
    assert all(bucket["lower"] < bucket["mean"] < bucket["upper"] for bucket in buckets)


def test_metrics_of_what_is_not_deployed_are_missing(workshop):
    with pytest.raises(Missing) as never:
        workshop.lifecycle.metrics(SERIES, "pump/7", "24h")
    workshop.train()
    with pytest.raises(Missing) as staged:
        workshop.lifecycle.metrics(SERIES, "pump/7", "24h")
    assert (never.value.code, staged.value.code) == ("unknown_model", "no_deployment")


def test_a_plot_has_the_band_and_what_lies_outside(workshop):
    workshop.train()
    workshop.promote(1)
    values = wave(600)
    values[300] = 500.0
    workshop.history.fill("pump/7", values)
    buckets = workshop.lifecycle.plot(SERIES, "pump/7", START_US, START_US + 600 * MINUTE, 60)
    strange = [bucket for bucket in buckets if bucket["anomalies"]]
    assert len(buckets) == 60
    assert sum(bucket["count"] for bucket in buckets) == 600
    assert any(bucket["max"] == 500.0 and bucket["above"] for bucket in strange)
    assert all(bucket["lower"] < bucket["mean"] < bucket["upper"] for bucket in buckets if not bucket["anomalies"])


def test_a_plot_without_a_model_has_no_band(workshop):
    (bucket,) = workshop.lifecycle.plot(None, "pump/7", START_US, START_US + 10 * MINUTE, 1)
    assert (bucket["lower"], bucket["upper"], bucket["anomalies"]) == (None, None, 0)


def test_a_plot_of_an_empty_range_is_empty(workshop):
    workshop.train()
    workshop.promote(1)
    assert workshop.lifecycle.plot(SERIES, "pump/7", START_US - 100, START_US - 50, 10) == []


def test_the_range_of_a_plot_is_the_last_week_unless_said_otherwise(workshop):
    newest = START_US + 1_999 * MINUTE
    assert workshop.lifecycle.span("pump/7", None, None) == (newest + 1 - 7 * 1_440 * MINUTE, newest + 1)
    assert workshop.lifecycle.span("pump/7", START_US, START_US + 5) == (START_US, START_US + 5)
    with pytest.raises(Invalid):
        workshop.lifecycle.span("pump/7", START_US + 5, START_US + 5)


def test_a_series_is_served_by_its_own_model_before_its_fleets(workshop):
    own = ModelKey(Scope.SERIES, "pump/7")
    workshop.history.fleets["pumps"] = ["pump/7"]
    assert workshop.lifecycle.deployed_key("pump/7", "pumps") is None
    assert workshop.lifecycle.serving_key("pump/7", "pumps") == own
    workshop.train(FLEET)
    workshop.promote(1, FLEET)
    assert workshop.lifecycle.deployed_key("pump/7", "pumps") == FLEET
    assert workshop.lifecycle.deployed_key("pump/7", None) is None
    workshop.train()
    workshop.promote(1)
    assert workshop.lifecycle.deployed_key("pump/7", "pumps") == own


def test_models_are_listed_page_by_page(workshop):
    for i in range(5):
        workshop.history.fill(f"s{i}", wave())
        workshop.train(ModelKey(Scope.SERIES, f"s{i}"))
    found: list[str] = []
    cursor = None
    while True:
        with workshop.database.read() as session:
            page, cursor = workshop.lifecycle.list_models(session, cursor=cursor, limit=2)
        found += [row.key for row, _ in page]
        if cursor is None:
            break
    assert found == [f"series:s{i}" for i in range(5)]


def test_the_depth_of_the_queue_is_a_metric(workshop):
    workshop.request()
    assert b"training_queue_depth 1.0" in workshop.telemetry.render()


def test_a_series_that_joined_later_is_told_of_by_the_model_as_it_stands(workshop):
    workshop.history.fleets["pumps"] = ["pump/7"]
    workshop.train(FLEET, algorithm="streaming")
    workshop.promote(1, FLEET)
    workshop.history.fill("late", wave(200))
    assert workshop.lifecycle.readiness(FLEET, "pump/7")[1].peers == 0
    assert workshop.lifecycle.readiness(FLEET, "late")[1].points == 0
    at = START_US + np.arange(5 * 288, dtype=np.int64) * 5 * MINUTE
    trained = FleetModel.fit(make_detector("streaming", {}), ("a", "b"), Group.of([(at, np.sin(at / 1e10))] * 2))
    workshop.activity.grown["late"] = model = adopting(trained, {"late": (0, 1)}, trained)
    told = workshop.lifecycle.readiness(FLEET, "late")[1]
    assert (told.state, told.points, told.peers) == ("unlearnt", 0, 2)
    values = wave(200)
    assert isinstance(model.detector, Streaming)
    model.detector.advance(model.state, np.full(200, 2), START_US + np.arange(200) * MINUTE, values)
    told = workshop.lifecycle.readiness(FLEET, "late")[1]
    assert (told.state != "unlearnt", told.points, told.peers) == (True, 200, 2)
    assert told.days == pytest.approx(200 / 1440, abs=0.01)
    assert workshop.lifecycle.metrics(FLEET, "late", "1h")["score"]["points"] == 60
