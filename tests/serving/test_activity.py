"""What was scored is counted without a database on the way, stored now and then, and told to the metrics."""

from dataclasses import replace

import numpy as np
import pytest

from atalaia.algorithms.detectors import make_detector
from atalaia.core.errors import Unavailable
from atalaia.core.models import Stage
from atalaia.kit.database import Database
from atalaia.kit.telemetry import OTHERS
from atalaia.serving import activity
from atalaia.serving.store import HOUR_US
from tests.kit.fakes import in_threads
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, model_of, series
from tests.serving.conftest import OpenPlace

FAR = MEAN + 6 * STD
TOTALS = "anomaly_predictions_total"


def label(name: str, version: str, anomaly: str = "false") -> str:
    return f'{{anomaly="{anomaly}",model_version="{version}",series_id="{name}"}}'


def score(place: Place, *names: str, value: float = MEAN) -> None:
    numbers = np.array([place.known.number(name) for name in names], np.int32)
    place.serving.score_block(numbers, np.full(len(names), START_US), np.full(len(names), value))


class Clock:
    """The time that activity sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000 * HOUR_US
        monkeypatch.setattr(activity, "now_us", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# stored


def test_counts_outlive_the_process(place: Place, open_serving: OpenPlace) -> None:
    place.promote(fleet("pumps"), "a", "b")
    score(place, "a", "b", "a")
    score(place, "a", value=FAR)
    place.serving.stop()
    later = open_serving()
    later.shelf.__dict__.update(place.shelf.__dict__)
    later.known.numbered.update(place.known.numbered)
    later.models.refresh()
    assert (later.serving.counts("a", 0), later.serving.counts("b", 0)) == ((3, 1), (1, 0))
    score(later, "a")
    assert later.serving.counts("a", 0) == (4, 1)


def test_what_was_stored_is_not_stored_again(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    for wanted in (1, 2, 3):
        score(place, "a")
        for _ in range(3):
            place.serving.activity.flush()
        assert place.serving.counts("a", 0) == (wanted, 0)


def test_counts_fall_into_the_hour_in_which_they_are_stored(place: Place, clock: Clock) -> None:
    place.promote(fleet("pumps"), "a")
    score(place, "a")
    place.serving.activity.flush()
    clock.now += HOUR_US
    score(place, "a", "a")
    place.serving.activity.flush()
    assert place.serving.counts("a", clock.now) == (2, 0)
    assert place.serving.counts("a", clock.now - HOUR_US) == (3, 0)


def test_what_is_older_than_90_days_is_forgotten(place: Place, clock: Clock) -> None:
    place.promote(fleet("pumps"), "a")
    score(place, "a")
    place.serving.activity.flush()
    clock.now += 91 * 24 * HOUR_US
    score(place, "a")
    place.serving.activity.flush()
    assert place.serving.counts("a", 0) == (1, 0)


def test_what_cannot_be_stored_now_is_stored_the_next_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote(fleet("pumps"), "a")
    score(place, "a")

    def fail(_: Database) -> None:
        raise Unavailable("database_unavailable", "gone")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", fail)
        with pytest.raises(Unavailable):
            place.serving.activity.flush()
    score(place, "a")
    assert place.serving.counts("a", 0) == (2, 0)


def test_a_series_without_a_number_waits_for_it(place: Place) -> None:
    place.promote(fleet("pumps"), "new a")
    place.predict(("new a", MEAN))
    assert place.serving.counts("new a", 0) == (0, 0)
    place.models.routes.number({"new a": 5_000})
    assert place.serving.counts("new a", 0) == (1, 0)
    assert place.serving.counts("nobody", 0) == (0, 0)


def test_counts_of_threads_that_flush_and_score_add_up(place: Place) -> None:
    names = [f"m{i}" for i in range(50)]
    place.promote(fleet("pumps"), *names)

    def work(number: int) -> None:
        for turn in range(40):
            score(place, *names)
            if number == 0:
                place.serving.activity.flush()
            if number == 1 and turn == 20:
                place.models.routes.number({name: place.known.number(name) for name in names})

    in_threads(4, work)
    assert [place.serving.counts(name, 0) for name in ("m0", "m49")] == [(160, 0), (160, 0)]


def test_those_asked_for_most_lately_come_first(place: Place, clock: Clock) -> None:
    for name in "abcd":
        place.promote(series(name))
    for name, often in (("a", 1), ("b", 5), ("c", 3)):
        score(place, *[name] * often)
    place.serving.activity.flush()
    assert place.serving.activity.most_scored("abcd") == ["b", "c", "a", "d"]
    clock.now += 8 * 24 * HOUR_US
    assert place.serving.activity.most_scored("abcd") == ["a", "b", "c", "d"]


# told


def test_totals_are_told_by_series_version_and_outcome(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    score(place, "a", "a", "b")
    score(place, "a", value=FAR)
    assert place.metric(TOTALS) == {
        label("a", "v1"): 2.0,
        label("a", "v1", "true"): 1.0,
        label("b", "v1"): 1.0,
    }


def test_each_version_has_its_own_total(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    score(place, "a", "b")
    place.promote(fleet("pumps"), "a", mean=FAR)
    score(place, "a")
    assert place.metric(TOTALS) == {label("a", "v2", "true"): 1.0, label("b", "v1"): 1.0}
    place.known.fill("b")
    place.predict(("b", MEAN))
    assert place.metric(TOTALS)[label("b", "running-statistics")] == 1.0


def test_totals_go_on_when_a_model_is_loaded_anew(place: Place) -> None:
    place.promote(series("a"))
    place.predict(("a", MEAN))
    place.models.reload("a")
    place.predict(("a", MEAN))
    place.serving.versions.load("series:a")
    place.predict(("a", MEAN))
    assert place.metric(TOTALS) == {label("a", "v1"): 3.0}


def test_totals_go_on_when_a_model_made_room_and_came_back(place: Place) -> None:
    for name in "ab":
        place.promote(series(name))
    place.predict(("a", MEAN), ("b", MEAN))
    cache = place.models.cache
    cache._max_bytes = cache.nbytes // 2 + 1
    place.models.reload("b")
    assert [place.models.is_resident(name) for name in "ab"] == [False, True]
    assert place.metric(TOTALS) == {label("a", "v1"): 1.0, label("b", "v1"): 1.0}
    place.predict(("a", FAR))
    assert [place.models.is_resident(name) for name in "ab"] == [True, False]
    assert place.metric(TOTALS) == {label("a", "v1"): 1.0, label("a", "v1", "true"): 1.0, label("b", "v1"): 1.0}


def test_a_challenger_leaves_the_totals_of_the_champion_alone(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    score(place, "a", "a")
    place.deploy(fleet("pumps"), model_of("a", mean=FAR), Stage.STAGING)
    assert place.metric(TOTALS) == {label("a", "v1"): 2.0}
    score(place, "a")
    place.shelf.dismiss(fleet("pumps"))
    place.models.refresh()
    assert place.metric(TOTALS) == {label("a", "v1"): 3.0}


def test_beyond_the_limit_series_are_told_together_by_version(open_serving: OpenPlace) -> None:
    place = open_serving(metrics_max_series=2)
    place.promote(fleet("pumps"), *"abcd")
    place.promote(fleet("pumps"), *"abcd", mean=MEAN + 1)
    place.promote(series("lone"))
    score(place, "a", "a", "a", "b", "b", "c", "lone", "lone", "lone", "d")
    score(place, "d", value=FAR)
    assert place.metric(TOTALS) == {
        label("d", "v2"): 1.0,  # it has an anomaly
        label("d", "v2", "true"): 1.0,
        label("a", "v2"): 3.0,
        label(OTHERS, "v2"): 3.0,
        label(OTHERS, "v1"): 3.0,
    }


def test_challengers_are_told_by_whether_they_agree(place: Place) -> None:
    key = fleet("pumps")
    place.promote(key, "a", "b")
    strict = replace(model_of("a", "b"), detector=make_detector("statistical", {"threshold_sigma": 0.5}))
    place.deploy(key, strict, Stage.STAGING)
    score(place, "a", "b")
    score(place, "a", value=MEAN + 2 * STD)
    name = "challenger_predictions_total"
    where = 'model_id="fleet:pumps",model_version="v2"'
    assert place.metric(name) == {
        f'{{{where},outcome="agreed"}}': 2.0,
        f'{{{where},outcome="disagreed"}}': 1.0,
    }
    place.models.reload("a")  # the champion: its comparison goes on
    score(place, "a")
    assert place.metric(name)[f'{{{where},outcome="agreed"}}'] == 3.0
    place.shelf.dismiss(key)
    place.models.refresh()
    assert place.metric(name) == {}
