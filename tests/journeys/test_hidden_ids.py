"""Who knows a name goes on using it at every door, and nothing that is kept or logged holds it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.connectors.atalaia import Columns, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.arrow_stream import ARROW
from atalaia.kit.privacy import is_pseudonym
from tests.faults.test_hidden_names import kept, stream_of
from tests.journeys.measurements import START_S, wave
from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow
NAME = "ada-lovelace-1815"
KEY = ModelKey(Scope.SERIES, NAME)
RULES = json.dumps([{"where": "series_id", "match": "*lovelace*", "action": "hash"}])
PREDICT = "/api/v1/predict"


def asked(http: Any) -> dict[str, Any]:
    """Ask every door that answers about a series, and return what they say."""
    row = {"series_id": NAME, "timestamp": START_S, "value": 99.0}
    columns = {"series_ids": [NAME], "timestamps": [START_S], "values": [99.0]}
    value = {"name": "value", "datatype": "FP64", "shape": [1], "data": [99.0]}
    who = {"name": "series_id", "datatype": "BYTES", "shape": [1], "data": [NAME]}
    bands = {"outputs": [{"name": "score"}, {"name": "expected"}]}
    posts: dict[str, tuple[str, Any]] = {
        "one": (f"{PREDICT}/{NAME}", {"timestamp": START_S, "value": 99.0}),
        "rows": (f"{PREDICT}/batch", {"points": [row]}),
        "columns": (f"{PREDICT}/batch", columns),
        "v2": ("/v2/models/atalaia/infer", {"inputs": [value, who]}),
        "v2 with bands": ("/v2/models/atalaia/infer", {"inputs": [value, who], **bands}),
        "v2 of its model": (f"/v2/models/series:{NAME}/infer", {"inputs": [value]}),
        "v2 of a version": (f"/v2/models/series:{NAME}/versions/1/infer", {"inputs": [value], **bands}),
        "v1": ("/v1/models/atalaia:predict", {"instances": [{"series_id": NAME, "value": 99.0}] * 2}),
        "v1 of its model": (f"/v1/models/series:{NAME}:predict", {"instances": [99.0]}),
    }
    gets = {
        "series": f"/api/v1/series/{NAME}",
        "points": f"/api/v1/series/{NAME}/points",
        "explanation": f"/api/v1/series/{NAME}/explanation",
        "anomalies": f"/api/v1/anomalies?series_id={NAME}",
        "model": f"/api/v1/models/{NAME}",
        "metrics": f"/api/v1/models/{NAME}/metrics",
        "metadata": f"/v2/models/series:{NAME}",
        "ready": f"/v2/models/series:{NAME}/ready",
    }
    answers = {what: http.post(path, json=body) for what, (path, body) in posts.items()}
    answers |= {what: http.get(path) for what, path in gets.items()}
    body = stream_of({"series_id": [NAME], "timestamp": [START_S * 1_000_000], "value": [99.0]})
    arrow = http.post(f"{PREDICT}/batch", content=body, headers={"content-type": ARROW})
    assert arrow.status_code == 200, arrow.text
    assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(answers, 200)
    return {what: answer.json() for what, answer in answers.items()}


def test_a_name_is_used_at_every_door_and_kept_nowhere(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", privacy__rules=RULES, lifecycle__cooldown_s=0, signals__store_memory_s=0.3)
    with server, server.client() as client, server.http() as http:
        client.points.add(wave(400, NAME))
        job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
        client.models.promote(KEY, job.model_version or "")
        until(lambda: client.predict(NAME, 50.0, START_S).model_info, "the model to answer")
        strange = np.full(3, 900.0)
        stamps = (START_S + 600 * np.arange(400, 403)) * 1_000_000
        client.points.add(Columns([NAME] * 3, stamps, strange))
        until(lambda: http.get("/api/v1/anomalies").json()["items"], "an anomaly")
        told = asked(http)
        assert (
            told["one"]["model_info"]["version"] == told["rows"]["predictions"][0]["model_info"]["version"] == "v1"
        )
        assert told["columns"]["anomaly"] == [True]
        assert told["v2 of its model"]["outputs"][0]["data"][0] > 1
        assert len(told["anomalies"]["items"]) == 1
        assert told["points"]["points"]
        assert is_pseudonym(told["series"]["series_id"])
        assert is_pseudonym(told["explanation"]["series_id"])
        assert told["explanation"]["alarmed"]
        http.put("/api/v1/fleets/people", json={"series_ids": [NAME]}).raise_for_status()
        assert http.post(f"{PREDICT}/{NAME}", json={}).status_code == 422
        assert http.post(f"/api/v1/training/{NAME}", json={"config": 1}).status_code == 422
    assert kept(tmp_path / "data", NAME) == []
    assert NAME not in server.log.read_text()
