"""The doors of assets: lists, trainings, promotions, and what is said of what cannot be done."""

import pytest

from tests.lifecycle.builders import ASSET
from tests.lifecycle.doors import get, post, refused
from tests.lifecycle.test_asset_training import fill

PRESS = "press%203"


@pytest.fixture
def shop(workshop):
    fill(workshop)
    return workshop


def test_an_asset_is_trained_and_promoted_over_http(shop, app):
    accepted = post(app, f"/training/assets/{PRESS}", {}, Idempotency_Key="one")
    assert accepted.status == 202
    assert post(app, f"/training/assets/{PRESS}", {}, Idempotency_Key="one").json() == accepted.json()
    shop.work()
    told = get(app, f"/models/assets/{PRESS}").json()
    assert (told["model_id"], told["asset_id"], told["series_id"]) == ("asset:press 3", "press 3", None)
    assert [version["algorithm"] for version in told["versions"]] == ["relations"]
    promoted = post(app, f"/models/assets/{PRESS}/versions/v1/promote", {})
    assert promoted.json()["stage"] == "Production"
    assert get(app, f"/models/assets/{PRESS}/deployment-config").json()["version"] == "v1"


def test_the_list_tells_what_there_is_page_by_page(shop, app):
    fill(shop, ["a", "b"], asset="mill")
    shop.train(ASSET, algorithm="relations")
    shop.promote(1, ASSET)
    first = get(app, "/assets", limit=1).json()
    second = get(app, "/assets", limit=1, cursor=first["next"]).json()
    assert first["items"] == [
        {"asset_id": "mill", "sensor_count": 2, "production_version": None, "latest_version": None}
    ]
    assert second["items"] == [
        {"asset_id": "press 3", "sensor_count": 3, "production_version": "v1", "latest_version": "v1"}
    ]
    assert second["next"] is None


def test_an_asset_shows_what_is_learnt_of_each_sensor_and_what_is_missing(shop, app):
    untrained = get(app, f"/assets/{PRESS}").json()
    assert (untrained["is_ready"], untrained["algorithm"], len(untrained["sensors"])) == (False, None, 3)
    shop.train(ASSET, algorithm="relations")
    shop.promote(1, ASSET)
    shop.history.of_assets[ASSET.name] = ["flow", "heat", "new"]
    told = get(app, f"/assets/{PRESS}").json()
    assert (told["is_ready"], told["algorithm"], told["step_s"]) == (True, "relations", 60.0)
    sensors = {one.pop("series_id"): one for one in told["sensors"]}
    assert sensors["flow"] == {"is_member": True, "is_learnt": True, "points": 600, "missing": None}
    assert (sensors["power"]["is_member"], sensors["power"]["is_learnt"]) == (False, True)
    assert "train it again" in sensors["new"]["missing"]


def test_what_is_not_there_is_said(app):
    refused(get(app, "/assets/nobody"), 404, "unknown_asset")
    refused(get(app, "/models/assets/nobody"), 404, "unknown_model")
    refused(post(app, "/training/assets/nobody", {}), 404, "unknown_asset")
    refused(post(app, "/models/assets/nobody/versions/v1/promote", {}), 404, "unknown_model")
    refused(get(app, "/assets", cursor="rubbish"), 422, "bad_cursor")


def test_a_name_that_is_a_word_of_the_api_is_an_asset_all_the_same(shop, app):
    fill(shop, ["a", "b"], asset="metrics")
    assert get(app, "/assets/metrics").json()["asset_id"] == "metrics"
    assert post(app, "/training/assets/metrics", {}).status == 202
    refused(get(app, "/models/assets/metrics"), 404, "unknown_model")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"config": {"algorithm": "auto"}}, "unknown_algorithm"),
        ({"config": {"hyperparameters": {"ridge": "x"}}}, "invalid_hyperparameters"),
        ({"timestamps": [1, 2], "values": [1, 2]}, "invalid_request"),
        ({"priority": 99}, "invalid_request"),
        (b"{", "invalid_json"),
    ],
)
def test_what_cannot_be_trained_is_refused(shop, app, body, code):
    assert post(app, f"/training/assets/{PRESS}", body).json()["code"] == code
