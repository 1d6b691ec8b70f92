"""A name and a version mean one model: the champion, the challenger, or one that is loaded for those who ask."""

import threading

import pytest

from atalaia.core.errors import AtalaiaError, Missing, Unavailable
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.serving.versions import Versions, key_of
from tests.kit.fakes import in_threads
from tests.serving.builders import Clock, Place, fleet, model_of, series
from tests.serving.conftest import OpenPlace

PUMPS = "fleet:pumps"


@pytest.fixture
def versions(place: Place) -> Versions:
    """Return the versions of a fleet of which v3 serves and v4 challenges."""
    for mean in (1.0, 2.0, 3.0):
        place.promote(fleet("pumps"), "a", "b", mean=mean)
    place.deploy(fleet("pumps"), model_of("a", "b", mean=4.0), Stage.STAGING)
    place.shelf.fetched.clear()
    return place.serving.versions


def refused(versions: Versions, name: str, version: str | None = None) -> tuple[type[AtalaiaError], str]:
    with pytest.raises(AtalaiaError) as caught:
        versions.find(name, version)
    return type(caught.value), caught.value.code


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("series:a", ModelKey(Scope.SERIES, "a")),
        ("series:a:b/c ", ModelKey(Scope.SERIES, "a:b/c ")),
        ("fleet:series:x", ModelKey(Scope.FLEET, "series:x")),
    ],
)
def test_a_name_says_what_the_model_is_of(name: str, key: ModelKey) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize(
    "name", ["", "a", "series:", "fleet", "Series:a", ":a", "other:a", "atalaia", "x" * 10_000]
)
def test_a_name_that_no_model_can_have_is_unknown(name: str) -> None:
    with pytest.raises(Missing) as caught:
        key_of(name)
    assert caught.value.code == "unknown_model"
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize(
    ("version", "number", "stage"),
    [(None, 3, "Production"), ("3", 3, "Production"), ("v3", 3, "Production"), ("4", 4, "Staging")],
)
def test_what_serves_or_challenges_is_in_memory(
    versions: Versions, version: str | None, number: int, stage: str
) -> None:
    loaded = versions.resident(PUMPS, version)
    assert loaded is not None
    assert (loaded.deployment.number, loaded.stage) == (number, stage)
    assert versions.find(PUMPS, version) is loaded


def test_an_archived_version_is_loaded_for_those_who_ask_and_kept(place: Place, versions: Versions) -> None:
    assert versions.resident(PUMPS, "1") is None
    first = versions.find(PUMPS, "1")
    assert (first.deployment.number, first.model.score_one(0, 0, 1.0)[1]) == (1, pytest.approx(1.0))
    assert versions.find(PUMPS, "v1") is versions.resident(PUMPS, "1") is first
    assert place.shelf.fetched == ["run of fleet:pumps v1"]
    found = place.find("a")
    assert found is not None
    assert found.deployment.number == 3


def test_versions_that_do_not_serve_can_be_forgotten(place: Place, versions: Versions) -> None:
    versions.find(PUMPS, "1")
    versions.find(PUMPS, "2")
    place.shelf.fetched.clear()
    versions.forget(PUMPS)
    assert [versions.resident(PUMPS, version) is None for version in ("1", "2", "3", "4")] == [
        True,
        True,
        False,
        False,
    ]
    versions.find(PUMPS, "1")
    assert place.shelf.fetched == ["run of fleet:pumps v1"]


def test_versions_that_do_not_serve_are_bounded_in_bytes(place: Place) -> None:
    for mean in range(8):
        place.promote(fleet("pumps"), "a", mean=float(mean))
    versions = Versions(place.models, 3 * place.models.cache.nbytes + 10)
    for number in (1, 2, 3, 1, 4):
        versions.find(PUMPS, str(number))
    there = [number for number in range(1, 8) if versions.resident(PUMPS, str(number)) is not None]
    assert there == [1, 3, 4]
    alone = Versions(place.models, 1)
    alone.find(PUMPS, "1")
    assert alone.resident(PUMPS, "1") is not None
    alone.find(PUMPS, "2")
    assert [alone.resident(PUMPS, version) is None for version in "12"] == [True, False]


def test_what_does_not_exist_is_missing(place: Place, versions: Versions) -> None:
    place.shelf.train(fleet("idle"), model_of("x"))
    assert refused(versions, PUMPS, "9") == (Missing, "unknown_version")
    assert refused(versions, "fleet:nobody") == (Missing, "no_deployment")
    assert refused(versions, "fleet:nobody", "1") == (Missing, "unknown_version")
    assert refused(versions, "fleet:idle") == (Missing, "no_deployment")
    assert versions.find("fleet:idle", "1").deployment.number == 1
    assert refused(versions, PUMPS, "0") == (Missing, "unknown_version")
    for version in ("", "-1", "x", "1.0", "9" * 20):
        assert refused(versions, PUMPS, version)[1] == "invalid_version"


def test_a_champion_of_one_series_is_loaded_and_answers_from_then_on(place: Place) -> None:
    place.promote(series("a"))
    assert not place.models.is_resident("a")
    loaded = place.serving.versions.find("series:a", None)
    assert place.find("a") is loaded
    assert place.serving.versions.find("series:a", "1") is loaded


def test_what_cannot_be_loaded_is_unavailable_and_not_tried_at_every_call(
    open_serving: OpenPlace, clock: Clock
) -> None:
    place = open_serving(retry_s=10.0)
    deployment = place.promote(fleet("pumps"), "a")
    place.promote(fleet("pumps"), "a", mean=1.0)
    place.promote(series("lone"))
    place.copy_of(deployment).unlink()
    place.shelf.is_down = True
    place.shelf.fetched.clear()
    versions = place.serving.versions
    for _ in range(3):
        assert refused(versions, PUMPS, "1") == (Unavailable, "model_not_loaded")
        assert refused(versions, "series:lone") == (Unavailable, "model_not_loaded")
    assert sorted(place.shelf.fetched) == ["run of fleet:pumps v1", "run of series:lone v1"]
    place.shelf.is_down = False
    clock.now += 11
    assert versions.find(PUMPS, "1").deployment.number == 1
    assert versions.find("series:lone", None).deployment.number == 1


@pytest.mark.parametrize(("name", "version"), [(PUMPS, "1"), ("series:lone", None)])
def test_many_who_ask_at_once_load_a_version_once(
    place: Place, versions: Versions, name: str, version: str | None
) -> None:
    place.promote(series("lone"))
    in_threads(8, lambda _: versions.find(name, version))
    assert len(place.shelf.fetched) == 1


def test_a_load_by_hand_loads_anew(place: Place, versions: Versions) -> None:
    before = versions.find(PUMPS, None)
    after = versions.load(PUMPS)
    assert after is not before
    assert place.find("a") is after
    with pytest.raises(Missing):
        versions.load("fleet:nobody")
    place.shelf.is_down = True
    place.copy_of(after.deployment).unlink()
    with pytest.raises(Unavailable):
        versions.load(PUMPS)
    assert place.find("a") is after


def test_only_models_with_a_version_in_production_serve(place: Place, versions: Versions) -> None:
    place.shelf.train(fleet("idle"), model_of("x"))
    assert [versions.serves(name) for name in (PUMPS, "fleet:idle", "series:a")] == [True, False, False]


def test_versions_may_be_asked_for_while_others_are_promoted(place: Place, versions: Versions) -> None:
    over = threading.Event()

    def use(number: int) -> None:
        if number == 0:
            for turn in range(30):
                place.promote(fleet("pumps"), "a", "b", mean=float(turn))
            over.set()
        while not over.is_set():
            for version in (None, "1", "2", "4"):
                wanted = versions.find(PUMPS, version).deployment.number
                assert version is None or wanted == int(version)
            versions.forget(PUMPS)

    in_threads(4, use)
    assert versions.find(PUMPS, None).deployment.number == 34
