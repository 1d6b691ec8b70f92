"""Hot doors of serving: predictions, as JSON (rows or columns) or as an Arrow stream."""

import time
from collections.abc import Awaitable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from numpy.typing import NDArray

from atalaia.core.errors import AtalaiaError, Fault, Invalid
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import Score
from atalaia.core.series import check_id
from atalaia.kit.arrow_stream import ARROW, points_from_stream, scores_to_stream
from atalaia.kit.privacy import Privacy
from atalaia.kit.tracing import is_traced
from atalaia.kit.web.doors import Answer, Call, HotRoute, json_answer
from atalaia.kit.web.hot import LARGE_BYTES, in_thread
from atalaia.kit.web.wire import check_crowd, decode, parse_time, parse_times, refuse_places
from atalaia.serving import schemas
from atalaia.serving.prediction_log import PredictionLog
from atalaia.serving.service import PointToScore, Serving

PREDICT = "/api/v1/predict/{}"
PREDICT_BATCH = "/api/v1/predict/batch"
_point = msgspec.json.Decoder(schemas.PointBody)
_batch = msgspec.json.Decoder(schemas.BatchBody)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Points to score, whose series are named by their numbers, or else by their ids."""

    numbers: NumberArray | None
    names: Sequence[str] | None
    timestamps: IntArray
    values: FloatArray


class PredictionDoors:
    """One point, or many."""

    def __init__(self, serving: Serving, log: PredictionLog, privacy: Privacy | None = None) -> None:
        self._serving = serving
        self._log = log
        self._hiding = privacy if privacy is not None and privacy.hides_ids else None

    def routes(self) -> list[HotRoute]:
        """Return where the doors stand."""
        return [
            HotRoute(
                "POST",
                PREDICT,
                "/api/v1/predict/{series_id}",
                self.predict,
                "predict",
                log=False,
                at_once=self.predict_now,
            ),
            HotRoute("POST", PREDICT_BATCH, PREDICT_BATCH, self.predict_batch, "predict"),
        ]

    def predict(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score one point: is it an anomaly, how strange is it, why, and who says so."""
        answer = None if is_traced() else self.predict_now(call)  # a trace tells of every step
        return answer or in_thread(lambda: self._predict(call))

    def predict_now(self, call: Call) -> Answer | None:
        """Score one point by a model in memory; None when a model or the catalogue must be read first."""
        started = time.perf_counter()
        self._log.check()
        score = self._serving.predict_now(self._point_of(call))
        return None if score is None else self._answered(call, score, started)

    def _predict(self, call: Call) -> Answer:
        started = time.perf_counter()
        self._log.check()
        check_id(call.name)
        return self._answered(call, _only(self._serving.predict_alone(self._point_of(call))), started)

    def predict_batch(self, call: Call) -> Answer | Awaitable[Answer]:
        """Score points of many series; rows are answered one by one, columns and Arrow streams by their like."""
        self._log.check()
        if call.header(b"content-type").partition(";")[0].strip().lower() == ARROW:
            return in_thread(lambda: self._stream(call))
        if len(call.body) > LARGE_BYTES:
            return in_thread(lambda: self._batch(call))
        sent = self._sent(call)
        if isinstance(sent, _Columns):
            if self._serving.must_load(sent.numbers, sent.names):
                return in_thread(lambda: self._columns_answered(call, sent))
            return self._columns_answered(call, sent)
        points = self._points(sent)
        started = time.perf_counter()
        good = [point for point in points if isinstance(point, PointToScore)]
        scores = self._serving.predict_all_now(good)
        if None in scores:
            return in_thread(lambda: self._completed(call, sent, points, scores, started))
        return self._batch_answered(call, sent, _merged(points, [score for score in scores if score]), started)

    def _stream(self, call: Call) -> Answer:
        sent = points_from_stream(call.body, self._serving.settings.max_batch_points)
        indexes: list[int] = [] if sent.indexes is None else sent.indexes.tolist()
        ids = sent.ids if self._hiding is None else self._hiding.series_ids(sent.ids)
        names = [ids[i] for i in indexes]
        told = self._scored(call, _Columns(sent.numbers, names, sent.timestamps, sent.values))
        return Answer(scores_to_stream(told), content_type=ARROW.encode())

    def _columns_answered(self, call: Call, sent: _Columns) -> Answer:
        told = self._scored(call, sent)
        return json_answer({name: column.tolist() for name, column in told.items()})  # NaN becomes null

    def _scored(self, call: Call, sent: _Columns) -> dict[str, NDArray[Any]]:
        """Score columns; with ``only=anomalies`` the answer holds those alone, and their rows."""
        started = time.perf_counter()
        at = (sent.timestamps, sent.values)
        if sent.numbers is not None:
            block = self._serving.score_block(sent.numbers, *at)
        else:
            block = self._serving.score_named(sent.names or (), *at)
        self._log.block(call, block, sent.numbers, sent.names, *at, started)
        flags: dict[str, NDArray[Any]] = {}
        if b"flags=true" in call.query.split(b"&"):
            flags["flags"] = self._serving.flags_of(sent.numbers, sent.names, *at, block.score)
        else:
            self._serving.inputs.count_outside(block.score)
        if _wants_anomalies_only(call):
            rows = np.flatnonzero(block.alarm)
            return {"row": rows, "anomaly_score": block.score[rows], **{n: f[rows] for n, f in flags.items()}}
        return {"anomaly": block.alarm, "anomaly_score": block.score, **flags}

    def _batch(self, call: Call) -> Answer:
        sent = self._sent(call)
        if isinstance(sent, _Columns):
            return self._columns_answered(call, sent)
        points = self._points(sent)
        started = time.perf_counter()
        good = self._serving.predict([point for point in points if isinstance(point, PointToScore)])
        return self._batch_answered(call, sent, _merged(points, good), started)

    def _completed(
        self,
        call: Call,
        sent: Sequence[schemas.RowBody],
        points: Sequence[PointToScore | AtalaiaError],
        scores: Sequence[Score | None],
        started: float,
    ) -> Answer:
        """Score what no model in memory could, and answer with all."""
        good = [point for point in points if isinstance(point, PointToScore)]
        others = iter(self._serving.predict([p for p, score in zip(good, scores, strict=True) if score is None]))
        answers = [score or next(others) for score in scores]
        return self._batch_answered(call, sent, _merged(points, answers), started)

    def _sent(self, call: Call) -> Sequence[schemas.RowBody] | _Columns:
        """Return what a body of JSON brings."""
        _wants_anomalies_only(call)  # rows do not ask; a wrong value is refused all the same
        most = self._serving.settings.max_batch_points
        check_crowd(call.body, most)
        sent = decode(call.body, _batch)
        _check_form(sent)
        if sent.points is not None:
            _check_count(len(sent.points), most, "/points")
            return sent.points
        columns = _columns(sent, most, self._serving.models.routes.index_of)
        if self._hiding is not None and columns.names is not None:
            return replace(columns, names=self._hiding.series_ids(columns.names))
        return columns

    def _batch_answered(
        self,
        call: Call,
        sent: Sequence[schemas.RowBody],
        answers: Sequence[Score | AtalaiaError],
        started: float,
    ) -> Answer:
        for answer in answers:
            if isinstance(answer, Score):
                self._log.score(call, answer, (time.perf_counter() - started) / len(answers))
        told = [schemas.answer_of(row.series_id, answer) for row, answer in zip(sent, answers, strict=True)]
        return json_answer({"predictions": told})

    def _answered(self, call: Call, score: Score, started: float) -> Answer:
        self._log.score(call, score, time.perf_counter() - started)
        return json_answer(schemas.prediction(score))

    def _point_of(self, call: Call) -> PointToScore:
        sent = decode(call.body, _point)
        name = call.name if self._hiding is None else self._hiding.series_id(call.name)
        return PointToScore(name, parse_time(sent.timestamp, "/timestamp"), sent.value)

    def _points(self, rows: Sequence[schemas.RowBody]) -> list[PointToScore | AtalaiaError]:
        points = [_checked(row, i) for i, row in enumerate(rows)]
        if self._hiding is None:
            return points
        return [
            point._replace(series_id=self._hiding.series_id(point.series_id))
            if isinstance(point, PointToScore)
            else point
            for point in points
        ]


def _checked(row: schemas.RowBody, position: int) -> PointToScore | AtalaiaError:
    try:
        series_id = check_id(row.series_id, f"/points/{position}/series_id")
        return PointToScore(series_id, parse_time(row.timestamp, f"/points/{position}/timestamp"), row.value)
    except AtalaiaError as error:
        return error


def _merged(
    points: Sequence[PointToScore | AtalaiaError], answers: Sequence[Score | AtalaiaError]
) -> list[Score | AtalaiaError]:
    """Return an answer for each point; `answers` are those of the points that are none yet."""
    following = iter(answers)
    return [point if isinstance(point, AtalaiaError) else next(following) for point in points]


def _only(answer: Score | AtalaiaError) -> Score:
    if isinstance(answer, AtalaiaError):
        raise answer
    return answer


def _check_form(sent: schemas.BatchBody) -> None:
    """Refuse a body that is neither rows, nor columns that name their series in one way."""
    columns = {
        "series_ids": sent.series_ids,
        "series": sent.series,
        "timestamps": sent.timestamps,
        "values": sent.values,
    }
    there = [name for name, column in columns.items() if column is not None]
    if sent.points is not None:
        faults = [Fault(f"/{name}", "stands beside `points`") for name in there]
    elif sent.series is not None and sent.series_ids is not None:
        faults = [Fault("/series", "stands beside `series_ids`")]
    else:
        wanted = ("series_ids" if sent.series is None else "series", "timestamps", "values")
        faults = [Fault(f"/{name}", "is missing") for name in wanted if name not in there]
    if faults:
        detail = "send either `points`, or the columns `series_ids` (or `series`), `timestamps` and `values`"
        raise Invalid("invalid_request", f"{detail}: {faults[0].pointer} {faults[0].message}", faults=faults)


def _wants_anomalies_only(call: Call) -> bool:
    told = dict(parse_qsl(call.query.decode("latin-1"), keep_blank_values=True)) if call.query else {}
    if told.get("only", "anomalies") != "anomalies":
        fault = Fault("/only", "must be anomalies")
        raise Invalid("invalid_request", f"only: must be anomalies, not {told['only'][:80]!r}", faults=[fault])
    return "only" in told


def _check_count(count: int, most: int, pointer: str) -> None:
    if count > most:
        detail = f"{count} points are too many for one request, at most {most}"
        raise Invalid("invalid_points", detail, faults=[Fault(pointer, detail)])


def _columns(sent: schemas.BatchBody, most: int, known: Container[str]) -> _Columns:
    """Return the columns of a body; an id that is among the `known` ones is one."""
    names, numbers = sent.series_ids, sent.series
    stamps, values = sent.timestamps or [], sent.values or []
    named = "series" if names is None else "series_ids"
    lengths = {named: len(names or numbers or []), "timestamps": len(stamps), "values": len(values)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        detail = f"the columns differ in length: {told}"
        raise Invalid("invalid_points", detail, faults=[Fault("/values", detail)])
    _check_count(len(values), most, f"/{named}")
    if names is not None:
        _check_ids(names, known)
    return _Columns(
        None if numbers is None else np.array(numbers, np.int32),
        names,
        parse_times(stamps, "/timestamps/{}"),
        np.array(values, np.float64),
    )


def _check_ids(names: Sequence[str], known: Container[str]) -> None:
    reasons = {name: _why_no_id(name) for name in {name for name in names if name not in known}}
    if any(reasons.values()):
        bad = np.array([bool(reasons.get(name)) for name in names])
        refuse_places("invalid_id", bad, "/series_ids/{}", lambda i: reasons[names[i]])


def _why_no_id(name: str) -> str:
    try:
        check_id(name)
    except Invalid as error:
        return error.faults[0].message
    return ""


def documented(*names: str) -> dict[str, Any]:
    """Return what OpenAPI is told of a body that a hot door reads by itself, in one of several forms."""
    forms = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
