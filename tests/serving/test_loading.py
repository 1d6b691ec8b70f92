"""A model comes from the registry, else from the local copy, else not at all; and only the recorded one."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atalaia.core.errors import Unavailable
from atalaia.core.models import ModelKey, Stage
from atalaia.core.scores import Source
from atalaia.kit.blobs import sha256_of
from tests.kit.fakes import PATIENCE_S, in_threads, logged
from tests.serving.builders import Clock, Place, damaged, fleet, model_of, series
from tests.serving.conftest import OpenPlace

A = series("a")


def source_of(place: Place, name: str = "a") -> Source | None:
    found = place.find(name)
    return found.source if found else None


def forget_loaded(place: Place, open_serving: OpenPlace) -> Place:
    """Return serving after a restart: the same folder and shelf, nothing loaded."""
    fresh = open_serving()
    fresh.shelf.__dict__.update(place.shelf.__dict__)
    fresh.models.refresh()
    return fresh


def test_a_model_is_loaded_from_the_registry_and_a_copy_is_kept(place: Place) -> None:
    deployment = place.promote(A)
    assert source_of(place) is Source.MLFLOW
    assert place.copy_of(deployment).read_bytes() == place.shelf.artefacts[deployment.run_id]
    assert (place.loads("mlflow"), place.loads("local_cache")) == (1, 0)


def test_a_loaded_model_is_not_loaded_again(place: Place) -> None:
    place.promote(A)
    first = place.find("a")
    assert place.find("a") is first
    assert len(place.shelf.fetched) == 1


def test_a_sound_copy_is_not_written_again(place: Place) -> None:
    deployment = place.promote(A)
    place.find("a")
    before = place.copy_of(deployment).stat().st_ino
    place.models.reload("a")
    assert place.copy_of(deployment).stat().st_ino == before


def test_a_damaged_copy_is_put_right_when_the_registry_answers(place: Place) -> None:
    deployment = place.promote(A)
    place.find("a")
    whole = place.copy_of(deployment).read_bytes()
    place.copy_of(deployment).write_bytes(damaged(whole))
    place.models.reload("a")
    assert place.copy_of(deployment).read_bytes() == whole


def test_without_the_registry_the_local_copy_answers(place: Place, open_serving: OpenPlace) -> None:
    place.promote(A)
    place.find("a")
    place.shelf.is_down = True
    later = forget_loaded(place, open_serving)
    assert source_of(later) is Source.LOCAL_CACHE
    assert (later.loads("mlflow"), later.loads("local_cache")) == (0, 1)


def test_without_either_there_is_none(place: Place) -> None:
    place.shelf.is_down = True
    place.promote(A)
    with logged("model_not_loaded", model="series:a"):
        assert place.find("a") is None
    assert not place.models.is_resident("a")


def test_an_artefact_of_the_registry_with_another_checksum_is_refused(
    place: Place, open_serving: OpenPlace
) -> None:
    deployment = place.promote(A)
    place.find("a")
    other = place.shelf.promote(series("b"), mean=1.0)
    place.shelf.artefacts[deployment.run_id] = place.shelf.artefacts[other.run_id]
    later = forget_loaded(place, open_serving)
    with logged("model_source_failed", source="mlflow"):
        assert source_of(later) is Source.LOCAL_CACHE


def test_a_local_copy_with_another_checksum_is_refused(place: Place, open_serving: OpenPlace) -> None:
    deployment = place.promote(A)
    place.find("a")
    place.copy_of(deployment).write_bytes(damaged(place.copy_of(deployment).read_bytes()))
    place.shelf.is_down = True
    later = forget_loaded(place, open_serving)
    with logged("model_source_failed", source="local_cache"):
        assert later.find("a") is None


def test_an_artefact_that_was_recorded_damaged_is_refused_all_the_same(place: Place) -> None:
    """The checksum fits, what it stands for does not."""
    good = place.shelf.promote(A)
    rubbish = b"PK\x03\x04 not a model"
    changed = replace(good, sha256=sha256_of(rubbish), size_bytes=len(rubbish))
    signature = place.shelf.signatures.sign(changed.statement.encoded())
    from_rubbish = replace(changed, signature=signature.text, signed_by=signature.key_id)
    place.shelf.deployed[A] = from_rubbish
    place.shelf.artefacts[good.run_id] = rubbish
    place.models.refresh()
    assert place.find("a") is None


def refuse(*_: Any) -> Any:
    raise PermissionError(13, "Permission denied")


def full(*_: Any) -> Any:
    raise Unavailable("disk_full", "no space is left")


@pytest.mark.parametrize("wrong", [refuse, full])
def test_a_model_answers_though_no_copy_can_be_kept(
    place: Place, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.blobs, "put", wrong)
    place.promote(A)
    with logged("local_copy_not_kept", model="series:a"):
        assert source_of(place) is Source.MLFLOW


def test_a_copy_that_may_not_be_read_is_as_good_as_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.blobs, "get", refuse)
    place.shelf.is_down = True
    place.promote(A)
    assert place.find("a") is None


def test_a_failed_load_is_tried_again_only_after_a_pause(open_serving: OpenPlace, clock: Clock) -> None:
    place = open_serving(retry_s=10.0)
    place.shelf.is_down = True
    place.promote(A)
    assert place.find("a") is None
    place.shelf.is_down = False
    clock.now += 9.9
    assert place.find("a") is None
    assert len(place.shelf.fetched) == 1
    clock.now += 0.2
    assert source_of(place) is Source.MLFLOW


def test_a_new_version_does_not_wait_for_the_pause_of_the_old(place: Place, clock: Clock) -> None:
    place.shelf.is_down = True
    place.promote(A)
    assert place.find("a") is None
    place.shelf.is_down = False
    place.promote(A, mean=1.0)
    assert source_of(place) is Source.MLFLOW


def test_a_fleet_that_could_not_be_loaded_is_tried_again(open_serving: OpenPlace, clock: Clock) -> None:
    place = open_serving(retry_s=10.0)
    place.shelf.is_down = True
    place.promote(fleet("pumps"), "a", "b")
    assert place.find("a") is None
    place.shelf.is_down = False
    place.models.refresh()
    assert len(place.shelf.fetched) == 1
    clock.now += 11
    place.models.refresh()
    assert source_of(place) is Source.MLFLOW
    place.models.refresh()
    assert len(place.shelf.fetched) == 2


def test_the_version_before_answers_until_the_promoted_one_can_be_loaded(
    open_serving: OpenPlace, clock: Clock
) -> None:
    place = open_serving(retry_s=10.0)
    place.promote(A)
    assert version_of(place) == "v1"
    place.shelf.is_down = True
    place.promote(A, mean=1.0)
    assert version_of(place) == "v1"
    place.shelf.is_down = False
    clock.now += 11
    place.models.refresh()
    assert version_of(place) == "v2"


def version_of(place: Place, name: str = "a") -> str | None:
    found = place.find(name)
    return found.ref.version if found else None


def test_promotions_are_learnt_step_by_step(place: Place) -> None:
    assert not place.models.refresh()
    place.shelf.promote(A)
    place.shelf.promote(series("b"))
    assert place.models.refresh()
    assert not place.models.refresh()
    place.shelf.promote(A, mean=1.0)
    assert place.models.refresh()
    assert place.shelf.asked_after == [0, 0, 2, 2]
    assert version_of(place) == "v2"
    assert sorted(place.models.deployed_series()) == ["a", "b"]


def test_a_first_promotion_is_loaded_when_it_is_asked_for_and_the_next_at_once(place: Place) -> None:
    place.promote(A)
    assert not place.models.is_resident("a")
    place.find("a")
    place.promote(A, mean=1.0)
    assert place.models.is_resident("a")
    assert version_of(place) == "v2"


def test_a_series_that_nobody_promoted_has_no_model(place: Place) -> None:
    assert place.key_of("a") is None
    assert place.find("a") is None
    assert place.models.reload("a") is None
    assert place.models.cache.misses == 0


def test_a_fleet_answers_for_the_series_that_it_was_trained_on(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    assert place.models.is_resident("a")
    assert place.find("a") is place.find("b")
    assert place.find("c") is None
    assert place.models.deployed_series() == []


def test_a_series_that_left_the_fleet_has_no_model_any_more(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(fleet("pumps"), "b", "c")
    assert place.find("a") is None
    assert version_of(place, "b") == version_of(place, "c") == "v2"


def test_a_series_that_moved_is_answered_by_its_new_fleet(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(fleet("fans"), "a")
    assert place.key_of("a") == fleet("fans")
    place.promote(fleet("pumps"), "b")
    assert place.key_of("a") == fleet("fans")


def test_the_own_model_of_a_series_wins_over_its_fleets(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(A)
    assert place.key_of("a") == A
    assert place.key_of("b") == fleet("pumps")
    place.promote(fleet("pumps"), "a", "b")
    assert place.key_of("a") == A


def test_a_reload_tries_at_once_though_loading_failed_lately(place: Place, clock: Clock) -> None:
    place.shelf.is_down = True
    place.promote(A)
    assert place.find("a") is None
    place.shelf.is_down = False
    found = place.models.reload("a")
    assert found is not None
    assert place.find("a") is found


def test_a_reload_learns_of_promotions_first(place: Place) -> None:
    place.promote(A)
    place.shelf.promote(A, mean=1.0)
    found = place.models.reload("a")
    assert found is not None
    assert found.ref.version == "v2"


def test_a_reload_that_fails_leaves_the_loaded_model_in_place(place: Place) -> None:
    deployment = place.promote(A)
    before = place.find("a")
    place.shelf.is_down = True
    place.copy_of(deployment).unlink()
    assert place.models.reload("a") is None
    assert place.find("a") is before


def test_the_old_model_answers_while_it_is_loaded_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote(A)
    before = place.find("a")
    asked, go_on = threading.Event(), threading.Event()
    fetch = place.shelf.fetch

    def slowly(run_id: str) -> bytes:
        asked.set()
        assert go_on.wait(PATIENCE_S)
        return fetch(run_id)

    monkeypatch.setattr(place.shelf, "fetch", slowly)
    reloading = threading.Thread(target=place.models.reload, args=("a",))
    reloading.start()
    assert asked.wait(PATIENCE_S)
    assert place.find("a") is before
    go_on.set()
    reloading.join(PATIENCE_S)
    assert place.find("a") is not before


def test_many_who_ask_at_once_load_a_model_once(place: Place) -> None:
    place.promote(A)
    in_threads(8, lambda _: place.find("a"))
    assert len(place.shelf.fetched) == 1


def test_many_who_ask_at_once_for_what_cannot_be_loaded_try_once(place: Place) -> None:
    place.shelf.is_down = True
    place.promote(A)
    in_threads(8, lambda _: place.find("a"))
    assert len(place.shelf.fetched) == 1


def test_all_deployments_are_told_as_they_are_now(place: Place) -> None:
    place.promote(A)
    place.promote(fleet("pumps"), "a")
    assert [str(deployment.key) for deployment in place.models.deployments()] == ["series:a", "fleet:pumps"]


def test_promotions_finds_and_reloads_may_meet(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")

    def use(number: int) -> None:
        for turn in range(15):
            if number == 0:
                place.promote(fleet("pumps"), "a", "b", mean=float(turn))
            elif number == 1:
                place.models.reload("a")
            else:
                assert place.find("b") is not None

    in_threads(4, use)
    assert version_of(place) == "v16"


def test_the_folder_of_copies_may_vanish(place: Place) -> None:
    place.promote(A)
    place.find("a")
    shutil.rmtree(place.blobs.root / "models")
    place.models.reload("a")
    assert place.copy_of(place.shelf.deployed[A]).exists()


def remove(place: Place, key: ModelKey) -> None:
    del place.shelf.deployed[key]
    place.shelf.challengers.pop(key, None)
    place.shelf.removed += 1


def test_a_model_that_was_removed_answers_no_more(place: Place) -> None:
    place.promote(A)
    place.promote(series("b"))
    pumps = place.promote(fleet("pumps"), "c", "d")
    place.find("a")
    place.shelf.deploy(place.shelf.train(fleet("pumps"), model_of("c", "d", mean=5.0)), Stage.STAGING)
    place.models.refresh()
    for key in (A, fleet("pumps")):
        remove(place, key)
    place.models.refresh()
    assert [place.models.find(name) for name in ("a", "c", "d")] == [None] * 3
    assert (place.models.challenger(fleet("pumps")), place.models.number_of(pumps.key)) == (None, None)
    assert place.models.find("b") is not None
    assert not any(place.models.is_deployed(name) for name in ("a", "c"))


def test_a_series_that_comes_again_under_its_name_has_its_new_number(place: Place) -> None:
    place.promote(fleet("pumps"), "c", "d")
    old = place.known.number("c")
    by_number = place.models.routes.columns.by_number
    assert by_number[old] == place.models.routes.index_of["c"]
    place.known.numbered["c"] = 99
    place.shelf.removed += 1
    place.models.refresh()
    by_number = place.models.routes.columns.by_number
    assert (by_number[old], by_number[99]) == (-1, place.models.routes.index_of["c"])
    assert by_number[place.known.number("d")] == place.models.routes.index_of["d"]


def test_a_version_that_was_written_anew_takes_over_under_its_number(place: Place) -> None:
    before = place.promote(fleet("pumps"), "c", "d")
    found = place.models.find("c")
    assert found is not None
    data = found[0].model.without({"d"}).to_bytes()
    place.shelf.artefacts[before.run_id] = data
    after = replace(before, sha256=sha256_of(data), size_bytes=len(data))
    signed = place.shelf.signatures.sign(after.statement.encoded())
    place.shelf.deploy(replace(after, signature=signed.text, signed_by=signed.key_id))
    place.models.refresh()
    again = place.models.find("c")
    assert again is not None
    assert (again[0].model.series_ids, again[0].deployment.number) == (("c",), before.number)
    assert place.models.find("d") is None
