"""Inference requests and answers, in JSON and with binary tensors behind it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from atalaia.core.errors import Invalid
from atalaia.kit.web.tensors import InferRequest, Tensor, Wanted, decode_request, encode_response

NUMERIC = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32,
    "FP64": np.float64,
}  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
TEXTS = st.lists(st.text(max_size=6), max_size=8)
SIZE = "/parameters/binary_data_size"
every_type = pytest.mark.parametrize("datatype", NUMERIC)


def tensor(data: Any, datatype: str = "FP64", shape: list[int] | None = None, name: str = "x", **more: Any) -> Any:
    shape = [len(data)] if shape is None else shape
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def body(*inputs: Any, **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **members}).encode()


def binary(tensors: list[tuple[str, str, Any, bytes]], **members: Any) -> tuple[bytes, str]:
    """Return body and header of a request with these (name, datatype, shape, bytes) behind its JSON."""
    inputs = [
        {"name": n, "datatype": d, "shape": list(s), "parameters": {"binary_data_size": len(b)}}
        for n, d, s, b in tensors
    ]
    head = body(*inputs, **members)
    return head + b"".join(b for _, _, _, b in tensors), str(len(head))


def text_bytes(texts: list[str]) -> bytes:
    return b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)


def only(request: InferRequest) -> Tensor:
    (found,) = request.inputs
    return found


def refusal(sent: bytes, header: str | None = None, **options: int) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decode_request(sent, header, **options)
    return caught.value


@every_type
@given(data=st.data())
def test_numbers_come_through_in_json_flat_and_nested(datatype: str, data: st.DataObject) -> None:
    elements = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else {}
    array = data.draw(hnp.arrays(NUMERIC[datatype], SHAPES, elements=elements))
    for written in (array.ravel().tolist(), array.tolist()):
        if array.ndim == 0 and not isinstance(written, list):
            continue
        found = only(decode_request(body(tensor(written, datatype, list(array.shape)))))
        assert_array_equal(found.data, array, strict=True)


@every_type
@given(data=st.data())
def test_numbers_come_through_in_binary_bit_by_bit(datatype: str, data: st.DataObject) -> None:
    first, second = (data.draw(hnp.arrays(NUMERIC[datatype], SHAPES)) for _ in range(2))
    sent, header = binary(
        [("a", datatype, first.shape, first.tobytes()), ("b", datatype, second.shape, second.tobytes())]
    )
    for found, wanted in zip(decode_request(sent, header).inputs, (first, second), strict=True):
        assert found.data.dtype == wanted.dtype
        assert found.data.shape == wanted.shape
        assert found.data.tobytes() == wanted.tobytes()
        assert found.data.flags.aligned


@given(TEXTS)
def test_text_comes_through_in_json_and_in_binary(texts: list[str]) -> None:
    sent, header = binary([("x", "BYTES", [len(texts)], text_bytes(texts))])
    for found in (only(decode_request(sent, header)), only(decode_request(body(tensor(texts, "BYTES"))))):
        assert found.data.tolist() == texts
        assert found.data.dtype == object


def test_one_point_is_read() -> None:
    request = decode_request(
        b'{"id":"7","inputs":[{"name":"series","shape":[1],"datatype":"BYTES","data":["pump"]},'
        b'{"name":"value","shape":[1],"datatype":"FP64","data":[0.315]}]}'
    )
    assert request.id == "7"
    assert [(t.name, t.datatype, t.data.tolist()) for t in request.inputs] == [
        ("series", "BYTES", ["pump"]),
        ("value", "FP64", [0.315]),
    ]
    assert (request.outputs, request.binary, request.parameters) == ([], False, {})


def test_a_binary_tensor_is_a_view_of_the_body() -> None:
    values = np.arange(1000.0)
    inputs = {"name": "x", "datatype": "FP64", "shape": [1000], "parameters": {"binary_data_size": 8000}}
    head = body(inputs)
    head += b" " * (-len(head) % 8)
    sent = head + values.tobytes()
    found = only(decode_request(sent, str(len(head)).encode())).data
    assert np.shares_memory(found, np.frombuffer(sent, np.uint8))
    assert_array_equal(found, values)


def test_unknown_members_and_parameters_are_let_through() -> None:
    sent = body(
        tensor([1.0], parameters={"content_type": "np", "x": [1, {}]}, more=1),
        parameters={"deep": {"a": [None]}},
        extra=[1],
    )
    request = decode_request(sent)
    assert request.parameters == {"deep": {"a": [None]}}
    assert decode_request(memoryview(sent)).inputs[0].data.tolist() == [1.0]


def test_whole_numbers_are_floats_too() -> None:
    assert only(decode_request(body(tensor([1, 2])))).data.tolist() == [1.0, 2.0]


def test_a_float_beyond_its_type_is_infinite() -> None:
    assert only(decode_request(body(tensor([1e300, -1e300], "FP32")))).data.tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("one", "pointer", "reason"),
    [
        (tensor([1.0], "FP8"), "/datatype", "'FP8' is none of BOOL, INT8"),
        (tensor([1.0], shape=[-1]), "/shape", "none of them negative"),
        (tensor([1.0], shape=[2**63, 2**63]), "/shape", "more elements than are accepted"),
        (tensor([1.0], shape=[2**40, 2**40, 0, 3]), "/data", "0 elements"),
        (tensor([1.0], shape=[1] * 17), "/shape", "at most 16"),
        (tensor([1.0, 2.0], shape=[3]), "/data", "the shape has 3 elements, the data 2"),
        (tensor([1.0, 2.0, 3.0], shape=[2]), "/data", "the shape has 2 elements, the data more"),
        (tensor([1.0], shape=[0]), "/data", "the shape has 0 elements, the data 1"),
        (tensor([], shape=[1]), "/data", "the shape has 1 elements, the data 0"),
        (tensor([[1.0, 2.0], [3.0]], shape=[3]), "/data", "not those of a tensor"),
        (tensor([[1.0], [2.0, 3.0, 4.0]], shape=[2, 2]), "/data", "not those of a tensor"),
        (tensor([[[[1.0]]]], shape=[1, 1]), "/data", "not those of a tensor"),
        (tensor(["a", ["b"]], "BYTES", [2, 1]), "/data", "not those of a tensor"),
        (tensor(["1"]), "/data", "not those of a tensor"),
        (tensor([None]), "/data", "not those of a tensor"),
        (tensor([1.5], "INT32"), "/data", "not those of a tensor"),
        (tensor([True], "INT32"), "/data", "not those of a tensor"),
        (tensor([1], "BOOL"), "/data", "not those of a tensor"),
        (tensor([1], "BYTES"), "/data", "not those of a tensor"),
        (tensor([128], "INT8"), "/data", "out of range for INT8"),
        (tensor([-1], "UINT64"), "/data", "out of range for UINT64"),
        (tensor([2**63], "INT64"), "/data", "out of range for INT64"),
        (tensor([2**70], "INT64"), "/data", "out of range for INT64"),
        (tensor(1.0, shape=[1]), "/data", "not those of a tensor"),
        (tensor(None, shape=[1]), "/data", "not those of a tensor"),
        ({"name": "x", "datatype": "FP64", "shape": [1]}, "/data", "it is missing"),
        (tensor([1.0], parameters={"binary_data_size": 8}), "/data", "either data or binary_data_size"),
        (tensor([1.0], parameters={"binary_data_size": -8}), SIZE, "not a number of bytes"),
        (tensor([1.0], parameters={"binary_data_size": True}), SIZE, "not a number of bytes"),
        (tensor([1.0], parameters={"binary_data_size": "8"}), SIZE, "not a number of bytes"),
    ],
)
def test_a_tensor_that_lies_is_refused_with_its_place(one: Any, pointer: str, reason: str) -> None:
    error = refusal(body(tensor([0.0], name="good"), one))
    assert error.code == "bad_tensor"
    assert error.faults[0].pointer == f"/inputs/1{pointer}"
    assert reason in error.detail


def test_deep_lists_are_refused() -> None:
    deep = b'{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":' + b"[" * 99_999 + b"]" * 99_999 + b"}]}"
    assert refusal(deep).code in ("bad_tensor", "invalid_json")


@pytest.mark.parametrize(
    ("sizes", "tail", "pointer"),
    [
        ((16, 8), 24, None),
        ((16, 8), 23, f"/inputs/1{SIZE}"),
        ((16, 8), 25, "/inputs"),
        ((16, 8), 0, f"/inputs/0{SIZE}"),
        ((15, 8), 23, "/inputs/0/shape"),
        ((24, 8), 32, "/inputs/0/shape"),
        ((16, 2**70), 24, f"/inputs/1{SIZE}"),
    ],
)
def test_binary_sizes_must_add_up(sizes: tuple[int, int], tail: int, pointer: str | None) -> None:
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [n], "parameters": {"binary_data_size": size}}
        for name, n, size in zip("ab", (2, 1), sizes, strict=True)
    ]
    head = body(*inputs)
    sent, header = head + bytes(tail), str(len(head))
    if pointer is None:
        assert [t.data.tolist() for t in decode_request(sent, header).inputs] == [[0, 0], [0]]
    else:
        error = refusal(sent, header)
        assert (error.code, error.faults[0].pointer) == ("bad_tensor", pointer)


@pytest.mark.parametrize("header", ["", "-1", "+5", "1_0", "x", "9" * 30, "1.5", "²", "100000"])
def test_a_header_that_is_no_length_is_refused(header: str) -> None:
    error = refusal(body(tensor([1.0])), header)
    assert error.code == "bad_tensor"
    assert "Inference-Header-Content-Length" in error.detail


def test_a_tail_without_a_header_or_a_wrong_one_is_no_json() -> None:
    sent, header = binary([("x", "FP64", [1], bytes(8))])
    assert refusal(sent).code == "invalid_json"
    assert refusal(sent, str(int(header) - 1)).code == "invalid_json"


@pytest.mark.parametrize(
    "data",
    [
        text_bytes(["ab"]),
        text_bytes(["ab", "c", "d"]),
        text_bytes(["ab", "c"])[:-1],
        text_bytes(["ab", "c"]) + b"\x00",
        b"\xff\xff\xff\xff" * 2,
        b"\x01\x00\x00\x00\xff" * 2,
        b"",
    ],
)
def test_text_whose_lengths_lie_is_refused(data: bytes) -> None:
    assert refusal(*binary([("x", "BYTES", [2], data)])).code == "bad_tensor"


def test_two_inputs_of_one_name_are_refused() -> None:
    assert refusal(body(tensor([1.0]), tensor([2.0]))).code == "bad_tensor"


def test_elements_are_bounded_over_all_inputs() -> None:
    two = body(tensor([1.0] * 6), tensor([2.0] * 5, name="y"))
    assert len(decode_request(two, max_elements=11).inputs) == 2
    error = refusal(two, max_elements=10)
    assert error.faults[0].pointer == "/inputs/1/shape"


@pytest.mark.parametrize("sent", [b"", b"[]", b"{", b'{"inputs": 1}', b'{"inputs": [{"name": "x"}]}', b"\xff"])
def test_what_is_no_request_is_refused(sent: bytes) -> None:
    assert refusal(sent).code in ("invalid_json", "invalid_request")


def request_for(*outputs: Wanted, binary: bool = False, id: str | None = None) -> InferRequest:
    return InferRequest(id, [], list(outputs), binary, {})


OUTPUTS: dict[str, np.ndarray] = {
    "score": np.array([0.5, 2.0]),
    "anomaly": np.array([False, True]),
    "model": np.array(["v1", "größer"], object),
}


def test_an_answer_in_json_has_all_outputs_and_the_id() -> None:
    sent, length = encode_response("plant", "3", OUTPUTS, request_for(id="7"))
    assert length is None
    assert json.loads(sent) == {
        "model_name": "plant",
        "model_version": "3",
        "id": "7",
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.5, 2.0]},
            {"name": "anomaly", "datatype": "BOOL", "shape": [2], "data": [False, True]},
            {"name": "model", "datatype": "BYTES", "shape": [2], "data": ["v1", "größer"]},
        ],
    }


def test_an_answer_leaves_out_what_there_is_not() -> None:
    sent, _ = encode_response("plant", None, {"x": np.array([], np.int32)}, request_for())
    assert json.loads(sent) == {
        "model_name": "plant",
        "outputs": [{"name": "x", "datatype": "INT32", "shape": [0], "data": []}],
    }


def test_what_json_cannot_say_is_null() -> None:
    sent, _ = encode_response("m", None, {"x": np.array([math.nan, math.inf, 1.0])}, request_for())
    assert json.loads(sent)["outputs"][0]["data"] == [None, None, 1.0]


def test_outputs_come_as_they_were_asked_for() -> None:
    wanted = request_for(Wanted("model", True), Wanted("score", False), Wanted("anomaly", True), binary=True)
    sent, length = encode_response("m", None, OUTPUTS, wanted)
    assert length is not None
    model, score, anomaly = json.loads(sent[:length])["outputs"]
    assert model == {"name": "model", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 18}}
    assert score["data"] == [0.5, 2.0]
    assert anomaly["parameters"] == {"binary_data_size": 2}
    assert "data" not in anomaly
    assert sent[length:] == text_bytes(["v1", "größer"]) + b"\x00\x01"


def test_an_output_that_is_not_there_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        encode_response("m", None, OUTPUTS, request_for(Wanted("score", False), Wanted("nothing", False)))
    assert (caught.value.code, caught.value.faults[0].pointer) == ("bad_tensor", "/outputs/1/name")


def test_which_outputs_go_out_as_binary_is_read_from_the_request() -> None:
    outputs = [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False, "other": 1}}]
    request = decode_request(body(tensor([1.0]), outputs=outputs, parameters={"binary_data_output": True}))
    assert request.outputs == [Wanted("a", True), Wanted("b", False)]
    assert request.binary
    for wrong in (
        {"parameters": {"binary_data_output": 1}},
        {"outputs": [{"name": "a", "parameters": {"binary_data": 0}}]},
    ):
        assert refusal(body(tensor([1.0]), **wrong)).code == "bad_tensor"


@given(st.lists(st.sampled_from(list(NUMERIC)), max_size=4), st.data())
def test_a_binary_answer_can_be_read_back_as_a_request(datatypes: list[str], data: st.DataObject) -> None:
    outputs = {f"t{i}": data.draw(hnp.arrays(NUMERIC[name], SHAPES)) for i, name in enumerate(datatypes)}
    sent, length = encode_response("m", None, outputs, request_for(binary=True))
    if length is None:
        assert not outputs
        return
    head = json.loads(sent[:length])
    again = json.dumps({"inputs": head["outputs"]}).encode()
    found = decode_request(again + sent[length:], str(len(again))).inputs
    assert {t.name: t.data.tobytes() for t in found} == {name: array.tobytes() for name, array in outputs.items()}
