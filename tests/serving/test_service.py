"""Points are answered by models, else by running statistics, else by an error; each for itself, all counted."""

import numpy as np
import pytest

from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.core.facts import ModelPromoted
from atalaia.core.models import Stage
from atalaia.core.scores import Score, Source
from atalaia.kit.database import Database
from tests.kit.fakes import logged, wait_until
from tests.serving.builders import MEAN, START_US, STD, Clock, Place, fleet, model_of, series
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


def test_times_of_loads_are_told_of_so_many_series_alone(open_serving: OpenPlace) -> None:
    place = open_serving(metrics_max_series=2)
    place.known.fill("bare")
    for name in ("a", "b", "c"):
        place.promote(series(name))
    place.predict(*[(name, MEAN) for name in ("a", "b", "c", "bare")])
    assert place.metric("model_load_duration_seconds_count") == {
        '{series_id="a",source="mlflow"}': 1.0,
        '{series_id="b",source="mlflow"}': 1.0,
        '{series_id="(others)",source="mlflow"}': 1.0,
        '{series_id="(others)",source="fallback"}': 1.0,
    }


def test_a_block_of_arriving_points_is_scored_and_counted(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    names = ("a", "b", "bare", "b", "a")
    numbers = np.array([place.known.number(name) for name in names], np.int32)
    values = np.array([MEAN, FAR, FAR, MEAN, FAR])
    stamps = START_US + np.arange(5, dtype=np.int64)
    block = place.serving.watch_block(numbers, stamps, values)
    assert np.isnan(block.score).tolist() == [False, False, True, False, False]
    assert block.alarm.tolist() == [False, True, False, False, True]
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
    wait_until(lambda: place.key_of("a"))
    place.serving.stop()
    assert not any(loop._thread.is_alive() for loop in place.serving.loops)


def test_counts_are_stored_while_it_runs_and_when_it_stops(open_serving: OpenPlace) -> None:
    place = open_serving(flush_s=0.01)
    place.known.fill("a")
    place.serving.start()
    place.predict(("a", MEAN))
    wait_until(lambda: place.serving.counts("a", 0) == (1, 0))
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
    place.known.fill("c")
    place.predict(("c", MEAN), ("c", MEAN))
    assert place.serving.counts("c", 0) == (2, 0)
    for name in "abc":
        place.shelf.promote(series(name))
    assert place.serving.warm() == 2
    assert [place.models.is_resident(name) for name in "abc"] == [True, False, True]


def test_warming_without_models_loads_nothing(place: Place) -> None:
    assert place.serving.warm() == 0


def test_warming_does_not_fail_over_a_model_that_cannot_be_loaded(place: Place) -> None:
    place.shelf.promote(series("a"))
    place.shelf.promote(series("b"))
    del place.shelf.artefacts[place.shelf.deployed[series("a")].run_id]
    assert place.serving.warm() == 1


# which model answers, and which make room


def version_of(place: Place, name: str = "a") -> str | None:
    found = place.find(name)
    return found.ref.version if found else None


def small_cache(place: Place, models: int) -> None:
    """Let the cache hold that many of the models of single series, all of one size."""
    cache = place.models.cache
    cache._max_bytes = cache.nbytes // len(cache) * models + 10


def resident(place: Place, names: str) -> str:
    return "".join(name for name in names if place.models.is_resident(name))


@pytest.mark.parametrize("ask", ["predict", "score_point_now", "versions"])
def test_the_lone_model_that_was_not_asked_for_longest_makes_room(place: Place, ask: str) -> None:
    for name in "abcd":
        place.promote(series(name))
    for name in "abc":
        place.find(name)
    small_cache(place, 3)
    if ask == "predict":
        place.predict(("a", MEAN))
    elif ask == "score_point_now":
        place.serving.score_point_now("a", START_US, MEAN)
    else:
        place.serving.versions.resident("series:a", None)
    place.find("d")
    assert resident(place, "abcd") == "acd"


def test_models_of_fleets_never_make_room(place: Place) -> None:
    place.promote(fleet("pumps"), "x", "y")
    for name in "ab":
        place.promote(series(name))
    place.find("a")
    place.models.cache._max_bytes = 1
    place.find("b")
    assert resident(place, "xyab") == "xyb"


def test_a_block_scores_more_lone_models_than_there_is_room_for(place: Place) -> None:
    for number, name in enumerate("abcdef"):
        place.promote(series(name), mean=float(number))
    place.find("a")
    small_cache(place, 2)
    numbers = np.array([place.known.number(name) for name in "abcdefa"], np.int32)
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 100.0])
    block = place.serving.score_block(numbers, np.full(7, START_US), values)
    assert (block.score > 1).tolist() == [False] * 6 + [True]
    assert block.score[:6] == pytest.approx([0.0] * 6, abs=1e-9)
    assert [block.model(i).model_id for i in range(6)] == [f"series:{name}" for name in "abcdef"]
    assert block.columns.expected == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0], abs=1e-9)
    assert len(place.models.cache) == 2
    assert [place.serving.counts(name, 0) for name in "abf"] == [(2, 1), (1, 0), (1, 0)]


def test_a_lone_model_that_is_not_in_memory_is_not_loaded_because_it_was_promoted(place: Place) -> None:
    for name in "ab":
        place.promote(series(name))
    place.find("b")
    place.shelf.fetched.clear()
    place.promote(series("a"), mean=7.0)
    place.promote(series("b"), mean=7.0)
    assert place.shelf.fetched == ["run of series:b v2"]
    assert version_of(place) == "v2"
    assert version_of(place, "b") == "v2"


def test_a_promotion_that_waited_for_the_registry_never_takes_the_place_of_a_later_one(
    open_serving: OpenPlace, clock: Clock
) -> None:
    place = open_serving(retry_s=10.0)
    place.promote(series("a"))
    place.find("a")
    place.shelf.is_down = True
    place.promote(series("a"), mean=1.0)  # waits
    place.promote(series("b"))
    small_cache(place, 1)
    place.shelf.is_down = False
    place.find("b")  # v1 of a makes room
    place.promote(series("a"), mean=2.0)
    assert not place.models.is_resident("a")
    clock.now += 60
    place.models.refresh()
    assert version_of(place) == "v3"


def test_a_lone_model_goes_before_that_of_its_fleet_in_whatever_order_they_come(place: Place) -> None:
    place.promote(series("a"))
    place.promote(fleet("pumps"), "a", "b")
    assert [str(place.key_of(name)) for name in "ab"] == ["series:a", "fleet:pumps"]
    place.promote(fleet("pumps"), "a", "b", mean=1.0)
    assert [str(place.key_of(name)) for name in "ab"] == ["series:a", "fleet:pumps"]
    place.promote(series("b"))
    assert [str(place.key_of(name)) for name in "ab"] == ["series:a", "series:b"]


def test_a_series_that_left_its_fleet_has_no_model(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(fleet("pumps"), "b")
    assert [place.find(name) is None for name in "ab"] == [True, False]


def test_a_series_that_moved_to_another_fleet_has_the_model_of_that(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(fleet("fans"), "b", "c")
    assert str(place.key_of("b")) == "fleet:fans"
    place.promote(fleet("pumps"), "a", mean=1.0)
    assert [str(place.key_of(name)) for name in "abc"] == ["fleet:pumps", "fleet:fans", "fleet:fans"]


def test_a_challenger_is_loaded_beside_its_champion_and_goes_when_it_is_dismissed(place: Place) -> None:
    key = fleet("pumps")
    place.promote(key, "a")
    place.deploy(key, model_of("a", mean=7.0), Stage.STAGING)
    challenger = place.models.challenger(key)
    assert challenger is not None
    assert (challenger.ref.version, version_of(place)) == ("v2", "v1")
    assert place.models.routes.has_challengers
    place.deploy(key, model_of("a", mean=8.0), Stage.STAGING)
    place.shelf.dismiss(key)
    place.models.refresh()
    assert place.models.challenger(key) is None
    assert not place.models.routes.has_challengers
    assert len(place.models.routes.models) == 1
