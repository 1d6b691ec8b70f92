"""An asset from its first point to an explained alarm: no sensor leaves its range, and still one is off."""

from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import numpy as np
import pytest

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client
from atalaia.connectors.atalaia.requests import Columns
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from tests.journeys.conftest import Start
from tests.journeys.servers import run_cli, until

pytestmark = pytest.mark.slow
START_S, STEP_S, TAUGHT, ALL = 1_760_054_400, 60, 1_200, 1_500
BROKEN = slice(1_350, 1_400)
SENSORS: tuple[str, ...] = ("press 3/flow", "press 3/heat", "press 3/power")
PRESS = ModelKey(Scope.ASSET, "press 3")


def readings() -> np.ndarray:
    """Return what the sensors of a press show, float64[n, 3]: all follow its load, until the flow does not."""
    rng, at = np.random.default_rng(5), np.arange(ALL)
    load = 50.0 + 30.0 * np.sin(at / 70.0) + 10.0 * np.sin(at / 13.0)
    table = load[:, np.newaxis] * [1.0, 0.5, 2.0] + [10.0, 40.0, 0.0] + rng.normal(0.0, 0.5, (ALL, 3))
    table[BROKEN, 0] = 60.0 - (table[BROKEN, 0] - 60.0)  # it runs against the others, inside its own range
    return table


def part(table: np.ndarray, start: int, end: int) -> Columns:
    """Return moments [start, end) of all sensors, those of one sensor after those of another."""
    stamps = (START_S + np.arange(start, end, dtype=np.int64) * STEP_S) * MICROS
    names = [name for name in SENSORS for _ in range(end - start)]
    return Columns(names, np.tile(stamps, 3), table[start:end].T.ravel())


def train(client: Client, table: np.ndarray) -> None:
    """Bring the first moments, say of what the series are, train, and promote."""
    client.points.add(part(table, 0, TAUGHT))
    for name in SENSORS:
        client.series.label(name, {"asset": "press 3"})
    job = client.training.start(PRESS)
    until(lambda: client.jobs.get(job.job_id).is_final, "the training")
    assert client.jobs.get(job.job_id).asset_id == "press 3"
    client.models.promote(PRESS, "v1")


def bring(client: Client, table: np.ndarray, start: int, end: int, step: int = 25) -> None:
    for first in range(start, end, step):
        client.points.add(part(table, first, min(first + step, end)))
    until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored")


def told_of(client: Client) -> list[tuple[Any, ...]]:
    found = sorted(client.anomalies.iterate(), key=lambda one: (one.from_, one.series_id))
    return [(a.series_id, a.from_, a.last_at, a.peak_at, a.peak_score, a.points, a.explanation) for a in found]


def test_a_broken_relation_is_noticed_explained_and_survives_a_restart(embed: Start, tmp_path: Path) -> None:
    table = readings()
    assert table[:, 0].min() >= table[:TAUGHT, 0].min() - 2.0
    assert table[:, 0].max() <= table[:TAUGHT, 0].max() + 2.0

    with service_in(tmp_path / "whole") as taught, Client(taught.url) as client:
        train(client, table)
    copytree(tmp_path / "whole", tmp_path / "stopped")
    whole = embed("whole")
    with Client(whole.url) as client, httpx.Client(base_url=whole.url, trust_env=False, timeout=60) as http:
        bring(client, table, TAUGHT, ALL)
        wanted = told_of(client)
        (alarm,) = client.anomalies.iterate()
        why = client.anomalies.explain(alarm.anomaly_id)
        page = run_cli("anomalies", "explain", alarm.anomaly_id, cwd=tmp_path, url=whole.url).stdout
        shown = client.assets.get("press 3")
        moments = [
            (START_S + i * STEP_S, dict(zip(SENSORS, table[i].tolist(), strict=True))) for i in range(1340, 1400)
        ]
        scored = client.assets.score("press 3", moments)
        listed = list(client.assets.iterate())
        lost = http.post("/api/v1/assets/press%203/score", json={"timestamp": 1, "values": {"press 3/steam": 1.0}})

    assert alarm.series_id == "press 3/flow"
    assert alarm.from_ is not None
    first = (alarm.from_.timestamp() - START_S) / STEP_S
    assert BROKEN.start <= first < BROKEN.start + 15
    assert (alarm.model.model_id, alarm.model.version, alarm.part) == ("asset:press 3", "v1", "relation")
    assert "the other sensors of press 3 say" in alarm.explanation
    assert why.relations[0].series_id == "press 3/flow"
    assert why.relations[0].score > 1.0
    assert "beside what the other sensors of the asset say" in why.view
    assert "press 3/flow: " in page
    assert shown.is_ready
    assert [sensor.series_id for sensor in shown.sensors] == list(SENSORS)
    assert scored.is_anomaly
    assert scored.moments[-1].sensors[0].series_id == "press 3/flow"
    assert [one.sensor_count for one in listed] == [3]
    assert (lost.status_code, lost.json()["code"]) == (422, "unknown_sensor")
    assert lost.json()["errors"][0]["pointer"] == "/values/press 3~1steam"

    for start, end in ((TAUGHT, 1_366), (1_366, ALL)):  # ended, and begun anew, in the middle of the alarm
        with service_in(tmp_path / "stopped") as service, Client(service.url) as client:
            bring(client, table, start, end)
            found = told_of(client)
    assert found == wanted


def service_in(folder: Path) -> Embedded:
    """Return a service in a folder."""
    return Embedded(load_settings({"data_dir": folder, "port": 0}))
