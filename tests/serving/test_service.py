"""Points are answered by models, else by running statistics, else by an error; each for itself, all counted."""

import numpy as np
import pytest
from structlog.testing import capture_logs

from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.core.facts import ModelPromoted
from atalaia.core.scores import Score, Source
from atalaia.kit.database import Database
from tests.kit.fakes import logged, wait_until
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, series
from tests.serving.conftest import OpenPlace

FAR = MEAN + 6 * STD


def told(answers: list[Score | AtalaiaError]) -> list[tuple[str, bool] | str]:
    """Return (source, whether anomalous) of each answer, the code of an error."""
    return [(a.source.value, a.is_anomaly) if isinstance(a, Score) else a.code for a in answers]


def metric(place: Place, name: str) -> list[str]:
    text = place.telemetry.render().decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def test_models_fallback_and_unknown_series_are_answered_side_by_side_in_order(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("own"), mean=-7.0)
    place.known.fill("bare")
    answers = place.predict(
        ("b", MEAN), ("nobody", 1.0), ("own", FAR), ("bare", FAR), ("a", FAR), ("bare", MEAN), ("own", -7.0)
    )
    assert told(answers) == [
        ("mlflow", False),
        "unknown_series",
        ("mlflow", True),
        ("fallback", True),
        ("mlflow", True),
        ("fallback", False),
        ("mlflow", False),
    ]
    scores = [answer for answer in answers if isinstance(answer, Score)]
    assert [score.series_id for score in scores] == ["b", "own", "bare", "a", "bare", "own"]
    assert [score.value for score in scores] == [MEAN, FAR, FAR, FAR, MEAN, -7.0]


def test_one_unknown_series_does_not_fail_the_rest(place: Place) -> None:
    place.known.fill("a")
    answers = place.predict(("nobody", 1.0), ("a", MEAN), ("nobody", 2.0))
    assert isinstance(answers[0], Missing)
    assert told(answers) == ["unknown_series", ("fallback", False), "unknown_series"]


def test_a_model_that_cannot_be_loaded_leaves_the_answer_to_the_statistics(place: Place) -> None:
    place.shelf.is_down = True
    place.promote(series("a"))
    place.known.fill("a")
    assert told(place.predict(("a", FAR))) == [("fallback", True)]


def test_when_catalogue_and_registry_are_down_loaded_models_answer_all_the_same(place: Place) -> None:
    place.promote(series("a"))
    place.predict(("a", MEAN))
    place.shelf.is_down = place.known.is_down = True
    answers = place.predict(("a", FAR), ("bare", FAR))
    assert told(answers) == [("mlflow", True), "database_unavailable"]


def test_a_series_that_joined_a_fleet_after_its_training_is_answered_by_its_statistics(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    place.known.fill("late")
    assert told(place.predict(("a", MEAN), ("late", MEAN))) == [("mlflow", False), ("fallback", False)]


def test_limits_of_the_fallback_are_settings(open_serving: OpenPlace) -> None:
    place = open_serving(fallback_sigma=1.0, fallback_min_points=50)
    place.known.fill("few", count=49)
    place.known.fill("enough", count=50)
    few, enough = place.predict(("few", FAR), ("enough", MEAN + 1.5 * STD))
    assert (few.score, enough.is_anomaly) == (None, True)


def test_every_prediction_is_logged_with_input_answer_and_model(place: Place) -> None:
    place.promote(series("a"))
    place.known.fill("bare", count=3)
    with capture_logs() as lines:
        place.predict(("a", FAR), ("bare", 1.0), ("nobody", 1.0))
    first, second = [line for line in lines if line["event"] == "prediction"]
    assert {name: first[name] for name in ("series_id", "value", "point_at")} == {
        "series_id": "a",
        "value": FAR,
        "point_at": "2023-11-14T22:13:20+00:00",
    }
    assert (first["anomaly"], first["confidence"]) == (True, "high")
    assert first["anomaly_score"] == pytest.approx(2.0)
    assert (first["model_id"], first["model_version"], first["loaded_from"]) == ("series:a", "v1", "mlflow")
    assert 0 <= first["ms"] < 60_000
    assert first["at_us"] > START_US
    assert (second["anomaly_score"], second["anomaly"], second["confidence"]) == (None, False, "low")
    assert (second["model_version"], second["loaded_from"]) == ("running-statistics", "fallback")


def test_the_log_of_predictions_can_be_turned_off(open_serving: OpenPlace) -> None:
    place = open_serving(log_predictions=False)
    place.known.fill("a")
    with capture_logs() as lines:
        place.predict(("a", MEAN))
    assert lines == []


def test_predictions_are_counted_for_the_metrics(place: Place) -> None:
    place.promote(series("a"))
    place.known.fill("bare")
    place.predict(("a", FAR), ("a", MEAN), ("a", MEAN), ("bare", FAR), ("nobody", 1.0))
    assert sorted(metric(place, "anomaly_predictions_total{")) == [
        'anomaly_predictions_total{anomaly="false",model_version="v1",series_id="a"} 2.0',
        'anomaly_predictions_total{anomaly="true",model_version="running-statistics",series_id="bare"} 1.0',
        'anomaly_predictions_total{anomaly="true",model_version="v1",series_id="a"} 1.0',
    ]
    assert place.serving.counts("a", 0) == (3, 1)


def test_the_cache_is_shown_in_the_metrics(place: Place) -> None:
    place.promote(series("a"))
    place.predict(("a", MEAN))
    place.predict(("a", MEAN))
    assert metric(place, "model_cache_hit_rate ") == ["model_cache_hit_rate 0.5"]
    assert float(metric(place, "model_cache_bytes ")[0].split()[1]) == place.models.cache.nbytes > 0
    assert (place.loads("mlflow"), place.loads("fallback")) == (1, 0)


def test_a_block_of_arriving_points_is_scored_and_counted(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    rows = np.array([0, 1, 2, 1, 0], np.int64)
    values = np.array([MEAN, FAR, FAR, MEAN, FAR])
    stamps = START_US + np.arange(5, dtype=np.int64)
    block = place.serving.score_block(["a", "b", "bare"], rows, stamps, values)
    assert np.isnan(block.scores.score).tolist() == [False, False, True, False, False]
    assert (block.scores.score > 1).tolist() == [False, True, False, False, True]
    assert block.model(1).model_id == "fleet:pumps"
    assert "above" in block.explain(1).text
    assert [place.serving.counts(name, 0) for name in ("a", "b", "bare")] == [(2, 1), (2, 1), (0, 0)]


def test_a_reload_says_what_was_loaded_and_how_long_it_took(place: Place) -> None:
    place.promote(series("a"))
    done = place.serving.reload("a")
    assert (done.loaded.ref.version, done.loaded.source) == ("v1", Source.MLFLOW)
    assert 0 < done.seconds < 60


def test_a_reload_of_nothing_is_refused(place: Place) -> None:
    with pytest.raises(Missing) as refused:
        place.serving.reload("nobody")
    assert refused.value.code == "no_deployment"


def test_a_reload_of_what_cannot_be_loaded_is_unavailable(place: Place) -> None:
    deployment = place.promote(series("a"))
    place.shelf.artefacts.clear()
    place.copy_of(deployment).unlink(missing_ok=True)
    with pytest.raises(Unavailable) as refused:
        place.serving.reload("a")
    assert refused.value.code == "model_not_loaded"


def test_a_promotion_in_this_process_answers_at_once(place: Place) -> None:
    place.promote(series("a"))
    place.shelf.promote(series("a"), mean=FAR)
    assert told(place.predict(("a", FAR))) == [("mlflow", True)]
    with place.database.write() as session:
        place.outbox.publish(session, ModelPromoted("series:a", 2, 1, True))
    assert told(place.predict(("a", FAR))) == [("mlflow", False)]


def test_a_promotion_by_another_process_is_found_soon(open_serving: OpenPlace) -> None:
    place = open_serving(refresh_s=0.01)
    place.serving.start()
    place.shelf.promote(series("a"))
    wait_until(lambda: place.models.key_of("a"))
    place.serving.stop()
    assert not any(loop._thread.is_alive() for loop in place.serving.loops)


def test_counts_are_stored_while_it_runs_and_when_it_stops(open_serving: OpenPlace) -> None:
    place = open_serving(flush_s=0.01)
    place.known.fill("a")
    place.serving.start()
    place.predict(("a", MEAN))
    wait_until(lambda: place.serving.asked.most_asked(1))
    place.serving.stop()
    place.predict(("a", MEAN))
    place.serving.stop()
    assert place.serving.counts("a", 0) == (2, 0)


def test_a_stop_without_a_database_only_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.known.fill("a")
    place.predict(("a", MEAN))

    def fail(_: Database) -> None:
        raise Unavailable("database_unavailable", "gone")

    monkeypatch.setattr(Database, "write", fail)
    with logged("counts_not_stored"):
        place.serving.stop()


def test_warming_loads_the_most_asked_first_and_then_others(open_serving: OpenPlace) -> None:
    place = open_serving(warm_models=2)
    for name in "abc":
        place.shelf.promote(series(name))
    place.serving.asked.add("c", "v1", 5, 0)
    place.serving.asked.flush()
    assert place.serving.warm() == 2
    assert [place.models.is_resident(name) for name in "abc"] == [True, False, True]


def test_warming_without_models_loads_nothing(place: Place) -> None:
    assert place.serving.warm() == 0


def test_warming_does_not_fail_over_a_model_that_cannot_be_loaded(place: Place) -> None:
    place.shelf.promote(series("a"))
    place.shelf.promote(series("b"))
    del place.shelf.artefacts[place.shelf.deployed[series("a")].run_id]
    assert place.serving.warm() == 1
