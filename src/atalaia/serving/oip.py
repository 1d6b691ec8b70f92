"""Hot doors of the Open Inference Protocol, V2 and V1: what KServe and Triton clients speak.

The model ``atalaia`` scores points of any series, each by its own model in Production. The inputs are ``value``,
``timestamp`` (INT64, microseconds since the epoch; now if it is left out), and ``series`` (numbers) or
``series_id`` (BYTES). ``series:<id>`` and ``fleet:<id>`` are single models, of which versions can be asked for;
that of one series needs no series. Outputs are ``score`` (1.0 is the threshold in force, NaN no opinion) and
``anomaly``, and on demand ``expected``, ``lower`` and ``upper``, and ``flags`` (UINT8: 1 far outside what was
learnt, 2 replayed, 4 flooding).
"""

import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Fault, Invalid, Missing
from atalaia.core.models import Scope, version_name
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, ModelRef, Scores
from atalaia.kit.privacy import Privacy
from atalaia.kit.web.doors import JSON, Answer, Call, HotRoute, decoded_segment, headers_of_error, json_answer
from atalaia.kit.web.hot import LARGE_BYTES, in_thread
from atalaia.kit.web.problems import problem_body
from atalaia.kit.web.tensors import InferRequest, Tensor, decode_request, encode_response
from atalaia.serving.cache import Loaded
from atalaia.serving.one_point import OnePoint, OneRequest, encode_one, instances, one_request
from atalaia.serving.prediction_log import PredictionLog
from atalaia.serving.service import Serving
from atalaia.serving.versions import EVERY

INFER = "/v2/models/{}/infer"
PREDICT_V1 = "/v1/models/{}:predict"
_LENGTH = b"inference-header-content-length"
_OCTETS = b"application/octet-stream"
_BANDS = ("expected", "lower", "upper")
_FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Asked:
    """The points of an inference; `numbers` and `names` are both None for a model of one series."""

    timestamps: IntArray
    values: FloatArray
    numbers: NumberArray | None
    names: list[str] | None


class _Scored(NamedTuple):
    """The score of one point, of which series by which model, and the model that was asked."""

    score: float
    series_id: str
    ref: ModelRef | None
    loaded: Loaded | None


def error_answer(error: AtalaiaError, call: Call) -> Answer:
    """Return an error as the protocol has it: ``{"error": "..."}``, and the code of the problem beside it."""
    status = problem_body(error)["status"]
    status = 400 if status == 422 else status  # as the specification says for what cannot be accepted
    return Answer(
        msgspec.json.encode({"error": error.detail, "code": error.code}), status, JSON, headers_of_error(error)
    )


class InferenceDoors:
    """V2 and V1."""

    def __init__(self, serving: Serving, log: PredictionLog, privacy: Privacy | None = None) -> None:
        self._serving = serving
        self._log = log
        self._hiding = privacy if privacy is not None and privacy.hides_ids else None
        self._versions = serving.versions

    def routes(self) -> list[HotRoute]:
        """Return where the doors stand."""
        infer, v1 = "/v2/models/{name}/infer", "/v1/models/{name}:predict"
        more: dict[str, Any] = {"refuse": error_answer, "log": False, "deep": True}
        return [
            HotRoute("POST", INFER, infer, self.infer, "predict", at_once=self.infer_now, **more),
            HotRoute("POST", PREDICT_V1, v1, self.predict_v1, "predict", at_once=self.predict_v1_now, **more),
        ]

    def infer(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score points by a model, in tensors."""
        return self.infer_now(call) or in_thread(lambda: self._inferred(call, *self._infer_request(call)))

    def infer_now(self, call: Call) -> Answer | None:
        """The same for a small body and models in memory; None for all others."""
        if len(call.body) > LARGE_BYTES:
            return None
        self._log.check()
        name, version = self._named(call)
        one = None if call.header(_LENGTH) else self._one_request(call)
        answer = None if one is None else self._inferred_one(call, name, version, one)
        if answer is not None:
            return answer
        request, asked = self._infer_request(call)
        return None if self._must_load(name, version, asked) else self._inferred(call, request, asked)

    def predict_v1(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score points by a model, as instances."""
        return self.predict_v1_now(call) or in_thread(lambda: self._predicted(call, self._instances(call)))

    def predict_v1_now(self, call: Call) -> Answer | None:
        """The same for a small body and models in memory; None for all others."""
        if len(call.body) > LARGE_BYTES:
            return None
        self._log.check()
        points = self._instances(call)
        name = self._hidden(decoded_segment(call.name))
        scored = self._scored_one(call, name, None, points[0]) if len(points) == 1 else None
        if scored is not None:
            return _predictions([scored.score])
        return None if self._must_load(name, None, _columns(points)) else self._predicted(call, points)

    def _inferred_one(self, call: Call, name: str, version: str | None, one: OneRequest) -> Answer | None:
        scored = self._scored_one(call, name, version, one.point)
        return None if scored is None else Answer(encode_one(name, _version(scored.loaded), scored.score, one))

    def _scored_one(self, call: Call, name: str, version: str | None, point: OnePoint) -> _Scored | None:
        """Score one point by a model in memory, and keep that; None for whatever is not as simple as that."""
        started = time.perf_counter()
        scored = self._score_one(name, version, point)
        if scored is not None:
            seconds = time.perf_counter() - started
            at = (scored.series_id, point.timestamp, point.value, scored.score)
            self._log.plain(call, *at, scored.ref, seconds)
        return scored

    def _score_one(self, name: str, version: str | None, point: OnePoint) -> _Scored | None:
        loaded = self._resident(name, version)
        value, timestamp, series_id, number = point
        if name == EVERY:
            if series_id is not None:
                score, ref = self._serving.score_point_now(series_id, timestamp, value)
            elif number is not None:
                score, ref = self._serving.score_number_now(number, timestamp, value)
                series_id = self._serving.models.routes.names_of(np.array([number]))[0] or f"#{number}"
            else:
                return None
            return None if score is None else _Scored(score, series_id, ref, None)
        if loaded is None or number is not None:
            return None
        if series_id is None and loaded.deployment.key.scope is Scope.SERIES:
            series_id = loaded.deployment.key.name
        row = None if series_id is None else loaded.model.row_of(series_id)
        if series_id is None or row is None:
            return None
        score = loaded.model.score_one(row, timestamp, value)[0]
        self._serving.note_asked(loaded, [series_id], [timestamp], [value], [score])
        index = self._serving.models.routes.index_of.get(series_id, -1)
        if index >= 0:
            self._serving.inputs.look(index, timestamp, value, score)
        return _Scored(score, series_id, loaded.ref, loaded)

    def _model(self, name: str, version: str | None) -> Loaded | None:
        """Return a model, loaded if needed, None for the one that stands for all."""
        return self._resident(name, version) or (None if name == EVERY else self._versions.find(name, version))

    def _resident(self, name: str, version: str | None) -> Loaded | None:
        """Return a model that is in memory, None for the one that stands for all."""
        if name != EVERY:
            return self._versions.resident(name, version)
        if version not in (None, "1"):
            raise Missing("unknown_version", f"the model {EVERY} has the version 1 alone")
        return None

    def _must_load(self, name: str, version: str | None, asked: Asked) -> bool:
        """Say whether a model must be loaded first, for which nobody may wait on the event loop."""
        loaded = self._resident(name, version)
        if name == EVERY:
            return self._serving.must_load(asked.numbers, asked.names)
        return loaded is None

    def _infer_request(self, call: Call) -> tuple[InferRequest, Asked]:
        length = call.header(_LENGTH) or None
        most = self._serving.settings.max_batch_points
        request = decode_request(call.body, length, max_elements=3 * most)
        asked = _asked(request)
        if self._hiding is not None and asked.names is not None:
            asked = replace(asked, names=self._hiding.series_ids(asked.names))
        return request, asked

    def _one_request(self, call: Call) -> OneRequest | None:
        one = one_request(call.body)
        if self._hiding is None or one is None:
            return one
        return one._replace(point=one.point.hidden(self._hiding.series_id))

    def _named(self, call: Call) -> tuple[str, str | None]:
        """Return the model that is asked, as it is kept, and the version."""
        name, version = name_and_version(call.name)
        return self._hidden(name), version

    def _hidden(self, name: str) -> str:
        return name if self._hiding is None else self._hiding.model_name(name)

    def _inferred(self, call: Call, request: InferRequest, asked: Asked) -> Answer:
        name, version = self._named(call)
        wanted = {output.name for output in request.outputs} or {"score", "anomaly"}
        loaded = self._model(name, version)
        columns = self._scores(call, loaded, asked, with_bands=not wanted.isdisjoint(_BANDS))
        if _FLAGS in wanted:
            columns[_FLAGS] = self._flags(loaded, asked, columns["score"])
        else:
            self._serving.inputs.count_outside(columns["score"])
        body, head = encode_response(name, _version(loaded), columns, request)
        if head is None:
            return Answer(body)
        return Answer(body, content_type=_OCTETS, headers=((_LENGTH, str(head).encode()),))

    def _instances(self, call: Call) -> list[OnePoint]:
        points = instances(call.body, self._serving.settings.max_batch_points)
        return points if self._hiding is None else [point.hidden(self._hiding.series_id) for point in points]

    def _predicted(self, call: Call, points: list[OnePoint]) -> Answer:
        name = self._hidden(decoded_segment(call.name))
        loaded = self._model(name, None)
        return _predictions(self._scores(call, loaded, _columns(points), with_bands=False)["score"].tolist())

    def _scores(
        self, call: Call, loaded: Loaded | None, asked: Asked, *, with_bands: bool
    ) -> dict[str, NDArray[Any]]:
        self._log.check()
        started = time.perf_counter()
        if loaded is None:
            scores, score = self._score_every(call, asked, with_bands, started)
        else:
            rows = self._rows(loaded, asked)
            scores = loaded.model.score(rows, asked.timestamps, asked.values)
            score = scores.score
            places: list[int] = rows.tolist()
            names = [loaded.model.series_ids[place] for place in places]
            points = (asked.timestamps.tolist(), asked.values.tolist(), score.tolist())
            self._serving.note_asked(loaded, names, *points)
            self._log.column(call, loaded.ref, names, asked.timestamps, asked.values, score, started)
        columns: dict[str, NDArray[Any]] = {"score": score, "anomaly": score > THRESHOLD}
        if with_bands and scores is not None:
            columns |= {name: getattr(scores, name) for name in _BANDS}
        return columns

    def _flags(self, loaded: Loaded | None, asked: Asked, score: FloatArray) -> NDArray[np.uint8]:
        names = asked.names
        if loaded is not None and names is None and asked.numbers is None:
            names = [loaded.deployment.key.name] * len(score)
        return self._serving.flags_of(asked.numbers, names, asked.timestamps, asked.values, score)

    def _score_every(
        self, call: Call, asked: Asked, with_bands: bool, started: float
    ) -> tuple[Scores | None, FloatArray]:
        at = (asked.timestamps, asked.values)
        if asked.names is not None:
            block = self._serving.score_named(asked.names, *at)
        elif asked.numbers is not None:
            block = self._serving.score_block(asked.numbers, *at)
        else:
            reason = f"the model {EVERY} needs an input `series` (numbers) or `series_id` (BYTES)"
            raise Invalid("bad_tensor", reason, faults=[Fault("/inputs", reason)])
        self._log.block(call, block, asked.numbers, asked.names, *at, started)
        return (block.columns if with_bands else None), block.score

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
            names = self._serving.models.routes.names_of(asked.numbers)
        rows = [model.row_of(name) for name in names]
        if None in rows:
            place = rows.index(None)
            detail = f"{loaded.ref.model_id} does not hold the series {names[place][:80]!r}"
            raise Missing("unknown_series", detail, faults=[Fault(f"/inputs/series/{place}", "unknown series")])
        return np.array(rows, np.int64)


def _columns(points: list[OnePoint]) -> Asked:
    values = np.array([point.value for point in points], np.float64)
    stamps = np.array([point.timestamp for point in points], np.int64)
    names = [point.series_id for point in points if point.series_id is not None]
    return Asked(stamps, values, None, names or None)


def _predictions(scores: list[float]) -> Answer:
    told = [{"score": score, "anomaly": score > THRESHOLD} for score in scores]
    return json_answer({"predictions": told})  # NaN becomes null


def name_and_version(path: str) -> tuple[str, str | None]:
    """Return what ``<name>`` or ``<name>/versions/<version>``, as sent in a path, names.

    Clients do not encode a slash in a name, so that one which is sent as it is belongs to the name too.
    """
    name, versions, version = path.rpartition("/versions/")
    if versions and name and "/" not in version:
        return decoded_segment(name), decoded_segment(version)
    return decoded_segment(path), None


def _version(loaded: Loaded | None) -> str:
    return "1" if loaded is None else str(loaded.deployment.number)


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
    outputs.append({"name": _FLAGS, "datatype": "UINT8", "shape": [-1]})
    name = EVERY if loaded is None else loaded.ref.model_id
    version = _version(loaded)
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
