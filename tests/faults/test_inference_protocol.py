"""What the inference protocol cannot accept is refused in its own form; V1 says the same as V2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.asgi import call
from tests.serving.builders import MEAN, Place, fleet, open_place, series
from tests.serving.test_oip import EVERY, FAR, LENGTH, infer, named, of, outputs, refusal, tensor, value

POINT = [named("a"), value(MEAN)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as place:
        yield place


@pytest.fixture
def pumps(place: Place) -> Place:
    """Return serving with one fleet."""
    place.promote(fleet("pumps"), "a", "b")
    return place


# which model


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (of("nothing"), (404, "unknown_model")),
        (of("fleet:"), (404, "unknown_model")),
        (of("fleet:nobody"), (404, "no_deployment")),
        (of("fleet:nobody", "1"), (404, "unknown_version")),
        (of("fleet:pumps", "9"), (404, "unknown_version")),
        (of("fleet:pumps", "x"), (400, "invalid_version")),
        (of("atalaia", "2"), (404, "unknown_version")),
        ("/v2/models/fleet:pumps/revisions/1/infer", (404, "no_deployment")),
        ("/v2/models/fleet:pumps/versions/1/2/infer", (404, "no_deployment")),
        ("/v2/models/versions/1/infer", (404, "unknown_model")),
    ],
)
def test_a_model_that_does_not_exist_is_missing(pumps: Place, path: str, wanted: tuple[int, str]) -> None:
    assert refusal(infer(pumps, path, *POINT)) == wanted


def test_the_model_of_all_has_the_version_1(pumps: Place) -> None:
    assert outputs(infer(pumps, of("atalaia", "1"), *POINT))["anomaly"] == [False]


def test_a_model_that_cannot_be_loaded_is_unavailable(place: Place) -> None:
    place.promote(series("a"))
    place.shelf.is_down = True
    answer = infer(place, of("series:a"), value(MEAN))
    assert refusal(answer) == (503, "model_not_loaded")
    assert int(answer.headers["retry-after"]) >= 1
    told = outputs(infer(place, EVERY, *POINT))
    assert told == {"score": [None], "anomaly": [False]}


def test_a_series_that_a_model_does_not_hold_is_named(pumps: Place) -> None:
    answer = infer(pumps, of("fleet:pumps"), named("a", "c", "b"), value(1.0, 2.0, 3.0))
    assert refusal(answer) == (404, "unknown_series")
    assert "'c'" in answer.json()["error"]
    numbers = tensor("series", "INT32", [pumps.known.number("a"), 99])
    assert refusal(infer(pumps, of("fleet:pumps"), numbers, value(1.0, 2.0))) == (404, "unknown_series")
    assert refusal(infer(pumps, of("fleet:pumps"), tensor("series", "INT32", [-1]), value(1.0)))[0] == 404


# tensors that cannot be

BAD: dict[str, tuple[list[Any], str]] = {
    "no inputs": ([], "there must be an input `value`"),
    "no value": ([named("a"), tensor("x", "FP64", [1.0])], "there must be an input `value`"),
    "no series": ([value(1.0)], "needs an input `series`"),
    "no series of many": ([value(1.0, 2.0)], "needs an input `series`"),
    "texts for values": ([named("a"), tensor("value", "BYTES", ["1"])], "value: BYTES holds no numbers"),
    "truths for values": ([named("a"), tensor("value", "BOOL", [True])], "value: BOOL holds no numbers"),
    "fewer names than values": ([named("a"), value(1.0, 2.0)], "series_id: it has 1 elements, `value` has 2"),
    "fewer numbers": ([tensor("series", "INT32", [1]), value(1.0, 2.0)], "series: it has 1 elements"),
    "more times": ([named("a"), value(1.0), tensor("timestamp", "INT64", [1, 2])], "timestamp: it has 2"),
    "times with fractions": ([named("a"), value(1.0), tensor("timestamp", "FP64", [1.5])], "INT64"),
    "texts for times": ([named("a"), value(1.0), tensor("timestamp", "BYTES", ["x"])], "BYTES holds no numbers"),
    "numbers with fractions": ([tensor("series", "FP64", [1.0]), value(1.0)], "numbers of series are whole"),
    "names that are numbers": ([tensor("series_id", "BYTES", [1]), value(1.0)], "elements"),
    "a shape that lies": ([named("a"), {**value(1.0), "shape": [2]}], "shape"),
    "a shape below zero": ([named("a"), {**value(1.0), "shape": [-1]}], "shape"),
    "a shape beyond all": ([named("a"), {**value(1.0), "shape": [2**62, 2**62]}], "more elements than"),
    "a datatype that is none": ([named("a"), {**value(1.0), "datatype": "FP128"}], "is none of"),
    "no data": ([named("a"), {"name": "value", "datatype": "FP64", "shape": [1]}], "missing"),
    "a name twice": ([value(1.0), value(1.0)], "same name"),
    "a number out of range": ([tensor("series", "INT8", [300]), value(1.0)], "out of range"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_tensor_that_cannot_be_is_refused_with_the_reason(pumps: Place, what: str) -> None:
    inputs, why = BAD[what]
    answer = infer(pumps, EVERY, *inputs)
    assert refusal(answer) == (400, "bad_tensor")
    assert why in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[]", "invalid_request"),
        (b"{}", "invalid_request"),
        (b'{"inputs":7}', "invalid_request"),
        (b'{"inputs":[{"name":"value"}]}', "invalid_request"),
        (b'{"id":7,"inputs":[]}', "invalid_request"),
    ],
)
def test_a_body_that_is_no_request_is_refused(pumps: Place, body: bytes, code: str) -> None:
    for path in (EVERY, of("fleet:pumps"), of("fleet:pumps", "1")):
        assert refusal(call(pumps.app, "POST", path, body)) == (400, code)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 40, "1.0"])
def test_a_length_of_the_head_that_cannot_be_is_refused(pumps: Place, length: str) -> None:
    answer = call(pumps.app, "POST", EVERY, {"inputs": POINT}, headers={LENGTH: length})
    assert refusal(answer) == (400, "bad_tensor")


def test_an_output_that_is_none_is_refused(pumps: Place) -> None:
    for inputs in (POINT, [named("a", "b"), value(1.0, 2.0)]):
        answer = infer(pumps, EVERY, *inputs, outputs=[{"name": "colour"}])
        assert refusal(answer) == (400, "bad_tensor")
        assert "'colour'" in answer.json()["error"]


def test_more_points_than_one_request_may_bring_are_refused(tmp_path: Path) -> None:
    with open_place(tmp_path, max_batch_points=3) as place:
        place.promote(fleet("pumps"), "a")
        many = [named(*["a"] * 3), value(*[MEAN] * 3), tensor("timestamp", "INT64", [1] * 3)]
        assert len(outputs(infer(place, EVERY, *many))["score"]) == 3
        for count in (4, 10):
            assert refusal(infer(place, EVERY, value(*[MEAN] * count)))[0] == 400
        over = {"instances": [{"value": 1.0, "series_id": "a"}] * 4}
        assert refusal(call(place.app, "POST", "/v1/models/atalaia:predict", over)) == (400, "invalid_points")


def test_a_body_over_the_limit_is_refused_in_the_form_of_the_protocol(pumps: Place) -> None:
    answer = call(pumps.app, "POST", EVERY, headers={"content-length": "99999999"})
    assert refusal(answer) == (413, "body_too_large")


# V1


def predict(place: Place, name: str, *instances: Any, **more: Any) -> Any:
    return call(place.app, "POST", f"/v1/models/{name}:predict", {"instances": instances, **more})


def test_v1_scores_instances(pumps: Place) -> None:
    told = predict(
        pumps,
        "atalaia",
        {"series_id": "a", "value": FAR, "timestamp": 1_700_000_000},
        {"series_id": "nobody", "value": 1.0, "timestamp": "2023-11-14T22:13:20Z"},
        {"series_id": "b", "value": MEAN, "colour": "red"},
    )
    assert told.json() == {
        "predictions": [
            {"score": pytest.approx(2.0), "anomaly": True},
            {"score": None, "anomaly": False},
            {"score": pytest.approx(0.0, abs=1e-9), "anomaly": False},
        ]
    }
    assert pumps.serving.counts("a", 0) == (1, 1)


def test_v1_takes_plain_numbers_for_the_model_of_one_series(place: Place) -> None:
    place.promote(series("hall 2/fan"))
    name = "series%3Ahall%202%2Ffan"
    for _ in range(2):
        told = predict(place, name, FAR, {"value": MEAN}).json()["predictions"]
        assert [one["anomaly"] for one in told] == [True, False]
    assert predict(place, name, FAR).json()["predictions"][0]["score"] == pytest.approx(2.0)
    assert predict(place, name).json() == {"predictions": []}


@pytest.mark.parametrize(
    ("name", "instances", "wanted"),
    [
        ("nothing", [1.0], (404, "unknown_model")),
        ("fleet:nobody", [1.0], (404, "no_deployment")),
        ("atalaia", [1.0], (400, "bad_tensor")),
        ("atalaia", [1.0, 2.0], (400, "bad_tensor")),
        ("fleet:pumps", [1.0], (400, "bad_tensor")),
        ("atalaia", [{"series_id": "a", "value": 1.0}, 2.0], (400, "invalid_points")),
        ("atalaia", [{"series_id": "a", "value": 1.0, "timestamp": -1}], (400, "invalid_time")),
        ("atalaia", [{"series_id": "a"}], (400, "invalid_request")),
        ("atalaia", ["x"], (400, "invalid_request")),
        ("fleet:pumps", [{"series_id": "c", "value": 1.0}], (404, "unknown_series")),
    ],
)
def test_v1_refuses_in_the_form_of_the_protocol(
    pumps: Place, name: str, instances: list[Any], wanted: tuple[int, str]
) -> None:
    assert refusal(predict(pumps, name, *instances)) == wanted


def test_v1_answers_a_large_body(pumps: Place) -> None:
    told = predict(pumps, "atalaia", *[{"series_id": "a", "value": FAR}] * 3_000).json()["predictions"]
    assert (len(told), all(one["anomaly"] for one in told)) == (3_000, True)


KEYS = [
    "inputs",
    "name",
    "shape",
    "datatype",
    "data",
    "parameters",
    "outputs",
    "id",
    "instances",
    "value",
    "series_id",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@given(JSON | st.dictionaries(st.sampled_from(["inputs", "instances"]), JSON))
def test_any_json_is_answered_or_refused(body: Any) -> None:
    place = PLACE[0]
    for path in (EVERY, "/v1/models/atalaia:predict"):
        answer = call(place.app, "POST", path, body)
        assert answer.status in (200, 400, 404), answer.body


PLACE: list[Place] = []


@pytest.fixture(autouse=True)
def one_place(pumps: Place) -> Any:
    PLACE[:] = [pumps]
    yield
    PLACE.clear()
