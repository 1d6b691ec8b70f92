"""The Open Inference Protocol at the hot doors: V2 in JSON and binary, V1; the same scores by every way."""

import json
import math
import struct
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.models import Stage
from atalaia.kit.web import hot
from tests.kit.asgi import Answer, call
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, model_of, series
from tests.serving.test_blocks import model

FAR = MEAN + 6 * STD
EVERY = "/v2/models/atalaia/infer"
LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, datatype: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **more}


def value(*values: float) -> dict[str, Any]:
    return tensor("value", "FP64", list(values))


def named(*names: str) -> dict[str, Any]:
    return tensor("series_id", "BYTES", list(names))


def infer(place: Place, path: str, *inputs: dict[str, Any], **more: Any) -> Answer:
    return call(place.app, "POST", path, {"inputs": inputs, **more})


def of(name: str, version: str | None = None) -> str:
    """Return the path of a model."""
    middle = "" if version is None else f"/versions/{version}"
    return f"/v2/models/{quote(name, safe='')}{middle}/infer"


def outputs(answer: Answer) -> dict[str, list[Any]]:
    assert answer.status == 200, answer.body
    return {one["name"]: one["data"] for one in answer.json()["outputs"]}


def refusal(answer: Answer) -> tuple[int, str]:
    told = answer.json()
    assert set(told) == {"error", "code"}
    assert isinstance(told["error"], str)
    assert told["error"]
    return answer.status, told["code"]


@pytest.fixture
def fleeted(place: Place) -> Place:
    """Return serving with a fleet of which v2 serves, v1 is archived and v3 challenges, and a lone series."""
    place.promote(fleet("pumps"), "a", "b", mean=0.0)
    place.promote(fleet("pumps"), "a", "b")
    place.deploy(fleet("pumps"), model_of("a", "b", mean=1_000.0), Stage.STAGING)
    place.promote(series("hall 2/fan"))
    return place


# flags


def test_flags_are_an_output_that_is_asked_for(fleeted: Place) -> None:
    points = (named("a", "nobody"), value(MEAN + 1e6, 1.0), tensor("timestamp", "INT64", [1, 1]))
    assert "flags" not in outputs(infer(fleeted, EVERY, *points))
    wanted = {"outputs": [{"name": "score"}, {"name": "flags"}]}
    assert outputs(infer(fleeted, EVERY, *points, **wanted))["flags"] == [1, 0]
    assert outputs(infer(fleeted, EVERY, *points, **wanted))["flags"] == [3, 0]


def test_flags_of_a_model_that_is_named_are_those_of_its_series(fleeted: Place) -> None:
    wanted = {"outputs": [{"name": "flags"}]}
    sent = (value(FAR, FAR), tensor("timestamp", "INT64", [1, 1]))
    assert outputs(infer(fleeted, of("series:hall 2/fan"), *sent, **wanted))["flags"] == [0, 2]


# V2 in JSON


def test_points_of_any_series_are_scored_each_by_its_own_model(fleeted: Place) -> None:
    answer = infer(
        fleeted, EVERY, named("a", "hall 2/fan", "nobody", "b"), value(FAR, MEAN, 1.0, MEAN), id="my request"
    )
    told = answer.json()
    assert (told["model_name"], told["model_version"], told["id"]) == ("atalaia", "1", "my request")
    score, anomaly = told["outputs"]
    assert (score["name"], score["datatype"], score["shape"]) == ("score", "FP64", [4])
    assert (anomaly["name"], anomaly["datatype"], anomaly["shape"]) == ("anomaly", "BOOL", [4])
    assert score["data"] == [pytest.approx(2.0), pytest.approx(0.0, abs=1e-9), None, pytest.approx(0.0, abs=1e-9)]
    assert anomaly["data"] == [True, False, False, False]


def test_a_series_may_be_named_by_its_number(fleeted: Place) -> None:
    numbers = [fleeted.known.number(name) for name in ("b", "a")]
    for datatype in ("INT32", "INT64", "UINT64", "INT8", "UINT16"):
        told = outputs(infer(fleeted, EVERY, tensor("series", datatype, numbers), value(MEAN, FAR)))
        assert told["anomaly"] == [False, True]
        told = outputs(infer(fleeted, EVERY, tensor("series", datatype, numbers[:1]), value(FAR)))
        assert told["anomaly"] == [True]


@pytest.mark.parametrize(("datatype", "number"), [("INT64", 2**63 - 1), ("INT64", -(2**63)), ("UINT64", 2**64 - 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_number_that_nobody_has_is_no_opinion(fleeted: Place, datatype: str, number: int, count: int) -> None:
    told = outputs(infer(fleeted, EVERY, tensor("series", datatype, [number] * count), value(*[1.0] * count)))
    assert told == {"score": [None] * count, "anomaly": [False] * count}


@pytest.mark.parametrize("name", ["fleet:pumps", "series:hall 2/fan"])
def test_a_model_is_asked_by_its_name(fleeted: Place, name: str) -> None:
    inputs = [value(FAR, MEAN)] + ([named("a", "b")] if name.startswith("fleet") else [])
    answer = infer(fleeted, of(name), *inputs)
    assert outputs(answer)["anomaly"] == [True, False]
    assert (answer.json()["model_name"], "id" in answer.json()) == (name, False)


@pytest.mark.parametrize(
    ("version", "center"), [(None, MEAN), ("2", MEAN), ("v2", MEAN), ("1", 0.0), ("3", 1_000.0)]
)
def test_each_version_answers_for_itself(fleeted: Place, version: str | None, center: float) -> None:
    answer = infer(fleeted, of("fleet:pumps", version), named("a", "b"), value(center, center + 6 * STD))
    assert outputs(answer)["anomaly"] == [False, True]
    assert answer.json()["model_version"] == (version or "2").removeprefix("v")
    assert fleeted.find("a") is fleeted.serving.versions.resident("fleet:pumps", "2")


def test_the_model_of_one_series_needs_no_series(fleeted: Place) -> None:
    assert outputs(infer(fleeted, of("series:hall 2/fan"), value(FAR)))["score"] == [pytest.approx(2.0)]
    told = outputs(infer(fleeted, of("series:hall 2/fan"), tensor("anything", "FP32", [FAR, MEAN])))
    assert told["anomaly"] == [True, False]


def test_the_outputs_that_are_wanted_are_told_and_no_others(fleeted: Place) -> None:
    wanted = [{"name": name} for name in ("upper", "score", "expected", "lower")]
    answer = infer(fleeted, EVERY, named("a", "hall 2/fan"), value(FAR, MEAN), outputs=wanted)
    told = outputs(answer)
    assert list(told) == ["upper", "score", "expected", "lower"]
    assert told["expected"] == pytest.approx([MEAN, MEAN])
    assert told["upper"] == pytest.approx([MEAN + 3 * STD] * 2)
    assert told["lower"] == pytest.approx([MEAN - 3 * STD] * 2)
    one = outputs(infer(fleeted, of("fleet:pumps", "1"), named("a"), value(MEAN), outputs=[{"name": "expected"}]))
    assert one == {"expected": [pytest.approx(0.0, abs=1e-9)]}
    assert outputs(infer(fleeted, EVERY, named("a"), value(FAR), outputs=[{"name": "anomaly"}])) == {
        "anomaly": [True]
    }


def test_columns_may_be_two_dimensional(fleeted: Place) -> None:
    inputs = [
        {"name": "value", "datatype": "FP64", "shape": [2, 1], "data": [[FAR], [MEAN]]},
        {"name": "series_id", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]},
    ]
    assert outputs(infer(fleeted, EVERY, *inputs))["anomaly"] == [True, False]


def test_no_points_have_no_scores(fleeted: Place) -> None:
    for path, inputs in ((EVERY, [named(), value()]), (of("fleet:pumps"), [named(), value()])):
        assert outputs(infer(fleeted, path, *inputs)) == {"score": [], "anomaly": []}
    assert outputs(infer(fleeted, of("series:hall 2/fan"), value())) == {"score": [], "anomaly": []}


def test_the_time_of_a_point_matters_where_the_model_depends_on_it(place: Place) -> None:
    place.deploy(fleet("ovens"), model("seasonal_profile", "c"))
    found = place.find("c")
    assert found is not None
    hours = [START_US + hour * 3_600_000_000 for hour in range(24)]
    alone = [found.model.score_one(0, at, 12.0)[0] for at in hours]
    for datatype in ("INT64", "UINT64"):
        stamps = tensor("timestamp", datatype, hours)
        told = outputs(infer(place, EVERY, named(*["c"] * 24), value(*[12.0] * 24), stamps))
        assert told["score"] == pytest.approx(alone)
        one = outputs(infer(place, EVERY, named("c"), value(12.0), tensor("timestamp", datatype, hours[5:6])))
        assert one["score"] == pytest.approx(alone[5:6])
    assert max(alone) > 1.5 * min(alone)
    now = outputs(infer(place, EVERY, named("c"), value(12.0)))["score"]
    assert min(alone) * 0.5 < now[0] < max(alone) * 2


@pytest.mark.parametrize(("datatype", "stamp"), [("INT64", -(2**63)), ("UINT64", 2**64 - 1), ("INT8", -1)])
def test_any_time_has_an_answer(place: Place, datatype: str, stamp: int) -> None:
    place.deploy(fleet("ovens"), model("seasonal_profile", "c"))
    for count in (1, 2):
        stamps = tensor("timestamp", datatype, [stamp] * count)
        told = outputs(infer(place, EVERY, named(*["c"] * count), value(*[12.0] * count), stamps))
        assert len(told["score"]) == count


def test_points_are_counted_once(fleeted: Place) -> None:
    infer(fleeted, EVERY, named("a"), value(FAR))
    infer(fleeted, EVERY, named("a", "hall 2/fan"), value(MEAN, MEAN))
    infer(fleeted, EVERY, tensor("series", "INT32", [fleeted.known.number("a")]), value(MEAN))
    assert fleeted.serving.counts("a", 0) == (3, 1)
    assert fleeted.serving.counts("hall 2/fan", 0) == (1, 0)


# where the work is done


def test_what_must_be_loaded_is_loaded_in_a_thread(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    really = hot.run_in_threadpool

    async def watched(work: Any, *args: Any) -> Any:
        sent.append("one")
        return await really(work, *args)

    monkeypatch.setattr(hot, "run_in_threadpool", watched)
    for name in "abcdef":
        place.promote(series(name))
    instances = {"instances": [{"value": MEAN, "series_id": "e"}]}
    asks = (
        lambda: infer(place, of("series:a"), value(MEAN)),
        lambda: infer(place, EVERY, named("b"), value(MEAN)),
        lambda: infer(place, EVERY, tensor("series", "INT32", [place.known.number("c")]), value(MEAN)),
        lambda: infer(place, EVERY, tensor("series", "INT32", [1, place.known.number("d")]), value(1.0, MEAN)),
        lambda: call(place.app, "POST", "/v1/models/atalaia:predict", instances),
        lambda: call(place.app, "POST", "/v1/models/series%3Af:predict", {"instances": [MEAN]}),
    )
    for number, ask in enumerate(asks, start=1):
        for _ in range(2):  # the first loads
            assert ask().status == 200
            assert len(sent) == number


# binary


def binary(
    place: Place, path: str, arrays: dict[str, Any], *, length: int | None = None, tail: bytes = b"", **more: Any
) -> Answer:
    inputs, chunks = [], []
    for name, array in arrays.items():
        if isinstance(array, list):
            datatype, data = "BYTES", b"".join(struct.pack("<I", len(s)) + s for s in array)
        else:
            datatype = {"f8": "FP64", "f4": "FP32", "i8": "INT64", "i4": "INT32"}[array.dtype.str[1:]]
            data = array.tobytes()
        size = {"binary_data_size": len(data)}
        inputs.append({"name": name, "datatype": datatype, "shape": [len(array)], "parameters": size})
        chunks.append(data)
    head = json.dumps({"inputs": inputs, **more}).encode()
    headers = {LENGTH: str(len(head) if length is None else length)}
    return call(place.app, "POST", path, b"".join([head, *chunks, tail]), headers=headers)


def unpacked(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    length = int(answer.headers[LENGTH.lower()])
    head, data = json.loads(answer.body[:length]), answer.body[length:]
    assert answer.headers["content-type"] == "application/octet-stream"
    found: dict[str, Any] = {}
    for one in head["outputs"]:
        size = one["parameters"]["binary_data_size"]
        found[one["name"]] = np.frombuffer(data[:size], {"FP64": "<f8", "BOOL": "?"}[one["datatype"]])
        data = data[size:]
    assert data == b""
    return found


def test_binary_tensors_come_and_go(fleeted: Place) -> None:
    numbers = np.array([fleeted.known.number(name) for name in "ab"] + [10_000], np.int32)
    values, stamps = np.array([FAR, MEAN, 1.0]), np.full(3, START_US)
    sent = {"series": numbers, "timestamp": stamps, "value": values}
    told = unpacked(binary(fleeted, EVERY, sent, parameters={"binary_data_output": True}))
    assert told["score"][:2] == pytest.approx([2.0, 0.0], abs=1e-9)
    assert math.isnan(told["score"][2])
    assert told["anomaly"].tolist() == [True, False, False]
    in_json = outputs(binary(fleeted, EVERY, sent))
    assert in_json["anomaly"] == [True, False, False]


def test_texts_come_as_binary_too(fleeted: Place) -> None:
    sent = {"series_id": [b"a", b"hall 2/fan"], "value": np.array([FAR, MEAN], np.float32)}
    assert outputs(binary(fleeted, EVERY, sent))["anomaly"] == [True, False]
    assert outputs(binary(fleeted, of("fleet:pumps", "1"), {**sent, "series_id": [b"a", b"b"]}))["anomaly"] == [
        True,
        True,
    ]


def test_each_output_may_have_its_own_form(fleeted: Place) -> None:
    wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "anomaly"}]
    answer = infer(fleeted, EVERY, named("a"), value(FAR), outputs=wanted, id="x")
    length = int(answer.headers[LENGTH.lower()])
    head = json.loads(answer.body[:length])
    assert (head["outputs"][1]["data"], head["id"]) == ([True], "x")
    assert np.frombuffer(answer.body[length:]) == pytest.approx([2.0])


def test_a_large_binary_body_is_answered(place: Place) -> None:
    names = [f"m{i}" for i in range(2_000)]
    place.promote(fleet("pumps"), *names)
    numbers = np.array([place.known.number(name) for name in names] * 10, np.int32)
    values = np.where(np.arange(20_000) % 7 == 0, FAR, MEAN)
    told = unpacked(
        binary(place, EVERY, {"series": numbers, "value": values}, parameters={"binary_data_output": True})
    )
    np.testing.assert_array_equal(told["anomaly"], np.arange(20_000) % 7 == 0)


@given(st.integers(-10, 200), st.binary(max_size=30), st.integers(-1, 9))
def test_a_binary_body_that_lies_is_refused_or_right(length: int, tail: bytes, shape: int) -> None:
    place = PLACE[0]
    head = json.dumps(
        {"inputs": [{"name": "value", "datatype": "FP64", "shape": [shape], "parameters": {"binary_data_size": 8}}]}
    ).encode()
    body = head + struct.pack("<d", FAR) + tail
    answer = call(place.app, "POST", of("series:lone"), body, headers={LENGTH: str(len(head) + length)})
    if answer.status == 200:
        assert (length, tail, shape) == (0, b"", 1)
    else:
        assert answer.status == 400
        refusal(answer)


PLACE: list[Place] = []


@pytest.fixture(autouse=True)
def one_place(place: Place) -> Any:
    place.promote(series("lone"))
    PLACE[:] = [place]
    yield
    PLACE.clear()
