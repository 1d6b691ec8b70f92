"""Series that come into a fleet after its streaming model was trained are taken into it, and learnt."""

import threading
from functools import cache
from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from atalaia.core.models import Stage
from atalaia.core.points import Group
from atalaia.serving import adoption as module
from atalaia.serving.judging import Judge
from atalaia.serving.service import PointToScore
from tests.kit.fakes import logged
from tests.serving.builders import START_US, Place, fleet, series
from tests.serving.conftest import OpenPlace

KEY = fleet("shops")
STEP_US = 600 * MICROS
DAYS = 5
LATER_US = START_US + DAYS * 86_400 * MICROS
MEMBERS = ("a", "b", "c", "d")


def wave(at: Any, level: float = 10.0) -> Any:
    return level * (1.0 + 0.5 * np.sin(at / (86_400 * MICROS) * 2 * np.pi) + 0.01 * np.sin(at / 7e8))


@cache
def trained(*members: str, algorithm: str = "streaming") -> FleetModel:
    at = START_US + np.arange(DAYS * 144, dtype=np.int64) * STEP_US
    group = Group.of((at, wave(at, 10.0 + i)) for i in range(len(members)))
    return FleetModel.fit(make_detector(algorithm, {}), members, group)


@pytest.fixture
def shops(place: Place) -> Place:
    """Return serving with a streaming fleet in Production, which has caught up."""
    for name in MEMBERS:
        place.known.join("shops", name, job="shop")
    place.deploy(KEY, trained(*MEMBERS))
    settle(place)
    return place


def settle(place: Place, *history: int) -> list[list[str]]:
    """Do as the follower does before a round: teach `history`, steps after the training, to those who need it."""
    names = place.models.routes.names
    by_number = place.models.routes.columns.by_number
    taught: list[list[str]] = []
    for pupil in place.serving.pupils():
        taught.append([names[by_number[number]] for number in pupil.numbers])
        for step in history:
            at = LATER_US + step * STEP_US
            numbers = pupil.numbers
            pupil.teach(numbers, np.full(len(numbers), at), np.full(len(numbers), wave(at)))
        pupil.done()
    return taught


def watch(place: Place, steps: range, *names: str) -> Any:
    numbers = np.array([place.known.number(name) for name in names], np.int32)
    at = LATER_US + np.array(steps, np.int64) * STEP_US
    stamps, values = np.repeat(at, len(names)), np.repeat(wave(at), len(names))
    return place.serving.watch_block(np.tile(numbers, len(steps)), stamps, values)


def row_of(place: Place, name: str) -> dict[str, Any]:
    found = place.models.find(name)
    assert found is not None
    return {key: array[found[1]].copy() for key, array in found[0].model.state.items()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_series_that_joins_is_adopted_before_the_next_round(shops: Place) -> None:
    shops.known.join("shops", "e", job="shop")
    assert not shops.models.is_deployed("e")
    assert settle(shops) == [["e"]]
    found = shops.models.find("e")
    assert found is not None
    loaded, row = found
    assert (loaded.ref.version, loaded.model.series_ids[row]) == ("v1", "e")
    assert loaded.model.peers_of(row) == (0, 1, 2, 3)
    told = watch(shops, range(30), "e", "a")
    assert np.isnan(told.score.reshape(30, 2)[:10, 0]).all()
    assert np.isfinite(told.score.reshape(30, 2)[10:, 0]).all()
    assert shops.metric("adopted_series") == {"": 1.0}
    assert settle(shops) == []


def test_those_that_were_there_before_the_model_came_are_adopted_with_their_history(place: Place) -> None:
    for name in (*MEMBERS, "e"):
        place.known.join("shops", name)
    place.deploy(KEY, trained(*MEMBERS))
    watch(place, range(5), "e")  # nobody has learnt these
    assert settle(place, *range(5)) == [["a", "b", "c", "d", "e"]]
    watch(place, range(5, 20), "e")
    assert int(row_of(place, "e")["points"]) == 20


def test_what_it_begins_with_does_not_depend_on_when_it_comes(shops: Place, open_serving: OpenPlace) -> None:
    shops.known.join("shops", "e", job="shop")
    settle(shops)
    watch(shops, range(60), *MEMBERS, "e")
    late = open_serving()
    for name in MEMBERS:
        late.known.join("shops", name, job="shop")
    late.deploy(KEY, trained(*MEMBERS))
    settle(late)
    watch(late, range(40), *MEMBERS)
    late.known.join("shops", "e", job="shop")
    settle(late, *range(40))
    watch(late, range(40, 60), *MEMBERS, "e")
    assert_same(row_of(shops, "e"), row_of(late, "e"))
    assert_same(row_of(shops, "a"), row_of(late, "a"))


def test_the_stored_state_brings_it_to_other_processes(shops: Place, open_serving: OpenPlace) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(30), *MEMBERS, "e")
    (name, state) = next(iter(shops.serving.states()))
    assert state is not None
    other = open_serving()
    other.deploy(KEY, trained(*MEMBERS))
    other.known.numbered.update(shops.known.numbered)
    other.serving.restore({name: lambda: state})
    assert_same(row_of(other, "e"), row_of(shops, "e"))
    other.models.refresh()
    one, again = (watch(place, range(30, 40), "e").score for place in (shops, other))
    np.testing.assert_array_equal(one, again)
    assert other.serving.pupils() == []
    other.serving.restore({name: lambda: trained(*MEMBERS).to_bytes()})  # an older one, say
    assert not other.models.is_deployed("e")


def test_a_model_that_is_loaded_again_keeps_what_it_adopted(shops: Place) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(30), "e")
    before = row_of(shops, "e")
    shops.models.reload("a")
    shops.serving.versions.load("fleet:shops")
    assert_same(before, row_of(shops, "e"))
    assert settle(shops) == []


def test_a_state_is_not_stored_before_those_adopted_know_what_came(shops: Place) -> None:
    watch(shops, range(3), "a")
    shops.known.join("shops", "e")
    (pupil,) = shops.serving.pupils()
    assert list(shops.serving.states()) == []
    (same,) = shops.serving.pupils()
    assert same.numbers.tolist() == pupil.numbers.tolist()
    same.done()
    assert [name for name, state in shops.serving.states() if state] == ["fleet:shops/v1"]


def test_the_next_version_has_it_as_a_member(shops: Place) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(30), "e")
    shops.deploy(KEY, trained(*MEMBERS, "e"))
    settle(shops)
    found = shops.models.find("e")
    assert found is not None
    assert (found[0].ref.version, found[0].model.peers_of(found[1])) == ("v2", None)
    assert shops.metric("adopted_series") == {"": 0.0}


def test_a_challenger_adopts_too(shops: Place) -> None:
    shops.deploy(KEY, trained(*MEMBERS), Stage.STAGING)
    shops.known.join("shops", "e")
    assert ["e"] in settle(shops)
    challenger = shops.models.challenger(KEY)
    assert challenger is not None
    assert challenger.model.row_of("e") is not None


def test_a_series_with_a_model_of_its_own_keeps_it(shops: Place) -> None:
    shops.promote(series("e"))
    shops.known.join("shops", "e")
    settle(shops)
    assert shops.key_of("e") == series("e")


def test_peers_are_those_with_the_same_labels(shops: Place) -> None:
    for name in ("a", "b", "c"):
        shops.known.labelled[name] = {"job": "shop", "country": "pt"}
    shops.known.join("shops", "e", job="shop", country="pt")
    settle(shops)
    found = shops.models.find("e")
    assert found is not None
    assert found[0].model.peers_of(found[1]) == (0, 1, 2)


def test_no_more_are_adopted_than_the_settings_allow(open_serving: OpenPlace) -> None:
    place = open_serving(adopt_max_series=2)
    place.deploy(KEY, trained(*MEMBERS))
    settle(place)
    with logged("too_many_newcomers", model="fleet:shops/v1"):
        place.known.join("shops", "e", "f", "g")
        settle(place)
    assert [place.models.is_deployed(name) for name in ("e", "f", "g")] == [True, True, False]
    place.known.join("shops", "h")
    assert settle(place) == []


def test_none_are_adopted_where_that_is_switched_off(open_serving: OpenPlace) -> None:
    place = open_serving(adopt_max_series=0)
    place.deploy(KEY, trained(*MEMBERS))
    place.known.join("shops", "e")
    settle(place)
    assert not place.models.is_deployed("e")


def test_models_that_do_not_learn_adopt_nobody(place: Place) -> None:
    place.deploy(KEY, trained(*MEMBERS, algorithm="statistical"))
    place.known.join("shops", "e")
    settle(place)
    assert not place.models.is_deployed("e")


def test_a_catalogue_that_is_down_is_asked_again(shops: Place) -> None:
    shops.known.join("shops", "e")
    shops.known.is_down = True
    with logged("newcomers_not_read"):
        assert settle(shops) == []
    shops.known.is_down = False
    assert settle(shops) == [["e"]]


def test_an_older_series_that_is_put_into_a_fleet_is_found_by_and_by(
    shops: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops.known.number("old")
    shops.known.join("other", "newest")
    settle(shops)
    shops.known.join("shops", "old")
    assert settle(shops) == []
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.0)
    shops.models.adoption._look_at = 0.0
    assert settle(shops) == [["old"]]


def test_an_artefact_that_cannot_be_read_is_asked_for_again(shops: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shops.known.join("shops", "e")
    with monkeypatch.context() as patch:
        patch.setattr(shops.models.adoption, "_trained", lambda deployment: None)
        assert settle(shops) == []
    shops.models.adoption._look_at = 0.0
    assert settle(shops) == [["e"]]


def test_an_adopted_series_that_is_erased_leaves_the_model(shops: Place) -> None:
    shops.known.join("shops", "new e", "f")
    settle(shops)
    watch(shops, range(30), "a", "f")
    before = row_of(shops, "f")
    del shops.known.fleets["new e"]
    shops.shelf.removed += 1
    shops.models.refresh()
    found = shops.models.find("a")
    assert found is not None
    assert found[0].model.series_ids == (*MEMBERS, "f")
    assert_same(before, row_of(shops, "f"))
    assert not shops.models.is_deployed("new e")


def test_a_peer_that_is_erased_leaves_the_others_as_they_are(shops: Place) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(30), "e")
    before = row_of(shops, "e")
    shops.shelf.deployed.clear()
    deployment = shops.shelf.retired.pop((KEY, 1))
    rest = trained(*MEMBERS).without({"b"})
    shops.shelf.deploy(shops.shelf.train(KEY, rest))
    assert deployment.number == 1
    shops.models._deployed.clear()
    shops.models.refresh()
    found = shops.models.find("e")
    assert found is not None
    assert (found[0].model.series_ids, found[0].model.peers_of(found[1])) == (("a", "c", "d", "e"), (0, 1, 2))
    assert_same(before, row_of(shops, "e"))


def test_nobody_waits_for_a_registry_that_is_down(shops: Place) -> None:
    shops.known.join("shops", "e")
    shops.shelf.is_down = True  # the local copy is there
    assert settle(shops) == [["e"]]


def test_the_model_that_adopted_a_series_can_be_asked_for(shops: Place) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(12), "e")
    model = shops.serving.adopted("e", "fleet:shops/v1")
    assert model is not None
    assert model.ready(model.members) == 1
    assert [shops.serving.adopted(name, "fleet:shops/v1") for name in ("a", "nobody")] == [None, None]
    assert shops.serving.adopted("e", "fleet:shops/v2") is None


def test_a_process_that_does_not_serve_reads_what_was_stored(shops: Place, open_serving: OpenPlace) -> None:
    shops.known.join("shops", "e")
    settle(shops)
    watch(shops, range(30), *MEMBERS, "e")
    ((name, state),) = shops.serving.states()
    other = open_serving()
    other.shelf.deploy(other.shelf.train(KEY, trained(*MEMBERS)))
    judge = Judge(other.models)
    at = LATER_US + np.arange(30) * STEP_US
    assert judge.judge("e", "shops", at, wave(at), 0, 1.0) is None
    other.known.kept[name] = lambda: state or b""
    judged = judge.judge("e", "shops", at, wave(at), 0, 1.0)
    assert judged is not None
    assert (judged.learnt, str(judged.model.model_id)) == (30, "fleet:shops")
    assert np.isfinite(judged.score[10:]).all()
    model = other.serving.adopted("e", name)
    assert model is not None
    assert [other.serving.adopted(one, name) for one in ("a", "nobody")] == [None, None]
    other.known.kept[name] = lambda: b"rubbish"
    with logged("state_not_read", model=name):
        assert other.serving.adopted("e", name) is None


def test_the_catalogue_may_refuse(shops: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(series_ids: Any) -> Any:
        raise Unavailable("database_unavailable", "down")

    shops.known.join("shops", "e")
    with monkeypatch.context() as patch:
        patch.setattr(shops.known, "labels", down)
        with logged("newcomers_not_read"):
            assert settle(shops) == []
    assert settle(shops) == [["e"]]


def test_those_who_ask_meanwhile_are_answered_by_one_model_or_the_other(shops: Place) -> None:
    points = [PointToScore(name, LATER_US, float(wave(LATER_US, 10.0 + i))) for i, name in enumerate(MEMBERS)]
    before = [score.score for score in shops.serving.predict_all_now(points) if score is not None]
    wrong: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            told = [None if score is None else score.score for score in shops.serving.predict_all_now(points)]
            if told != before:
                wrong.append(told)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(30):
            shops.known.join("shops", f"e{number}")
            settle(shops)
    finally:
        done.set()
        asking.join(10)
    assert not wrong
    assert shops.metric("adopted_series") == {"": 30.0}
