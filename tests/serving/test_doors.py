"""Predictions at the hot doors: what waits goes to a thread, all is logged and counted once, Arrow in and out."""

import asyncio
import json
import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message
from structlog.testing import capture_logs

from atalaia.core.scores import Source
from atalaia.kit.arrow_stream import ARROW
from atalaia.kit.logs import EventLog
from atalaia.kit.web import hot
from tests.kit.asgi import Answer, call
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, open_place, series
from tests.serving.conftest import OpenPlace
from tests.serving.test_blocks import model

AT_S = 1_700_000_000
FAR = MEAN + 6 * STD
STEP_US = 60_000_000


def predict(place: Place, name: str, value: float = MEAN, **more: Any) -> Answer:
    return call(place.app, "POST", f"/api/v1/predict/{name}", {"timestamp": AT_S, "value": value}, **more)


def batch(place: Place, *points: tuple[str, float], **more: Any) -> Answer:
    rows = [{"series_id": name, "timestamp": AT_S, "value": value} for name, value in points]
    return call(place.app, "POST", "/api/v1/predict/batch", {"points": rows}, **more)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is to name each piece of work that goes to a thread."""
    sent: list[str] = []
    really = hot.run_in_threadpool

    async def watched(work: Any, *args: Any) -> Any:
        sent.append("one")
        return await really(work, *args)

    monkeypatch.setattr(hot, "run_in_threadpool", watched)
    return sent


# flags


def test_rows_tell_their_flags(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    told = batch(place, ("a", MEAN), ("a", MEAN), ("b", MEAN + 1e9)).json()["predictions"]
    assert [row.get("flags") for row in told] == [None, ["replayed"], ["out_of_envelope"]]


def test_columns_tell_flags_when_asked(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    columns = {"series_ids": ["a", "b", "x"], "timestamps": [AT_S] * 3, "values": [MEAN, 1e9, 1.0]}
    path = "/api/v1/predict/batch"
    assert "flags" not in call(place.app, "POST", path, columns).json()
    assert call(place.app, "POST", f"{path}?flags=true", columns).json()["flags"] == [0, 1, 0]
    told = call(place.app, "POST", f"{path}?flags=true&only=anomalies", columns).json()
    assert (told["row"], told["flags"]) == ([1], [3])
    assert 'prediction_inputs_flagged_total{flag="out_of_envelope"} 3.0' in place.telemetry.render().decode()


# where the work is done


def test_what_is_in_memory_is_answered_on_the_event_loop(place: Place, threads: list[str]) -> None:
    place.promote(fleet("pumps"), "a", "b")
    assert predict(place, "a").status == 200
    assert batch(place, ("a", MEAN), ("b", FAR)).status == 200
    assert threads == []


def test_a_model_is_loaded_in_a_thread(place: Place, threads: list[str]) -> None:
    place.promote(series("a"))
    place.promote(series("b"))
    assert (predict(place, "a").status, len(threads)) == (200, 1)
    assert (predict(place, "a").status, len(threads)) == (200, 1)
    assert (batch(place, ("a", MEAN), ("b", MEAN)).status, len(threads)) == (200, 2)
    assert (batch(place, ("a", MEAN), ("b", MEAN)).status, len(threads)) == (200, 2)


def test_the_catalogue_is_asked_in_a_thread(place: Place, threads: list[str]) -> None:
    place.known.fill("a")
    assert (predict(place, "a").json()["confidence"], len(threads)) == ("low", 1)


def test_many_points_are_worked_on_in_a_thread(place: Place, threads: list[str]) -> None:
    place.promote(fleet("pumps"), "a")
    told = batch(place, *[("a", FAR)] * 2_000).json()["predictions"]
    assert (len(told), all(one["anomaly"] for one in told), len(threads)) == (2_000, True, 1)


def test_a_slow_load_keeps_nobody_else_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote(series("slow"))
    place.promote(fleet("pumps"), "a")
    go_on, fetch = threading.Event(), place.shelf.fetch

    def slowly(run_id: str) -> bytes:
        assert go_on.wait(10)
        return fetch(run_id)

    monkeypatch.setattr(place.shelf, "fetch", slowly)
    app, done = place.app, list[str]()

    async def ask(name: str) -> None:
        body = b'{"timestamp":1700000000,"value":50}'
        path = f"/api/v1/predict/{name}"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": []}

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            assert message.get("status", 200) == 200

        await app({**scope, "query_string": b""}, receive, send)
        done.append(name)

    async def run() -> None:
        slow = asyncio.create_task(ask("slow"))
        await asyncio.sleep(0.01)
        for _ in range(3):
            await ask("a")
        go_on.set()
        await slow

    asyncio.run(run())
    assert done == ["a", "a", "a", "slow"]


# counts and log


def test_each_point_of_a_batch_is_counted_once(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("late"))
    place.known.fill("bare")
    batch(place, ("a", FAR), ("late", MEAN), ("b", MEAN), ("bare", MEAN), ("nobody", 1.0), ("a", MEAN))
    assert place.metric("anomaly_predictions_total") == {
        '{anomaly="false",model_version="running-statistics",series_id="bare"}': 1.0,
        '{anomaly="false",model_version="v1",series_id="a"}': 1.0,
        '{anomaly="true",model_version="v1",series_id="a"}': 1.0,
        '{anomaly="false",model_version="v1",series_id="b"}': 1.0,
        '{anomaly="false",model_version="v1",series_id="late"}': 1.0,
    }
    assert place.models.cache.misses == 3
    assert place.models.cache.hits == 3


def logged(place: Place, event: str = "prediction") -> list[dict[str, Any]]:
    """Return what the doors have logged until now."""
    waiting = list(place.events._waiting)
    told = [dict(one) if isinstance(one, dict) else msgspec.structs.asdict(one) for one in waiting]
    place.events._waiting.clear()
    return [line for line in told if line["event"] == event]


def test_every_prediction_is_logged_with_input_answer_and_model(place: Place) -> None:
    place.promote(series("a"))
    place.known.fill("bare", count=3)
    batch(place, ("a", FAR), ("bare", 1.0), ("nobody", 1.0), headers={"x-request-id": "mine"})
    first, second = logged(place)
    assert {name: first[name] for name in ("request_id", "series_id", "value")} == {
        "request_id": "mine",
        "series_id": "a",
        "value": FAR,
    }
    assert first["point_at"].isoformat() == "2023-11-14T22:13:20+00:00"
    assert (first["anomaly"], first["confidence"]) == (True, "high")
    assert first["anomaly_score"] == pytest.approx(2.0)
    assert (first["model_id"], first["model_version"], first["loaded_from"]) == ("series:a", "v1", Source.MLFLOW)
    assert 0 <= first["ms"] < 60_000
    assert (second["anomaly_score"], second["anomaly"], second["confidence"]) == (None, False, "low")
    assert (second["model_version"], second["loaded_from"]) == ("running-statistics", "fallback")


def test_a_single_prediction_is_logged_whether_its_model_is_loaded_or_not(place: Place) -> None:
    place.promote(series("a"))
    for _ in range(2):
        predict(place, "a", FAR, headers={"x-request-id": "mine"})
        (line,) = logged(place)
        assert (line["request_id"], line["series_id"], line["anomaly"]) == ("mine", "a", True)
    predict(place, "nobody")
    assert [(line["path"], line["status"]) for line in logged(place, "request")] == [
        ("/api/v1/predict/nobody", 404)
    ]


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_logged_can_be_written(place: Place, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    place.events = EventLog(as_json=as_json)
    place.promote(series("a"))
    predict(place, "a", FAR)
    with capture_logs() as lines, info_wanted():
        place.events.flush()
    (line,) = lines or [json.loads(capsys.readouterr().err)]
    assert (line["event"], line["loaded_from"], line["point_at"]) == (
        "prediction",
        "mlflow",
        "2023-11-14T22:13:20Z",
    )


@contextmanager
def info_wanted() -> Generator[None]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


def test_the_log_of_predictions_can_be_turned_off(open_serving: OpenPlace) -> None:
    place = open_serving(log_predictions=False)
    place.known.fill("a")
    predict(place, "a")
    batch(place, ("a", MEAN))
    assert logged(place) == []


# columns


def columns(place: Place, *points: tuple[str, float], names: bool = True, query: str = "") -> Answer:
    ids = [name for name, _ in points]
    series = {"series_ids": ids} if names else {"series": [place.known.number(name) for name in ids]}
    body = {**series, "timestamps": [AT_S] * len(points), "values": [value for _, value in points]}
    return call(place.app, "POST", f"/api/v1/predict/batch{query}", body)


@pytest.mark.parametrize("names", [True, False], ids=["names", "numbers"])
def test_columns_are_answered_by_columns(place: Place, names: bool) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("lone"))
    sent = (("a", FAR), ("nobody", 1.0), ("lone", MEAN), ("b", MEAN), ("a", MEAN))
    answer = columns(place, *sent, names=names)
    told = answer.json()
    assert (answer.status, answer.headers["content-type"], list(told)) == (
        200,
        "application/json",
        ["anomaly", "anomaly_score"],
    )
    assert told["anomaly"] == [True, False, False, False, False]
    assert told["anomaly_score"][0] == pytest.approx(2.0)
    assert [score is None for score in told["anomaly_score"]] == [False, True, False, False, False]
    assert place.serving.counts("a", 0) == (2, 1)
    only = columns(place, *sent, names=names, query="?only=anomalies").json()
    assert only == {"row": [0], "anomaly_score": told["anomaly_score"][:1]}


@pytest.mark.parametrize("names", [True, False], ids=["names", "numbers"])
def test_columns_wait_in_a_thread_for_a_model_alone(place: Place, threads: list[str], names: bool) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("lone"))
    assert columns(place, ("a", MEAN), ("nobody", 1.0), names=names).status == 200
    assert threads == []
    first = columns(place, ("a", MEAN), ("lone", FAR), names=names).json()
    assert (first["anomaly"], len(threads)) == ([False, True], 1)
    again = columns(place, ("a", MEAN), ("lone", FAR), names=names).json()
    assert (again, len(threads)) == (first, 1)


@pytest.mark.parametrize("names", [True, False], ids=["names", "numbers"])
def test_long_columns_are_worked_on_in_a_thread(place: Place, threads: list[str], names: bool) -> None:
    place.promote(fleet("pumps"), "a")
    told = columns(place, *[("a", FAR)] * 5_000, names=names).json()
    assert (len(told["anomaly"]), all(told["anomaly"]), len(threads)) == (5_000, True, 1)


@pytest.mark.parametrize("names", [True, False], ids=["names", "numbers"])
def test_columns_without_points_have_an_answer_without_any(place: Place, names: bool) -> None:
    assert columns(place, names=names).json() == {"anomaly": [], "anomaly_score": []}


def test_times_of_columns_may_be_written_in_any_way(place: Place) -> None:
    place.deploy(fleet("pumps"), model("seasonal_profile", "a"))
    stamps = [AT_S, AT_S + 0.25, "2023-11-14T22:13:20Z", "2023-11-14T23:13:20.25+01:00"]
    told = [
        call(
            place.app,
            "POST",
            "/api/v1/predict/batch",
            {"series_ids": ["a"] * n, "timestamps": at, "values": [9] * n},
        )
        for n, at in ((4, stamps), (2, stamps[:2]))
    ]
    mixed, plain = (answer.json()["anomaly_score"] for answer in told)
    assert mixed == plain * 2
    one = call(place.app, "POST", "/api/v1/predict/a", {"timestamp": stamps[1], "value": 9})
    assert one.json()["anomaly_score"] == plain[1]


def test_a_column_says_what_a_stream_and_rows_say(place: Place) -> None:
    place.promote(fleet("pumps"), "a", "b")
    sent = (("a", FAR), ("b", MEAN), ("b", -1.7e308), ("a", 5e-324))
    told = columns(place, *sent).json()
    rows = batch(place, *sent).json()["predictions"]
    assert told == {name: [row[name] for row in rows] for name in told} == arrow(place, **columns_of(place, *sent))


# Arrow


def stream(**columns: Any) -> bytes:
    table = pa.record_batch({name: pa.array(column) for name, column in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)
    return sink.getvalue().to_pybytes()


def arrow(place: Place, query: str = "", **columns: Any) -> dict[str, list[Any]]:
    path = f"/api/v1/predict/batch{query}"
    answer = call(place.app, "POST", path, stream(**columns), headers={"content-type": ARROW})
    assert (answer.status, answer.headers["content-type"]) == (200, ARROW), answer.body
    return pa.ipc.open_stream(answer.body).read_all().to_pydict()


def columns_of(place: Place, *points: tuple[str, float], names: bool = True) -> dict[str, Any]:
    stamps = np.full(len(points), START_US)
    if names:
        return {"series_id": [name for name, _ in points], "timestamp": stamps, "value": [v for _, v in points]}
    numbers = np.array([place.known.number(name) for name, _ in points], np.int32)
    return {"series": numbers, "timestamp": stamps, "value": [v for _, v in points]}


@pytest.mark.parametrize("names", [True, False], ids=["names", "numbers"])
def test_an_arrow_stream_is_answered_by_one(place: Place, names: bool) -> None:
    place.promote(fleet("pumps"), "a", "b")
    place.promote(series("lone"))
    sent = columns_of(place, ("a", FAR), ("nobody", 1.0), ("lone", MEAN), ("b", MEAN), ("a", MEAN), names=names)
    told = arrow(place, **sent)
    assert told["anomaly"] == [True, False, False, False, False]
    assert told["anomaly_score"][0] == pytest.approx(2.0)
    assert np.isnan(np.array(told["anomaly_score"], float)).tolist() == [False, True, False, False, False]
    assert place.serving.counts("a", 0) == (2, 1)
    only = arrow(place, "?only=anomalies", **sent)
    assert only == {"row": [0], "anomaly_score": told["anomaly_score"][:1]}


def test_a_stream_without_points_has_an_answer_without_any(place: Place) -> None:
    sent = {"series_id": pa.array([], pa.string()), "timestamp": pa.array([], pa.int64())}
    assert arrow(place, **sent, value=pa.array([], pa.float64())) == {"anomaly": [], "anomaly_score": []}


@pytest.mark.parametrize("body", [b"", b"rubbish", stream(x=[1])[:40], stream(x=[1])])
def test_a_stream_that_cannot_be_read_is_refused(place: Place, body: bytes) -> None:
    answer = call(place.app, "POST", "/api/v1/predict/batch", body, headers={"content-type": ARROW})
    assert (answer.status, answer.json()["code"]) == (400, "bad_arrow")


def test_a_stream_with_too_many_points_is_refused(open_serving: OpenPlace) -> None:
    place = open_serving(max_batch_points=3)
    body = stream(**columns_of(place, *[("a", MEAN)] * 4))
    answer = call(place.app, "POST", "/api/v1/predict/batch", body, headers={"content-type": ARROW})
    assert (answer.status, answer.json()["code"]) == (413, "too_many_points")


STAMPS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**62, START_US])


@pytest.mark.parametrize("algorithm", ["statistical", "seasonal_profile", "streaming", "robust_zscore"])
@given(points=st.lists(st.tuples(st.sampled_from("ab"), STAMPS, st.floats()), min_size=1, max_size=8))
def test_any_time_and_any_value_has_an_answer(algorithm: str, points: list[tuple[str, int, float]]) -> None:
    place = PLACES[algorithm]
    columns: dict[str, Any] = {
        name: [point[i] for point in points] for i, name in enumerate(("series_id", "timestamp", "value"))
    }
    columns["timestamp"] = np.array(columns["timestamp"], np.int64)
    told = arrow(place, **columns)
    assert len(told["anomaly"]) == len(points)
    for (_, _, value), score in zip(points, told["anomaly_score"], strict=True):
        assert score is None or np.isnan(value) == np.isnan(score)


PLACES: dict[str, Place] = {}


@pytest.fixture(scope="module", autouse=True)
def places_of_each_algorithm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ExitStack() as stack:
        for algorithm in ("statistical", "seasonal_profile", "streaming", "robust_zscore"):
            place = stack.enter_context(open_place(tmp_path_factory.mktemp(algorithm)))
            place.deploy(fleet("pumps"), model(algorithm, "a", "b"))
            PLACES[algorithm] = place
        yield
