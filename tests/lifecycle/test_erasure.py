"""What an erasure does to versions of assets: a sensor goes, what the others taught stays."""

import pytest

from atalaia.algorithms.asset_models import AssetModel
from atalaia.core.models import artefact_key
from atalaia.kit.signatures import Signatures, SigningSettings
from atalaia.lifecycle.erasure import ModelErasure
from tests.lifecycle.builders import ASSET
from tests.lifecycle.test_asset_training import fill


@pytest.fixture
def shop(workshop):
    fill(workshop)
    return workshop


@pytest.fixture
def erasure(shop, tmp_path):
    return ModelErasure(shop.database, shop.blobs, Signatures(SigningSettings(), tmp_path), shop.registry)


def erase(shop, erasure, *names):
    found = erasure.find(set(names), [], lambda done: None)
    with shop.database.write() as session:
        return erasure.apply(session, found)


def versions_of(shop):
    with shop.database.read() as session:
        return shop.lifecycle.model(session, ASSET)[1]


@pytest.mark.parametrize(("algorithm", "more"), [("relations", {}), ("isolation_forest", {"trees": 10})])
def test_a_sensor_leaves_every_version_and_the_others_go_on(shop, erasure, algorithm, more):
    shop.train(ASSET, algorithm=algorithm, hyperparameters=more)
    shop.promote(1, ASSET)
    shop.train(ASSET, algorithm="relations")
    before = {version.name: version.sha256 for version in versions_of(shop)}
    told, old = erase(shop, erasure, "heat")
    assert (told["versions_rewritten"], told["models_removed"]) == (2, 0)
    assert set(old) == {artefact_key(sha256) for sha256 in before.values()}
    for version in versions_of(shop):
        model = AssetModel.from_bytes(shop.blobs.get(artefact_key(version.sha256), version.sha256))
        assert model.sensors == ("flow", "power")
        assert version.series_count == 2
        assert b"heat" not in model.to_bytes()
    assert [version.stage for version in versions_of(shop)] == ["Staging", "Production"]
    with shop.database.read() as session:
        shop.lifecycle.trust.check(shop.lifecycle.deployment(session, ASSET))


def test_an_asset_of_which_nothing_is_left_goes(shop, erasure):
    shop.train(ASSET, algorithm="relations")
    told, _ = erase(shop, erasure, "flow", "heat", "power")
    assert (told["models_removed"], told["versions_removed"]) == (1, 1)
    with pytest.raises(Exception, match="nothing was ever trained"):
        versions_of(shop)


def test_an_asset_that_never_held_the_series_stays_as_it_is(shop, erasure):
    shop.train(ASSET, algorithm="relations")
    told, old = erase(shop, erasure, "someone else")
    assert (told["versions_rewritten"], old) == (0, [])
