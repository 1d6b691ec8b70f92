"""Hot doors of the Open Inference Protocol, V2 and V1: what KServe and Triton clients speak.

The model ``atalaia`` scores points of any series, each by its own model in Production. The inputs are ``value``,
``timestamp`` (INT64, microseconds since the epoch; now if it is left out), and ``series`` (numbers) or
``series_id`` (BYTES). ``series:<id>`` and ``fleet:<id>`` are single models, of which versions can be asked for;
that of one series needs no series. Outputs are ``score`` (1.0 is the threshold in force, NaN no opinion) and
``anomaly``, and on demand ``expected``, ``lower`` and ``upper``.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Fault, Invalid, Missing
from atalaia.core.models import Scope, version_name
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, Scores
from atalaia.kit.web.hot import JSON, LARGE_BYTES, Answer, Call, HotRoute, decoded_segment, in_thread, retry_header
from atalaia.kit.web.problems import problem_body
from atalaia.kit.web.tensors import InferRequest, Tensor, decode_request, encode_response
from atalaia.kit.web.wire import decode, parse_time
from atalaia.serving.cache import Loaded
from atalaia.serving.service import Serving
from atalaia.serving.versions import EVERY

INFER = "/v2/models/{}/infer"
PREDICT_V1 = "/v1/models/{}:predict"
_LENGTH = b"inference-header-content-length"
_OCTETS = b"application/octet-stream"
_BANDS = ("expected", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Asked:
    """The points of an inference; `numbers` and `names` are both None for a model of one series."""

    timestamps: IntArray
    values: FloatArray
    numbers: NumberArray | None
    names: list[str] | None


class _InstanceIn(msgspec.Struct):
    value: float
    timestamp: float | str | None = None
    series_id: str | None = None


class _InstancesIn(msgspec.Struct):
    instances: list[_InstanceIn | float]


_instances = msgspec.json.Decoder(_InstancesIn)


def error_answer(error: AtalaiaError, call: Call) -> Answer:
    """Return an error as the protocol has it: ``{"error": "..."}``, and the code of the problem beside it."""
    status = problem_body(error)["status"]
    status = 400 if status == 422 else status  # as the specification says for what cannot be accepted
    return Answer(
        msgspec.json.encode({"error": error.detail, "code": error.code}), status, JSON, retry_header(error)
    )


class InferenceDoors:
    """V2 and V1."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._versions = serving.versions

    def routes(self) -> list[HotRoute]:
        """Return where the doors stand."""
        return [
            HotRoute("POST", INFER, "/v2/models/{name}/infer", self.infer, error_answer, log=False, deep=True),
            HotRoute(
                "POST", PREDICT_V1, "/v1/models/{name}:predict", self.predict_v1, error_answer, log=False, deep=True
            ),
        ]

    def infer(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score points by a model, in tensors."""
        name, version = name_and_version(call.name)
        if len(call.body) > LARGE_BYTES:
            return in_thread(lambda: self._inferred(name, version, *self._infer_request(call)))
        request, asked = self._infer_request(call)
        if self._must_load(name, version, asked):
            return in_thread(lambda: self._inferred(name, version, request, asked))
        return self._inferred(name, version, request, asked)

    def predict_v1(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score points by a model, as instances."""
        name = decoded_segment(call.name)
        if len(call.body) > LARGE_BYTES:
            return in_thread(lambda: self._predicted(name, self._instances(call)))
        asked = self._instances(call)
        if self._must_load(name, None, asked):
            return in_thread(lambda: self._predicted(name, asked))
        return self._predicted(name, asked)

    def _must_load(self, name: str, version: str | None, asked: Asked) -> bool:
        """Say whether a model must be loaded first, for which nobody may wait on the event loop."""
        if name == EVERY:
            return self._serving.must_load(asked.numbers, asked.names)
        return self._versions.resident(name, version) is None

    def _infer_request(self, call: Call) -> tuple[InferRequest, Asked]:
        length = call.header(_LENGTH) or None
        most = self._serving.settings.max_batch_points
        request = decode_request(call.body, length, max_elements=3 * most)
        return request, _asked(request)

    def _inferred(self, name: str, version: str | None, request: InferRequest, asked: Asked) -> Answer:
        wanted = {output.name for output in request.outputs} or {"score", "anomaly"}
        loaded = None if name == EVERY else self._versions.find(name, version)
        if name == EVERY and version not in (None, "1"):
            raise Missing("unknown_version", f"the model {EVERY} has the version 1 alone")
        columns = self._scores(loaded, asked, with_bands=not wanted.isdisjoint(_BANDS))
        told = "1" if loaded is None else str(loaded.deployment.number)
        body, head = encode_response(name, told, columns, request)
        if head is None:
            return Answer(body)
        return Answer(body, content_type=_OCTETS, headers=((_LENGTH, str(head).encode()),))

    def _instances(self, call: Call) -> Asked:
        sent = [
            i if isinstance(i, _InstanceIn) else _InstanceIn(i) for i in decode(call.body, _instances).instances
        ]
        most = self._serving.settings.max_batch_points
        if len(sent) > most:
            detail = f"{len(sent)} instances are too many for one request, at most {most}"
            raise Invalid("invalid_points", detail, faults=[Fault("/instances", detail)])
        now = now_us()
        stamps = [
            now if one.timestamp is None else parse_time(one.timestamp, f"/instances/{i}/timestamp")
            for i, one in enumerate(sent)
        ]
        named = [one.series_id for one in sent if one.series_id is not None]
        if named and len(named) != len(sent):
            fault = Fault("/instances", "either all of them name a series, or none")
            raise Invalid("invalid_points", fault.message, faults=[fault])
        values = np.array([one.value for one in sent], np.float64)
        return Asked(np.array(stamps, np.int64), values, None, named or None)

    def _predicted(self, name: str, asked: Asked) -> Answer:
        loaded = None if name == EVERY else self._versions.find(name, None)
        columns = self._scores(loaded, asked, with_bands=False)
        scores = [None if score != score else score for score in columns["score"].tolist()]
        pairs = zip(scores, columns["anomaly"].tolist(), strict=True)
        told = [{"score": score, "anomaly": anomaly} for score, anomaly in pairs]
        return Answer(msgspec.json.encode({"predictions": told}))

    def _scores(self, loaded: Loaded | None, asked: Asked, *, with_bands: bool) -> dict[str, NDArray[Any]]:
        if len(asked.values) == 1 and not with_bands:
            score = self._score_one(loaded, asked)
            return {"score": np.array([score]), "anomaly": np.array([score > THRESHOLD])}
        if loaded is None:
            scores, score = self._score_every(asked, with_bands)
        else:
            scores = loaded.model.score(self._rows(loaded, asked), asked.timestamps, asked.values)
            score = scores.score
        columns: dict[str, NDArray[Any]] = {"score": score, "anomaly": score > THRESHOLD}
        if with_bands and scores is not None:
            columns |= {name: getattr(scores, name) for name in _BANDS}
        return columns

    def _score_every(self, asked: Asked, with_bands: bool) -> tuple[Scores | None, FloatArray]:
        at = (asked.timestamps, asked.values)
        if asked.names is not None:
            block = self._serving.score_named(asked.names, *at)
        elif asked.numbers is not None:
            block = self._serving.score_block(asked.numbers, *at)
        else:
            reason = f"the model {EVERY} needs an input `series` (numbers) or `series_id` (BYTES)"
            raise Invalid("bad_tensor", reason, faults=[Fault("/inputs", reason)])
        return (block.columns if with_bands else None), block.score

    def _score_one(self, loaded: Loaded | None, asked: Asked) -> float:
        """Score one point without making arrays of it."""
        timestamp, value = asked.timestamps.item(0), asked.values.item(0)
        if loaded is None:
            if asked.names is not None:
                return self._serving.score_point(asked.names[0], timestamp, value)
            if asked.numbers is not None:
                return self._serving.score_number(asked.numbers.item(0), timestamp, value)
            return self._score_every(asked, False)[1].item(0)
        return loaded.model.score_one(int(self._rows(loaded, asked)[0]), timestamp, value)[0]

    def _rows(self, loaded: Loaded, asked: Asked) -> IntArray:
        model = loaded.model
        if asked.names is None and asked.numbers is None:
            if loaded.deployment.key.scope is Scope.SERIES:
                return np.zeros(len(asked.values), np.int64)
            reason = "a model of a fleet needs an input `series` (numbers) or `series_id` (BYTES)"
            raise Invalid("bad_tensor", reason, faults=[Fault("/inputs", reason)])
        names = asked.names
        if names is None:
            assert asked.numbers is not None, "one of both is there"
            names = self._serving.names_of(asked.numbers)
        rows = [model.row_of(name) for name in names]
        if None in rows:
            place = rows.index(None)
            detail = f"{loaded.ref.model_id} does not hold the series {names[place][:80]!r}"
            raise Missing("unknown_series", detail, faults=[Fault(f"/inputs/series/{place}", "unknown series")])
        return np.array(rows, np.int64)


def name_and_version(path: str) -> tuple[str, str | None]:
    """Return what ``<name>`` or ``<name>/versions/<version>``, as sent in a path, names.

    Clients do not encode a slash in a name, so that one which is sent as it is belongs to the name too.
    """
    name, versions, version = path.rpartition("/versions/")
    if versions and name and "/" not in version:
        return decoded_segment(name), decoded_segment(version)
    return decoded_segment(path), None


def metadata(loaded: Loaded | None) -> dict[str, Any]:
    """Return what the protocol says of a model; None is the one that stands for all."""
    series = {"name": "series_id", "datatype": "BYTES", "shape": [-1]}
    inputs = [
        {"name": "value", "datatype": "FP64", "shape": [-1]},
        {"name": "timestamp", "datatype": "INT64", "shape": [-1]},
    ]
    if loaded is None or loaded.deployment.key.scope is Scope.FLEET:
        inputs = [series, *inputs]
    outputs = [{"name": "score", "datatype": "FP64", "shape": [-1]}]
    outputs.append({"name": "anomaly", "datatype": "BOOL", "shape": [-1]})
    outputs += [{"name": name, "datatype": "FP64", "shape": [-1]} for name in _BANDS]
    name = EVERY if loaded is None else loaded.ref.model_id
    version = "1" if loaded is None else str(loaded.deployment.number)
    platform = "atalaia" if loaded is None else f"atalaia_{loaded.deployment.algorithm}"
    return {"name": name, "versions": [version], "platform": platform, "inputs": inputs, "outputs": outputs}


def index_entry(loaded: Loaded | None, name: str, number: int) -> dict[str, str]:
    """Return the line of one model in the index of the repository."""
    if loaded is None:
        return {"name": name, "version": str(number), "state": "UNAVAILABLE", "reason": "not loaded"}
    return {"name": name, "version": str(number), "state": "READY", "reason": version_name(number)}


def _asked(request: InferRequest) -> Asked:
    tensors = {tensor.name: tensor for tensor in request.inputs}
    value = tensors.get("value") or (request.inputs[0] if len(request.inputs) == 1 else None)
    if value is None:
        reason = "there must be an input `value`"
        raise Invalid("bad_tensor", reason, faults=[Fault("/inputs", reason)])
    values = _numeric(value).astype(np.float64, copy=False)
    n = len(values)
    timestamp, series, series_id = (tensors.get(name) for name in ("timestamp", "series", "series_id"))
    stamps = np.full(n, now_us(), np.int64) if timestamp is None else _stamps(timestamp)
    numbers = None if series is None else _numeric(series)
    names = None if series_id is None else [str(name) for name in series_id.data.ravel().tolist()]
    for name, length in (("timestamp", len(stamps)), ("series", _len(numbers, n)), ("series_id", _len(names, n))):
        if length != n:
            reason = f"it has {length} elements, `value` has {n}"
            raise Invalid("bad_tensor", f"{name}: {reason}", faults=[Fault(f"/inputs/{name}", reason)])
    if numbers is not None and numbers.dtype.kind not in "iu":
        raise Invalid(
            "bad_tensor", "series: numbers of series are whole", faults=[Fault("/inputs/series", "INT32")]
        )
    if numbers is not None:
        numbers = np.clip(numbers, -1, 2**31 - 1).astype(np.int32, copy=False)
    return Asked(stamps, values, numbers, names)


def _len(column: Any, n: int) -> int:
    return n if column is None else len(column)


def _numeric(tensor: Tensor) -> NDArray[Any]:
    if tensor.data.dtype.kind not in "iuf":
        reason = f"{tensor.datatype} holds no numbers"
        raise Invalid("bad_tensor", f"{tensor.name}: {reason}", faults=[Fault(f"/inputs/{tensor.name}", reason)])
    return tensor.data.ravel()


def _stamps(tensor: Tensor) -> IntArray:
    stamps = _numeric(tensor)
    if stamps.dtype.kind == "f":
        reason = "microseconds since the epoch are whole numbers: INT64"
        raise Invalid("bad_tensor", f"timestamp: {reason}", faults=[Fault("/inputs/timestamp", reason)])
    return np.clip(stamps, 0, 2**62).astype(np.int64, copy=False)
