"""Models of assets are loaded apart from those of series, and answer for nobody else."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.moments import Pace
from atalaia.algorithms.relations import Relations
from atalaia.core.clock import MICROS
from atalaia.core.errors import Missing, Unavailable
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import Group
from tests.serving.builders import START_US, Clock, Place, damaged, fleet

KEY = ModelKey(Scope.ASSET, "press 3")
SENSORS = ("flow", "heat", "power")
STAMPS = START_US + np.arange(600, dtype=np.int64) * 60 * MICROS


def asset_model(seed: int = 0, sensors: tuple[str, ...] = SENSORS) -> AssetModel:
    readings = plant(seed, 600, len(sensors))
    pace = Pace.of(Group.of((STAMPS, readings[:, i]) for i in range(len(sensors))))
    return AssetModel.fit(Relations(), sensors, readings, pace)


def test_what_was_promoted_is_there_at_once_and_nobody_else_is_answered_by_it(place: Place) -> None:
    place.deploy(KEY, asset_model())
    found = place.models.assets.get("press 3")
    assert (found.ref.model_id, found.ref.version, found.ref.algorithm) == ("asset:press 3", "v1", "relations")
    assert found.model.to_bytes() == asset_model().to_bytes()
    assert not place.models.is_deployed("flow")
    assert len(place.models.cache) == 0


def test_a_later_version_takes_over_and_an_earlier_one_does_after_a_rollback(place: Place) -> None:
    first = place.deploy(KEY, asset_model())
    place.deploy(KEY, asset_model(1))
    assert place.models.assets.get("press 3").deployment.number == 2
    place.shelf.deploy(first)
    place.models.refresh()
    assert place.models.assets.get("press 3").deployment.number == 1


def test_series_and_assets_are_promoted_side_by_side(place: Place) -> None:
    place.shelf.deploy(place.shelf.train(KEY, asset_model()))
    place.shelf.promote(fleet("f"), "flow", "heat")
    place.models.refresh()
    assert place.models.assets.get("press 3")
    assert place.models.is_resident("flow")
    assert not place.models.refresh()


def test_without_a_version_in_production_there_is_none(place: Place) -> None:
    with pytest.raises(Missing) as caught:
        place.models.assets.get("press 3")
    assert caught.value.code == "no_deployment"


def test_a_damaged_artefact_is_not_loaded_and_tried_again_later(place: Place, clock: Clock) -> None:
    trained = place.shelf.train(KEY, asset_model())
    sound = place.shelf.artefacts[trained.run_id]
    place.shelf.artefacts[trained.run_id] = damaged(sound)
    place.shelf.deploy(trained)
    place.models.refresh()
    with pytest.raises(Unavailable):
        place.models.assets.get("press 3")
    place.shelf.artefacts[trained.run_id] = sound
    place.models.refresh()
    with pytest.raises(Unavailable):
        place.models.assets.get("press 3")
    clock.now += place.serving.settings.retry_s + 1
    place.models.refresh()
    assert place.models.assets.get("press 3")


def test_a_version_that_cannot_be_loaded_leaves_the_one_before(place: Place) -> None:
    place.deploy(KEY, asset_model())
    trained = place.shelf.train(KEY, asset_model(1))
    place.shelf.artefacts[trained.run_id] = b"rubbish"
    place.shelf.deploy(trained)
    place.models.refresh()
    assert place.models.assets.get("press 3").deployment.number == 1


def test_a_model_of_series_under_the_name_of_an_asset_is_refused(place: Place) -> None:
    place.shelf.promote(KEY, "flow")
    place.models.refresh()
    with pytest.raises(Unavailable):
        place.models.assets.get("press 3")


def test_a_model_that_was_removed_is_let_go(place: Place) -> None:
    place.deploy(KEY, asset_model())
    del place.shelf.deployed[KEY]
    place.shelf.removed += 1
    place.models.refresh()
    with pytest.raises(Missing):
        place.models.assets.get("press 3")
