"""A history chooses its detector: by HTTP and by command, from training to the reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.connectors.atalaia import Columns, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import MICROS, START_S
from tests.journeys.servers import Server, run_cli

DAYS, STEP_S = 10, 300
POINTS = DAYS * 86_400 // STEP_S

pytestmark = pytest.mark.slow


def points(series_id: str, values: Any) -> Columns:
    stamps = (START_S + np.arange(POINTS, dtype=np.int64) * STEP_S) * MICROS
    return Columns([series_id] * POINTS, stamps, values)


def test_auto_chooses_is_promoted_and_says_why(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(0.0, 1.0, POINTS)
    hours = 50.0 + 20.0 * np.sin(np.arange(POINTS) / 288 * 2 * np.pi) + noise
    with Server(tmp_path / "data", lifecycle__cooldown_s=0) as server, server.client() as client:

        def run(*args: str) -> str:
            return run_cli(*args, cwd=tmp_path, url=server.url).stdout

        client.points.add(points("orders", hours))
        client.points.add(points("dice", noise))

        # by HTTP
        key = ModelKey(Scope.SERIES, "dice")
        job = client.jobs.wait(client.training.start(key, TrainingConfig(400, "auto")).job_id, timeout_s=60)
        assert job.status == "completed", job.error
        assert job.result is not None
        assert job.result["selection"]["algorithm"] in ("statistical", "robust_zscore")
        (version,) = client.models.get(key).versions
        assert version.selection is not None
        assert version.selection == job.result["selection"]
        assert "nothing costlier is worth it" in version.selection["reason"]
        assert client.models.promote(key, "v1").stage == "Production"

        # by command
        train = ["train", "orders", "--algorithm", "auto", "--window-hours", "400"]
        promoted = json.loads(run(*train, "--promote", "--output", "json"))
        assert (promoted["version"], promoted["stage"]) == ("v1", "Production")
        shown = run("models", "show", "orders")
        told = json.loads(run("models", "show", "orders", "--output", "json"))["versions"][0]
        assert told["algorithm"] in ("seasonal_profile", "streaming", "memory_bank")
        assert told["selection"]["reason"] in shown
        assert f"{told['algorithm']}: found " in shown
        assert len(told["selection"]["candidates"]) >= 5
        ready = run("series", "show", "orders")
        assert "seasonal" in ready
        assert "a weekly season needs 14 days, 10.0 are known" in ready
        refused = run_cli(*train, "--set", "threshold_sigma=3", cwd=tmp_path, url=server.url, check=False)
        assert "auto takes none" in refused.stderr
    assert server.log.read_text().count("Traceback") == 0
