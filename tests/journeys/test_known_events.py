"""The same outage twice, in two pumps: where a known event covers it, it neither alarms nor teaches."""

import json
from pathlib import Path

import numpy as np
import pytest

from atalaia.connectors.atalaia import Client
from atalaia.connectors.atalaia.requests import Columns, TrainingConfig
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from tests.journeys.conftest import Start
from tests.journeys.servers import run_cli, until

pytestmark = pytest.mark.slow
START_S, STEP_S = 1_760_054_400, 300
TRAINED, POINTS = 600, 900
OUTAGES = (slice(650, 700), slice(800, 805))
PUMPS = ("pump 7", "pump 8")
KEY = ModelKey(Scope.FLEET, "pumps")


def at(place: int) -> int:
    return START_S + place * STEP_S


def history(start: int, end: int) -> Columns:
    """Return the points of both pumps, which are the same."""
    values = 20.0 + np.random.default_rng(7).normal(0.0, 0.2, POINTS)
    for outage in OUTAGES:
        values[outage] = 0.0
    stamps = np.array([at(place) for place in range(POINTS)], np.int64) * MICROS
    names = [name for name in PUMPS for _ in range(start, end)]
    return Columns(names, np.tile(stamps[start:end], 2), np.tile(values[start:end], 2))


def train(client: Client, version: str) -> float:
    """Train the fleet, promote what came of it, and return how many points it learnt."""
    job = client.training.start(KEY, TrainingConfig(window_hours=168.0, algorithm="streaming"))
    until(lambda: client.jobs.get(job.job_id).status == "completed", "the training")
    client.models.promote(KEY, version)
    (found,) = [one for one in client.models.get(KEY).versions if one.version == version]
    return found.metrics["points"] or 0.0


def bring(client: Client, start: int, end: int) -> None:
    client.points.add(history(start, end))
    until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored")


def test_a_known_outage_neither_alarms_nor_teaches(embed: Start, tmp_path: Path) -> None:
    service = embed(lifecycle__cooldown_s=0.0)
    with Client(service.url) as client:
        bring(client, 0, TRAINED)
        client.fleets.set("pumps", list(PUMPS))
        assert train(client, "v1") == 2 * TRAINED
        words = ["events", "add", "maintenance", "new bearing", "--series", PUMPS[0], "--from", str(at(650))]
        added = json.loads(
            run_cli(*words, "--to", str(at(700)), "-o", "json", cwd=tmp_path, url=service.url).stdout
        )
        for start in range(TRAINED, POINTS, 150):
            bring(client, start, start + 150)
        found = {name: [one.from_ for one in client.anomalies.iterate(series_id=name)] for name in PUMPS}
        why = client.series.explain(PUMPS[0], at(660))
        after = {name: client.series.explain(name, at(799)) for name in PUMPS}
        learnt = train(client, "v2")
        kept = client.series.points(PUMPS[0], from_=at(650), to=at(700), limit=100)

    assert [moment.timestamp() for moment in found[PUMPS[0]] if moment] == [at(800)]
    assert at(650) in [moment.timestamp() for moment in found[PUMPS[1]] if moment]
    assert [reason.code for reason in why.reasons][0] == "known_event"
    assert added["event_id"] in why.reasons[0].text
    widths = [(told.upper or 0.0) - (told.lower or 0.0) for told in after.values()]
    assert abs((after[PUMPS[0]].expected or 0.0) - 20.0) < 0.5
    assert widths[0] < widths[1]
    assert learnt == 2 * POINTS - 50
    assert [point.value for point in kept.points] == [0.0] * 50
