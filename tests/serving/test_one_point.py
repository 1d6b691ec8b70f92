"""One point in JSON is read without arrays, and says what it says among others."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.models import Stage
from atalaia.kit.web.tensors import decode_request
from atalaia.serving import oip
from atalaia.serving.one_point import one_request
from tests.kit.asgi import Answer, call
from tests.serving.builders import MEAN, START_US, Place, fleet, model_of, series

FAR = 62.0
ITEMS: dict[str, Any] = {
    "value": st.one_of(st.floats(allow_nan=False), st.integers(-(2**60), 2**60), st.just("x"), st.none()),
    "timestamp": st.one_of(st.integers(-5, 2**63), st.just(START_US), st.floats(0, 1e18), st.just("x")),
    "series_id": st.one_of(st.sampled_from(["a", "b", "nobody", ""]), st.just(7)),
    "series": st.one_of(st.integers(-5, 2**40), st.just(1.5)),
}
TYPES = {"value": "FP64", "timestamp": "INT64", "series_id": "BYTES", "series": "INT32"}


def tensor(
    name: str, *data: Any, datatype: str = "", shape: list[int] | None = None, **more: Any
) -> dict[str, Any]:
    shape = [len(data)] if shape is None else shape
    return {"name": name, "datatype": datatype or TYPES[name], "shape": shape, "data": list(data)}


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
    inputs = [
        tensor(
            name,
            *draw(st.lists(ITEMS[name], min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 2])))),
            datatype=draw(st.sampled_from(["", "", "", "FP32", "INT32"])),
            shape=draw(st.sampled_from([None, None, None, [1, 1], [2]])),
        )
        for name in names
    ]
    whole: dict[str, Any] = {"inputs": inputs}
    if draw(st.booleans()):
        whole["id"] = "mine"
    if draw(st.sampled_from([False, False, True])):
        whole["outputs"] = [{"name": "score"}]
    return json.dumps(whole).encode()


@given(requests())
def test_what_is_read_as_one_point_is_what_the_tensors_say(body: bytes) -> None:
    one = one_request(body)
    if one is None:
        return
    request = decode_request(body)
    asked = oip._asked(request)
    value, timestamp, series_id, number = one.point
    assert (len(asked.values), one.id, request.outputs) == (1, request.id, [])
    assert asked.values.item() == value
    if any(tensor.name == "timestamp" for tensor in request.inputs):
        assert asked.timestamps.item() == timestamp
    assert asked.names == (None if series_id is None else [series_id])
    assert (None if asked.numbers is None else asked.numbers.item()) == number


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 2000, b'{"inputs": 1}', b'{"inputs": [{}]}'])
def test_what_is_no_request_is_left_to_others(body: bytes) -> None:
    assert one_request(body) is None


def test_the_usual_requests_are_read() -> None:
    for inputs in (
        [tensor("value", 0.5)],
        [tensor("value", 1), tensor("series_id", "a")],
        [tensor("series", 3), tensor("value", 0.5), tensor("timestamp", START_US)],
    ):
        assert one_request(json.dumps({"inputs": inputs}).encode()) is not None


def infer(place: Place, model: str, inputs: list[dict[str, Any]], **more: Any) -> Answer:
    path = f"/v2/models/{model}/infer"
    return call(place.app, "POST", path, msgspec.json.encode({"inputs": inputs, **more}))


@pytest.fixture
def both(place: Place, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask by the short way and by the long one, which must answer the same."""

    def ask(model: str, *inputs: dict[str, Any], **more: Any) -> Any:
        short = infer(place, model, list(inputs), **more)
        with monkeypatch.context() as patch:
            patch.setattr(oip, "one_request", lambda body: None)
            long = infer(place, model, list(inputs), **more)
        assert (short.status, short.body) == (long.status, long.body)
        return short.json()

    return ask


@pytest.mark.parametrize("value", [MEAN, FAR, -1e300])
def test_one_point_is_scored_as_among_others(place: Place, both: Any, value: float) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("alone"))
    place.find("alone")
    at = tensor("timestamp", START_US)
    for model, named in (
        ("atalaia", [tensor("series_id", "a")]),
        ("atalaia", [tensor("series_id", "nobody")]),
        ("atalaia", [tensor("series", 999)]),
        ("atalaia/versions/1", [tensor("series_id", "b")]),
        ("fleet:pumps", [tensor("series_id", "b")]),
        ("fleet:pumps/versions/1", [tensor("series_id", "b")]),
        ("fleet:pumps", [tensor("series_id", "nobody")]),
        ("fleet:pumps", []),
        ("fleet:none", []),
        ("atalaia", []),
        ("atalaia/versions/2", [tensor("series_id", "a")]),
        ("series:alone", []),
        ("series:alone", [tensor("series_id", "alone")]),
    ):
        both(model, tensor("value", value), at, *named, id="mine")


def test_each_point_is_counted_once_whichever_way_it_came(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    infer(place, "atalaia", [tensor("value", MEAN), tensor("series_id", "a")])
    infer(place, "fleet:pumps", [tensor("value", FAR), tensor("series_id", "a")])
    infer(place, "fleet:pumps", [tensor("value", FAR, FAR), tensor("series_id", "a", "a")])
    assert place.metric("anomaly_predictions_total") == {
        '{anomaly="false",model_version="v1",series_id="a"}': 1.0,
        '{anomaly="true",model_version="v1",series_id="a"}': 3.0,
    }
    assert place.models.cache.hits == 4


def test_a_version_that_does_not_serve_is_not_counted(place: Place) -> None:
    for _ in range(2):
        place.promote(fleet("pumps"), "a")
    infer(place, "fleet:pumps/versions/1", [tensor("value", FAR), tensor("series_id", "a")])
    assert place.metric("anomaly_predictions_total") == {}


def test_challengers_score_single_points_too(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    place.deploy(fleet("pumps"), model_of("a", mean=FAR), Stage.STAGING)
    infer(place, "atalaia", [tensor("value", MEAN), tensor("series_id", "a")])
    place.predict(("a", MEAN))
    place.predict(("a", (MEAN + FAR) / 2))
    assert place.metric("challenger_predictions_total") == {
        '{model_id="fleet:pumps",model_version="v2",outcome="agreed"}': 1.0,
        '{model_id="fleet:pumps",model_version="v2",outcome="disagreed"}': 2.0,
    }
