"""An outage comes in, and why it alarmed goes out, and why another moment did not: by HTTP and by command."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from atalaia.connectors.atalaia import Client
from atalaia.connectors.atalaia.requests import Columns, TrainingConfig
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from tests.journeys.conftest import Start
from tests.journeys.servers import run_cli, until

pytestmark = pytest.mark.slow
START_S, STEP_S, DAYS = 1_760_054_400, 300, 15
POINTS = DAYS * 86_400 // STEP_S
PUMPS = ("hall 2/pump 7", "hall 2/pump 8", "hall 3/pump 9")
OUTAGES = {PUMPS[0]: (3000, 4152), PUMPS[1]: (4153,), PUMPS[2]: ()}


def history(series_id: str) -> Columns:
    """Return two weeks of a pump that follows the day, with its outages."""
    places = np.arange(POINTS)
    values = 20.0 + 5.0 * np.sin(places * STEP_S / 86_400 * 2 * np.pi)
    values += np.random.default_rng(len(OUTAGES[series_id])).normal(0.0, 0.2, POINTS)
    for place in OUTAGES[series_id]:
        values[place : place + 8] = 0.0
    return Columns([series_id] * POINTS, (START_S + places * STEP_S) * MICROS, values)


def part(whole: Columns, start: int, end: int) -> Columns:
    return Columns(whole.series_ids[start:end], whole.timestamps[start:end], whole.values[start:end])


def run_in(client: Client, algorithm: str) -> None:
    """Bring a week, train on it, and bring the rest as it would have come."""
    for name in PUMPS:
        client.points.add(part(history(name), 0, 2016))
        hall = name.partition("/")[0].removeprefix("hall ")
        client.series.label(name, {"hall": hall, "site": "north"})
    client.fleets.set("pumps", list(PUMPS))
    key = ModelKey(Scope.FLEET, "pumps")
    job = client.training.start(key, TrainingConfig(window_hours=168.0, algorithm=algorithm))
    until(lambda: client.jobs.get(job.job_id).status == "completed", "the training")
    client.models.promote(key, "v1")
    for start in range(2016, POINTS, 500):
        for name in PUMPS:
            client.points.add(part(history(name), start, min(start + 500, POINTS)))
    until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored")


def test_why(embed: Start, tmp_path: Path) -> None:
    service = embed()
    with Client(service.url) as client, httpx.Client(base_url=service.url, trust_env=False, timeout=60) as http:
        run_in(client, "streaming")
        found = list(client.anomalies.iterate(series_id=PUMPS[0]))
        newest, first = found[0], found[-1]
        client.anomalies.give_feedback(first.anomaly_id, "expected", "maintenance")
        told: dict[str, Any] = http.get(f"/api/v1/anomalies/{newest.anomaly_id}/explanation").json()
        typed = client.anomalies.explain(newest.anomaly_id)
        ask = partial(run_cli, cwd=tmp_path, url=service.url)
        command = ask("anomalies", "explain", newest.anomaly_id, "-o", "json")
        page = ask("anomalies", "explain", newest.anomaly_id).stdout
        quiet_s = START_S + 3500 * STEP_S
        path = "/api/v1/series/hall%202%2Fpump%207/explanation"
        moment: dict[str, Any] = http.get(path, params={"at": quiet_s}).json()
        calm = ask("series", "explain", PUMPS[0], "--at", str(quiet_s), "-o", "json")
        calm_page = ask("series", "explain", PUMPS[0], "--at", str(quiet_s)).stdout
        outage = client.series.explain(PUMPS[0], START_S + 4154 * STEP_S)
        lost = ask("series", "explain", "nobody", check=False)

    assert len(found) == 2
    assert json.loads(command.stdout) == told
    assert told["rarity"]["basis"] == "model"
    assert told["rarity"]["episodes"] == 1
    assert told["rarity"]["text"].startswith("once in ")
    assert [one["anomaly_id"] for one in told["similar"]] == [first.anomaly_id]
    assert told["similar"][0]["likeness"] > 0.8
    assert told["similar"][0]["feedback"][0]["kind"] == "expected"
    assert [(one["series_id"], one["labels"]) for one in told["together"]] == [
        (PUMPS[1], {"hall": "2", "site": "north"})
    ]
    assert [(one["name"], one["value"], one["lift"]) for one in told["contributing_labels"]] == [("hall", "2", 1.5)]
    assert told["hindsight"]["stranger_than"] > 0.9
    assert told["relations"] == []
    assert typed.rarity.text == told["rarity"]["text"]
    assert typed.anomaly == newest
    for text in ("once in", "hall=2", "maintenance", "the value, beside what is usual at this time of day"):
        assert text in page

    assert json.loads(calm.stdout) == moment
    assert [reason["code"] for reason in moment["reasons"]] == ["inside"]
    assert 0.0 <= moment["score"] <= 1.0
    assert moment["distance"] in calm_page
    assert moment["learnt_points"] >= 2016
    assert (outage.alarmed, outage.anomaly_id) == (True, newest.anomaly_id)
    assert outage.score is not None
    assert outage.score > 1.0
    assert lost.returncode != 0
    assert "no point of 'nobody' was ever received" in lost.stderr
