"""One trace from the request through the queue to the worker, and from a prediction to its model."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app.outside import outside
from atalaia.app.settings import load_settings
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import wave
from tests.journeys.servers import Server, until
from tests.parts.collector import Collector, Receiver
from tests.parts.rabbitmq import RabbitMq

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.SERIES, "hall 2/pump")
PATH = "hall%202%2Fpump"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def collector(parts_folder: Path, receiver: Receiver) -> Iterator[Collector]:
    with Collector(parts_folder / "collector", receiver) as part:
        yield part


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMq, collector: Collector
) -> Iterator[dict[str, Server]]:
    settings: dict[str, Any] = {"lifecycle__cooldown_s": 0, "schedule_every_s": 0.5, "broker_url": rabbitmq.url}
    settings |= {"tracing__otlp_endpoint": collector.endpoint, "tracing__every": 0}
    folder = tmp_path_factory.mktemp("site") / "data"
    with ExitStack() as stack:
        roles = {
            role: Server(folder, role=role, **settings) for role in ("api", "worker", "predictor", "scheduler")
        }
        for server in roles.values():
            stack.enter_context(server)
        with roles["api"].client() as api:
            api.points.add(wave(400, KEY.name))
            until(lambda: api.series.get(KEY.name).received == 400, "the points to be scored")
        yield roles


def traced(number: int) -> tuple[str, dict[str, str]]:
    trace_id = f"{number:032x}"
    return trace_id, {"traceparent": f"00-{trace_id}-{number:016x}-01"}


def post(server: Server, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    with server.http() as http:
        return http.post(path, json=body, headers=headers)


def test_a_check_up_asks_the_collector(collector: Collector, servers: dict[str, Server]) -> None:
    for endpoint, ok in ((collector.endpoint, True), (f"{servers['api'].url}/v1/traces", False)):
        (found,) = outside(load_settings({"tracing.otlp_endpoint": endpoint}))
        assert (found.check, found.ok) == ("collector", ok), found


def test_a_training_is_one_trace(servers: dict[str, Server], receiver: Receiver) -> None:
    trace_id, headers = traced(0xA1)
    answer = post(servers["api"], f"/api/v1/training/{PATH}", {"config": {"window_hours": 48}}, headers)
    assert answer.status_code == 202
    wanted = {"job train", "load_history", "fit", "mlflow_publish", "complete"}
    found = receiver.wait(trace_id, {*wanted, "POST /api/v1/training/{series_id}"})
    door = found["POST /api/v1/training/{series_id}"]
    assert door.parent_span_id.hex() == headers["traceparent"].split("-")[2]
    assert receiver.parent(found["job train"]) == door.name
    assert {receiver.parent(found[name]) for name in wanted - {"job train"}} == {"job train"}


def test_a_prediction_tells_how_its_model_was_found(servers: dict[str, Server], receiver: Receiver) -> None:
    with servers["api"].client() as api:
        until(lambda: api.models.list().items, "the model to be trained")
        api.models.promote(KEY, "v1")
    predictor = servers["predictor"]
    body = {"timestamp": "2026-01-01T00:00:00Z", "value": 1.0}
    until(lambda: knows(predictor, body), "the predictor to know the model", timeout_s=15)
    trace_id, headers = traced(0xB2)
    with predictor.http() as http:
        assert http.post(f"/api/v1/admin/reload/{PATH}", headers=headers).status_code == 200
    loads = receiver.wait(trace_id, ["mlflow_load", "POST /api/v1/admin/reload/{series_id}"])
    assert receiver.parent(loads["mlflow_load"]) == "POST /api/v1/admin/reload/{series_id}"

    trace_id, headers = traced(0xC3)
    assert post(predictor, f"/api/v1/predict/{PATH}", body, headers).status_code == 200
    door = "POST /api/v1/predict/{series_id}"
    found = receiver.wait(trace_id, [door, "predict", "load_model", "check_cache", "inference"])
    assert receiver.parent(found["predict"]) == door
    assert receiver.parent(found["load_model"]) == "predict"
    assert receiver.parent(found["check_cache"]) == "load_model"
    assert receiver.parent(found["inference"]) == "predict"


def knows(server: Server, body: dict[str, Any]) -> bool:
    return post(server, f"/api/v1/predict/{PATH}", body, {}).json()["model_info"] is not None


def test_lines_of_the_log_carry_the_trace(servers: dict[str, Server]) -> None:
    lines = [line for line in servers["predictor"].log.read_text().splitlines() if f"{0xC3:032x}" in line]
    told = [json.loads(line) for line in lines]
    assert {line["event"] for line in told} == {"prediction"}
    worker = servers["worker"].log.read_text()
    assert f"{0xA1:032x}" in worker


def test_what_nobody_asked_to_trace_is_not_traced(servers: dict[str, Server], receiver: Receiver) -> None:
    before = len(receiver.spans)
    body = {"timestamp": "2026-01-01T00:00:00Z", "value": 1.0}
    for flag in ("00", "02"):
        headers = {"traceparent": f"00-{1:032x}-{1:016x}-{flag}"}
        answer = post(servers["predictor"], f"/api/v1/predict/{PATH}", body, headers)
        assert answer.status_code == 200
    trace_id, headers = traced(0xD4)
    post(servers["predictor"], f"/api/v1/predict/{PATH}", body, headers)
    until(lambda: receiver.trace(trace_id), "the one that is")
    assert all(span.trace_id.hex() == trace_id for span in receiver.spans[before:])


def test_a_collector_that_is_gone_holds_nobody_up(
    servers: dict[str, Server], collector: Collector, receiver: Receiver
) -> None:
    body = {"timestamp": "2026-01-01T00:00:00Z", "value": 1.0}
    collector.stop()
    try:
        for number in range(20):
            assert post(servers["predictor"], f"/api/v1/predict/{PATH}", body, traced(0xE00 + number)[1]).is_success
    finally:
        collector.start()
    trace_id, headers = traced(0xF6)
    post(servers["predictor"], f"/api/v1/predict/{PATH}", body, headers)
    until(lambda: receiver.trace(trace_id), "the collector to be used again")
    assert "Traceback" not in servers["predictor"].log.read_text()
