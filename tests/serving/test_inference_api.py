"""Health, metadata and the repository of the inference protocol, and the doors that other spellings reach."""

from typing import Any
from urllib.parse import quote

import pytest

from atalaia import __version__
from atalaia.core.models import Stage
from tests.kit.asgi import Answer, call
from tests.serving.builders import MEAN, Place, fleet, model_of, series
from tests.serving.test_oip import FAR, infer, named, outputs, refusal, value


@pytest.fixture(autouse=True)
def fleeted(place: Place) -> Place:
    """Let v2 of a fleet serve, v1 be archived, v3 challenge; and a lone series have a model."""
    place.promote(fleet("pumps"), "a", "b", mean=0.0)
    place.promote(fleet("pumps"), "a", "b")
    place.deploy(fleet("pumps"), model_of("a", "b", mean=1_000.0), Stage.STAGING)
    place.promote(series("hall 2/fan"))
    return place


def get(place: Place, path: str) -> Answer:
    return call(place.app, "GET", path)


def post(place: Place, path: str, body: Any = b"") -> Answer:
    return call(place.app, "POST", path, body)


FAN = quote("series:hall 2/fan", safe="")


def test_the_server_says_what_it_is(place: Place) -> None:
    told = get(place, "/v2").json()
    assert (told["name"], told["version"]) == ("atalaia", __version__)
    assert "binary_tensor_data" in told["extensions"]
    assert "model_repository" in told["extensions"]


def test_the_server_lives_and_is_ready_when_its_models_are(place: Place) -> None:
    assert get(place, "/v2/health/live").json() == {"live": True}
    assert get(place, "/v2/health/ready").json()["ready"] is True
    place.is_ready = False
    answer = get(place, "/v2/health/ready")
    assert (refusal(answer), answer.headers["retry-after"]) == ((503, "not_ready"), "1")
    assert refusal(get(place, "/v2/models/fleet:pumps/ready")) == (503, "not_ready")
    assert get(place, "/v2/health/live").status == 200


@pytest.mark.parametrize(
    "path", ["atalaia", "fleet:pumps", "fleet%3Apumps", FAN, "fleet:pumps/versions/1", "fleet:pumps/versions/v3"]
)
def test_a_model_that_can_answer_is_ready(place: Place, path: str) -> None:
    answer = get(place, f"/v2/models/{path}/ready")
    assert (answer.status, answer.json()["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("nothing", (404, "unknown_model")),
        ("fleet:nobody", (404, "no_deployment")),
        ("fleet:pumps/versions/9", (404, "unknown_version")),
        ("fleet:pumps/versions/x", (400, "invalid_version")),
    ],
)
def test_a_model_that_is_not_there_is_neither_ready_nor_described(
    place: Place, path: str, wanted: tuple[int, str]
) -> None:
    assert refusal(get(place, f"/v2/models/{path}/ready")) == wanted
    assert refusal(get(place, f"/v2/models/{path}")) == wanted


def test_a_model_that_cannot_be_loaded_is_not_ready(place: Place) -> None:
    place.shelf.is_down = True
    assert refusal(get(place, f"/v2/models/{FAN}/ready")) == (503, "model_not_loaded")


def described(answer: Answer) -> tuple[str, list[str], str, list[str]]:
    told = answer.json()
    for tensor in (*told["inputs"], *told["outputs"]):
        assert tensor["shape"] == [-1]
        assert tensor["datatype"] in ("FP64", "INT64", "BYTES", "BOOL", "UINT8")
    assert [one["name"] for one in told["outputs"]] == ["score", "anomaly", "expected", "lower", "upper", "flags"]
    return told["name"], told["versions"], told["platform"], [one["name"] for one in told["inputs"]]


def test_a_model_is_described(place: Place) -> None:
    of_points = ["value", "timestamp"]
    assert described(get(place, "/v2/models/atalaia")) == ("atalaia", ["1"], "atalaia", ["series_id", *of_points])
    assert described(get(place, "/v2/models/fleet:pumps")) == (
        "fleet:pumps",
        ["2"],
        "atalaia_statistical",
        ["series_id", *of_points],
    )
    assert described(get(place, f"/v2/models/{FAN}"))[::3] == ("series:hall 2/fan", of_points)
    assert described(get(place, "/v2/models/fleet:pumps/versions/1"))[1] == ["1"]


# repository


def test_the_index_lists_what_serves(place: Place) -> None:
    told = {one["name"]: (one["version"], one["state"]) for one in post(place, "/v2/repository/index").json()}
    assert told == {
        "atalaia": ("1", "READY"),
        "fleet:pumps": ("2", "READY"),
        "series:hall 2/fan": ("1", "UNAVAILABLE"),
    }
    get(place, f"/v2/models/{FAN}/ready")
    told = {one["name"]: one["state"] for one in post(place, "/v2/repository/index", {"ready": True}).json()}
    assert told["series:hall 2/fan"] == "READY"


def test_the_index_with_ready_lists_only_what_can_answer(place: Place) -> None:
    told = [one["name"] for one in post(place, "/v2/repository/index", {"ready": True}).json()]
    assert told == ["atalaia", "fleet:pumps"]
    assert len(post(place, "/v2/repository/index", {"ready": False}).json()) == 3
    assert refusal(post(place, "/v2/repository/index", b"{")) == (400, "invalid_json")


def test_a_model_is_loaded_by_hand(place: Place) -> None:
    assert not place.models.is_resident("hall 2/fan")
    answer = post(place, f"/v2/repository/models/{FAN}/load")
    assert (answer.status, answer.json(), place.models.is_resident("hall 2/fan")) == (200, {}, True)
    assert post(place, "/v2/repository/models/atalaia/load").json() == {}
    assert refusal(post(place, "/v2/repository/models/fleet:nobody/load")) == (404, "no_deployment")
    assert refusal(post(place, "/v2/repository/models/nothing/load")) == (404, "unknown_model")
    place.shelf.is_down = True
    place.copy_of(place.shelf.deployed[series("hall 2/fan")]).unlink()
    assert refusal(post(place, f"/v2/repository/models/{FAN}/load")) == (503, "model_not_loaded")


def test_what_serves_cannot_be_unloaded(place: Place) -> None:
    for name in ("atalaia", "fleet:pumps", FAN):
        answer = post(place, f"/v2/repository/models/{name}/unload")
        assert refusal(answer) == (409, "model_serves")
        assert "promote another version" in answer.json()["error"]
    assert place.find("a") is not None
    assert refusal(post(place, "/v2/repository/models/nothing/unload")) == (404, "unknown_model")


def test_what_does_not_serve_is_unloaded(place: Place) -> None:
    place.shelf.train(fleet("idle"), model_of("x"))
    path = "/v2/models/fleet:idle/versions/1/infer"
    assert outputs(infer(place, path, named("x"), value(FAR)))["anomaly"] == [True]
    assert place.serving.versions.resident("fleet:idle", "1") is not None
    assert post(place, "/v2/repository/models/fleet:idle/unload").json() == {}
    assert place.serving.versions.resident("fleet:idle", "1") is None


# V1, and spellings that the hot doors leave to the application


def test_v1_lists_models_and_says_whether_they_are_ready(place: Place) -> None:
    assert get(place, "/v1/models").json() == {"models": ["atalaia", "fleet:pumps", "series:hall 2/fan"]}
    assert get(place, "/v1/models/atalaia").json() == {"name": "atalaia", "ready": True}
    assert get(place, f"/v1/models/{FAN}").json() == {"name": "series:hall 2/fan", "ready": True}
    assert refusal(get(place, "/v1/models/fleet:nobody")) == (404, "no_deployment")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/fleet:pumps/%69nfer",
        "/v2/models/fleet%3Apumps/versions/%32/infer",
        "/v%32/models/fleet:pumps/infer",
    ],
)
def test_other_spellings_of_a_hot_door_are_answered_too(place: Place, path: str) -> None:
    assert outputs(infer(place, path, named("a", "b"), value(FAR, MEAN)))["anomaly"] == [True, False]


def test_other_spellings_are_refused_in_the_same_form(place: Place) -> None:
    assert refusal(infer(place, "/v2/models/fleet:pumps/%69nfer", value(1.0))) == (400, "bad_tensor")
    answer = post(place, "/v1/models/atalaia%3Apredict", {"instances": [{"value": FAR, "series_id": "a"}]})
    assert answer.json()["predictions"][0]["anomaly"] is True


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/fleet:pumps/infer",
        "/v2/models/fleet:pumps/config",
        "/v2/models/stats",
        "/v2/trace/setting",
        "/v1/x",
    ],
)
def test_a_part_of_the_protocol_that_is_not_served_is_refused_in_its_form(place: Place, path: str) -> None:
    assert refusal(get(place, path))[0] == 404


def test_a_post_to_what_is_not_served_is_refused_in_the_form_of_the_protocol(place: Place) -> None:
    for path in (
        "/v2/models/fleet:pumps/generate",
        "/v2/systemsharedmemory/region/x/register",
        "/v1/models/a:explain",
    ):
        assert refusal(post(place, path)) == (404, "not_found")
    assert call(place.app, "DELETE", "/v2/models/fleet:pumps").status == 405


@pytest.mark.parametrize(
    ("name", "sent_as_it_is"),
    [
        ("hall 2/fan", ""),
        ("hall 2/fan", "/"),
        ("a//b/", "/"),
        ("a/infer", "/"),
        ("a/ready", ""),  # only an encoded slash tells these two from a path
        ("x/versions/2", ""),
    ],
)
def test_a_name_with_a_slash_may_be_sent_as_clients_do(place: Place, name: str, sent_as_it_is: str) -> None:
    place.promote(series(name))
    path = quote(f"series:{name}", safe=sent_as_it_is)
    assert outputs(infer(place, f"/v2/models/{path}/infer", value(FAR)))["anomaly"] == [True]
    assert outputs(infer(place, f"/v2/models/{path}/versions/1/infer", value(FAR)))["anomaly"] == [True]
    assert get(place, f"/v2/models/{path}").json()["name"] == f"series:{name}"
    assert get(place, f"/v2/models/{path}/versions/1/ready").json()["ready"] is True
    assert get(place, f"/v2/models/{path}/ready").json()["ready"] is True
    assert get(place, f"/v1/models/{path}").json()["ready"] is True
    assert post(place, f"/v2/repository/models/{path}/load").json() == {}
    told = post(place, f"/v1/models/{path}:predict", {"instances": [FAR]}).json()
    assert told["predictions"][0]["anomaly"] is True
