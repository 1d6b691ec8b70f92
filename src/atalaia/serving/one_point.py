"""The commonest inference, one point in JSON, without making arrays of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from atalaia.core.clock import now_us
from atalaia.core.scores import THRESHOLD
from atalaia.kit.web.wire import Body


class OnePoint(NamedTuple):
    """A point to score; `series_id` and `number` are both None for a model of one series."""

    value: float
    timestamp: int
    series_id: str | None
    number: int | None


class OneRequest(NamedTuple):
    """An inference of one point, and the id that its answer has."""

    point: OnePoint
    id: str | None


class _InputIn(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[int | float | str]
    parameters: Any = None


class _RequestIn(msgspec.Struct, gc=False):
    inputs: list[_InputIn]
    id: str | None = None
    parameters: Any = None
    outputs: Any = None


class _OutputOut(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: Sequence[int]
    data: tuple[float | bool]


class _ResponseOut(msgspec.Struct, gc=False, omit_defaults=True):
    model_name: str
    outputs: tuple[_OutputOut, _OutputOut]
    model_version: str
    id: str | None = None


_decoder = msgspec.json.Decoder(_RequestIn)
_encoder = msgspec.json.Encoder()
_ONE = [1]
_KINDS = {"value": "FP64", "timestamp": "INT64", "series_id": "BYTES", "series": "INT32"}
_EXACT = 2**53


def one_request(body: Body) -> OneRequest | None:
    """Return the one point that a V2 request in JSON asks for.

    None for everything that is more, less or other than one point in the datatypes that the model names, wrong
    requests among it: those are for `kit.web.tensors` to read, and to refuse.
    """
    try:
        sent = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if sent.parameters or sent.outputs:
        return None
    told: dict[str, int | float | str] = {}
    for one in sent.inputs:
        if one.shape != _ONE or len(one.data) != 1 or one.parameters or _KINDS.get(one.name) != one.datatype:
            return None
        told[one.name] = one.data[0]
    if len(told) != len(sent.inputs):  # one was named twice
        return None
    point = _point(**told)
    return None if point is None else OneRequest(point, sent.id)


def encode_one(model_name: str, version: str, score: float, request: OneRequest) -> bytes:
    """Return the answer to `request`; a score that is NaN becomes null."""
    outputs = (
        _OutputOut("score", "FP64", _ONE, (score,)),
        _OutputOut("anomaly", "BOOL", _ONE, (score > THRESHOLD,)),
    )
    return _encoder.encode(_ResponseOut(model_name, outputs, version, request.id))


def _point(
    value: int | float | str | None = None,
    timestamp: int | float | str | None = None,
    series_id: int | float | str | None = None,
    series: int | float | str | None = None,
) -> OnePoint | None:
    moment = now_us() if timestamp is None else _whole(timestamp)
    number = None if series is None else _whole(series)
    if value is None or isinstance(value, str) or moment is None or not isinstance(series_id, str | None):
        return None
    if series is not None and (number is None or number >= 2**31 or series_id is not None):
        return None
    return OnePoint(float(value), moment, series_id, number)


def _whole(number: int | float | str) -> int | None:
    """Return a number that was written as a whole one, and is small enough for every reader of JSON to be exact."""
    return number if isinstance(number, int) and 0 <= number < _EXACT else None
