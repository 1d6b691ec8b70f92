"""Open Inference Protocol V2: requests and answers as named arrays, in JSON or with binary tensors behind it.

With the binary extension the JSON is followed by the bytes of tensors, one after another in the order in which they
are named; the header ``Inference-Header-Content-Length`` says how long the JSON is. All numbers are little-endian.
A text tensor (BYTES) holds UTF-8; in binary each element has its length in four bytes before it.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from atalaia.core.errors import Fault, Invalid
from atalaia.kit.web.wire import decode

LENGTH_HEADER = "Inference-Header-Content-Length"
TEXT = "BYTES"
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    TEXT: np.dtype(object),
}
_DATATYPES = {dtype: name for name, dtype in _DTYPES.items()}
_KINDS: dict[str, Any] = {"b": list[bool], "i": list[int], "u": list[int], "f": list[float], "O": list[str]}
_LISTS = {kind: msgspec.json.Decoder(type_) for kind, type_ in _KINDS.items()}
_ANYTHING = msgspec.json.Decoder()
_MOST_DIMENSIONS = 16
_LENGTH_BYTES = 4
_EMPTY_LISTS = 1_000_000
"""Most lists that may stand in the data of a tensor without elements."""

Parameters = dict[str, Any]


class Tensor(msgspec.Struct, frozen=True):
    """One named array.

    Attributes
    ----------
    data
        Of the sent shape, and the dtype of `datatype`; text is an array of str objects. It may be a view of the
        body that cannot be written to.
    """

    name: str
    datatype: str
    data: NDArray[Any]


class Wanted(msgspec.Struct, frozen=True):
    """An output that was asked for, and whether as binary."""

    name: str
    binary: bool


class InferRequest(msgspec.Struct, frozen=True):
    """What one request asks.

    Attributes
    ----------
    outputs
        Those that were named, empty for all there are.
    binary
        Whether outputs that were not named go out as binary.
    """

    id: str | None
    inputs: list[Tensor]
    outputs: list[Wanted]
    binary: bool
    parameters: Parameters


class _InputIn(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw = msgspec.Raw()


class _OutputIn(msgspec.Struct):
    name: str
    parameters: Parameters | None = None


class _RequestIn(msgspec.Struct):
    inputs: list[_InputIn]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_OutputIn] = []


class _OutputOut(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: Sequence[int]
    parameters: Mapping[str, int] | None = None
    data: list[Any] | None = None


class _ResponseOut(msgspec.Struct, omit_defaults=True):
    model_name: str
    outputs: list[_OutputOut]
    model_version: str | None = None
    id: str | None = None


_REQUEST = msgspec.json.Decoder(_RequestIn)
_ENCODER = msgspec.json.Encoder()


def decode_request(
    body: bytes | memoryview, json_length: str | bytes | None = None, *, max_elements: int = 5_000_000
) -> InferRequest:
    """Return an inference request as arrays; unknown fields and parameters are let through.

    Parameters
    ----------
    json_length
        The header ``Inference-Header-Content-Length``, None when it was not sent.
    max_elements
        Most elements of all inputs together.

    Raises
    ------
    Invalid
        ``invalid_json``, ``invalid_request``, or ``bad_tensor`` with the pointers of tensors that cannot be.
    """
    if json_length is None:
        head, tail = body if isinstance(body, bytes) else bytes(body), memoryview(b"")
    else:
        length = _length(json_length, len(body))
        view = memoryview(body)
        head, tail = bytes(view[:length]), view[length:]
    sent = decode(head, _REQUEST)
    inputs = _inputs(sent.inputs, tail, max_elements)
    parameters = sent.parameters or {}
    binary = _flag(parameters, "binary_data_output", default=False, pointer="/parameters")
    outputs = [
        Wanted(output.name, _wants_binary(output.parameters, binary, f"/outputs/{i}/parameters"))
        for i, output in enumerate(sent.outputs)
    ]
    return InferRequest(sent.id, inputs, outputs, binary, parameters)


def encode_response(
    model_name: str,
    model_version: str | None,
    outputs: Mapping[str, NDArray[Any]],
    request: InferRequest,
) -> tuple[bytes, int | None]:
    """Return the answer to `request`, and the length of its JSON when binary tensors follow it, else None.

    In JSON, which has no word for them, NaN and infinity become null. The id of the request is echoed.

    Raises
    ------
    Invalid
        ``bad_tensor``, when the request names an output that is not there.
    """
    wanted = request.outputs or [Wanted(name, request.binary) for name in outputs]
    tensors: list[_OutputOut] = []
    chunks: list[bytes] = []
    for i, want in enumerate(wanted):
        array = outputs.get(want.name)
        if array is None:
            raise _bad(f"/outputs/{i}/name", f"there is no output {want.name[:40]!r}, only {', '.join(outputs)}")
        datatype = _DATATYPES.get(array.dtype, TEXT)
        if want.binary:
            chunk = _text_bytes(array) if datatype == TEXT else array.tobytes()
            chunks.append(chunk)
            tensors.append(_OutputOut(want.name, datatype, array.shape, {"binary_data_size": len(chunk)}))
        else:
            tensors.append(_OutputOut(want.name, datatype, array.shape, None, array.ravel().tolist()))
    head = _ENCODER.encode(_ResponseOut(model_name, tensors, model_version, request.id))
    return (b"".join([head, *chunks]), len(head)) if chunks else (head, None)


def _length(header: str | bytes, most: int) -> int:
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
        raise _bad("", f"{LENGTH_HEADER}: {text[:20]!r} is not a length within the body ({most} bytes)")
    return int(text)


def _inputs(sent: Sequence[_InputIn], tail: memoryview, max_elements: int) -> list[Tensor]:
    tensors: list[Tensor] = []
    taken = elements = 0
    for i, one in enumerate(sent):
        dtype = _DTYPES.get(one.datatype)
        if dtype is None:
            raise _bad(f"/inputs/{i}/datatype", f"{one.datatype[:20]!r} is none of {', '.join(_DTYPES)}")
        count = _count(one.shape, max_elements - elements, i)
        elements += count
        size = None if one.parameters is None else one.parameters.get("binary_data_size")
        if size is None:
            data = _from_json(one, dtype, count, i)
        else:
            part = _part(one, size, tail[taken:], i)
            taken += len(part)
            data = _from_text(part, count, i) if dtype.kind == "O" else _from_binary(part, dtype, count, i)
        tensors.append(
            Tensor(one.name, one.datatype, data if data.ndim == len(one.shape) else data.reshape(one.shape))
        )
    if taken != len(tail):
        raise _bad("/inputs", f"{len(tail) - taken} bytes follow behind the last binary tensor")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise _bad("/inputs", "two of them have the same name")
    return tensors


def _count(shape: Sequence[int], most: int, i: int) -> int:
    if len(shape) > _MOST_DIMENSIONS or any(length < 0 for length in shape):
        raise _bad(f"/inputs/{i}/shape", f"a shape has at most {_MOST_DIMENSIONS} lengths, none of them negative")
    count = prod(shape)
    if count > most:
        raise _bad(
            f"/inputs/{i}/shape", f"the inputs have more elements than are accepted; room was left for {most}"
        )
    return count


def _from_json(sent: _InputIn, dtype: np.dtype[Any], count: int, i: int) -> NDArray[Any]:
    raw = memoryview(sent.data)
    if not len(raw):
        raise _bad(f"/inputs/{i}/data", "it is missing, and there is no binary_data_size either")
    commas = count if count else min(_EMPTY_LISTS, prod(max(length, 1) for length in sent.shape))
    if dtype.kind != "O" and bytes(raw).count(b",") >= max(commas, 1):  # before a list is made of them
        raise _wrong_count(i, "more", count)
    try:
        items: list[Any] = _LISTS[dtype.kind].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        items = _flat(raw, sent.shape, dtype, i)
    if len(items) != count:
        raise _wrong_count(i, str(len(items)), count)
    try:
        if dtype.kind != "f" or dtype.itemsize == 8:
            return np.array(items, dtype)
        with np.errstate(over="ignore"):
            return np.array(items, dtype)
    except OverflowError as error:
        raise _bad(f"/inputs/{i}/data", f"a number is out of range for {sent.datatype}") from error


def _flat(raw: memoryview, shape: Sequence[int], dtype: np.dtype[Any], i: int) -> list[Any]:
    """Return the elements of lists in lists, which must be as long as the shape says."""
    try:
        items: list[Any] = [_ANYTHING.decode(raw)]
        for length in shape:
            if not all(type(item) is list and len(item) == length for item in items):
                raise msgspec.ValidationError("the lists do not have the lengths of the shape")
            items = list(chain.from_iterable(items))
        return msgspec.convert(items, _KINDS[dtype.kind])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = f"its elements or its lists are not those of a tensor of this datatype and shape: {error}"
        raise _bad(f"/inputs/{i}/data", reason) from error


def _part(sent: _InputIn, size: object, tail: memoryview, i: int) -> memoryview:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _bad(f"/inputs/{i}/parameters/binary_data_size", "it is not a number of bytes")
    if len(memoryview(sent.data)):
        raise _bad(f"/inputs/{i}/data", "send either data or binary_data_size")
    if size > len(tail):
        raise _bad(f"/inputs/{i}/parameters/binary_data_size", f"{size} bytes are announced, {len(tail)} are left")
    return tail[:size]


def _from_binary(part: memoryview, dtype: np.dtype[Any], count: int, i: int) -> NDArray[Any]:
    if len(part) != count * dtype.itemsize:
        reason = f"the shape takes {count * dtype.itemsize} bytes, {len(part)} are announced"
        raise _bad(f"/inputs/{i}/shape", reason)
    if dtype.kind == "b":
        return np.frombuffer(part, np.uint8) != 0
    data = np.frombuffer(part, dtype)
    return data if data.flags.aligned else data.copy()


def _from_text(part: memoryview, count: int, i: int) -> NDArray[Any]:
    if count * _LENGTH_BYTES > len(part):
        raise _wrong_count(i, "fewer", count)
    texts: list[str] = []
    at, data = 0, bytes(part)
    while at < len(data) and len(texts) < count:
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "little")
        if at > len(data) or begin > len(data):
            raise _bad(f"/inputs/{i}/data", f"element {len(texts)} is longer than what is left")
        try:
            texts.append(data[begin:at].decode())
        except UnicodeDecodeError as error:
            raise _bad(f"/inputs/{i}/data", f"element {len(texts)} is not UTF-8 text") from error
    if at != len(data) or len(texts) != count:
        raise _wrong_count(i, "more" if at < len(data) else str(len(texts)), count)
    return np.array(texts, object)


def _text_bytes(array: NDArray[Any]) -> bytes:
    texts = [str(text).encode() for text in array.ravel().tolist()]
    return b"".join(piece for text in texts for piece in (len(text).to_bytes(_LENGTH_BYTES, "little"), text))


def _wants_binary(parameters: Parameters | None, default: bool, pointer: str) -> bool:
    return default if parameters is None else _flag(parameters, "binary_data", default=default, pointer=pointer)


def _flag(parameters: Parameters, name: str, *, default: bool, pointer: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise _bad(f"{pointer}/{name}", "it is neither true nor false")
    return value


def _wrong_count(i: int, found: str, count: int) -> Invalid:
    return _bad(f"/inputs/{i}/data", f"the shape has {count} elements, the data {found}")


def _bad(pointer: str, reason: str) -> Invalid:
    return Invalid("bad_tensor", f"{pointer or 'body'}: {reason}", faults=[Fault(pointer, reason)])
