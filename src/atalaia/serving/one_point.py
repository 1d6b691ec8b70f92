"""Points to infer without making arrays of them: one in JSON by V2, the commonest inference, and those of V1."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from atalaia.core.clock import now_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.scores import THRESHOLD
from atalaia.kit.web.wire import Body, check_crowd, decode, parse_time


class OnePoint(NamedTuple):
    """A point to score; `series_id` and `number` are both None for a model of one series."""

    value: float
    timestamp: int
    series_id: str | None
    number: int | None

    def hidden(self, kept_as: Callable[[str], str]) -> "OnePoint":
        """Return the point with its series as it is kept."""
        return self if self.series_id is None else self._replace(series_id=kept_as(self.series_id))


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


class _InstanceIn(msgspec.Struct):
    value: float
    timestamp: float | str | None = None
    series_id: str | None = None


class _InstancesIn(msgspec.Struct):
    instances: list[_InstanceIn | float]


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


_instances = msgspec.json.Decoder(_InstancesIn)
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


def instances(body: Body, most: int) -> list[OnePoint]:
    """Return the points that a V1 request asks for.

    Raises
    ------
    Invalid
        When it is none, they are more than `most`, or some of them name a series and others do not.
    """
    check_crowd(body, most)
    sent = [i if isinstance(i, _InstanceIn) else _InstanceIn(i) for i in decode(body, _instances).instances]
    if len(sent) > most:
        detail = f"{len(sent)} instances are too many for one request, at most {most}"
        raise Invalid("invalid_points", detail, faults=[Fault("/instances", detail)])
    named = sum(one.series_id is not None for one in sent)
    if named not in (0, len(sent)):
        fault = Fault("/instances", "either all of them name a series, or none")
        raise Invalid("invalid_points", fault.message, faults=[fault])
    now = now_us()
    return [
        OnePoint(
            one.value,
            now if one.timestamp is None else parse_time(one.timestamp, f"/instances/{i}/timestamp"),
            one.series_id,
            None,
        )
        for i, one in enumerate(sent)
    ]


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
