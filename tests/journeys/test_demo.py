"""The demo as its user runs it: to the end, again, and after it was killed in the middle."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from atalaia.app.demo.histories import SAMPLES, load
from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client
from atalaia.core.clock import to_us
from tests.journeys.servers import ATALAIA, PATIENCE_S, run_cli, until

pytestmark = pytest.mark.slow
DEMO = ("demo", "--data-dir", "data", "--port", "0", "--no-serve")


def found_in(text: str) -> list[str]:
    """Return the lines of the table of anomalies."""
    heading, *rows = text.splitlines()
    assert heading.split() == ["series", "from", "to", "score", "expected", "band", "seen", "model"]
    return [row for row in rows if row.strip()]


def contents(data_dir: Path) -> dict[str, tuple[int, int, str]]:
    """Return for each series its points, its newest time and its versions, and check that all are there once."""
    told: dict[str, tuple[int, int, str]] = {}
    with Embedded(load_settings({"data_dir": data_dir, "port": 0})) as service, Client(service.url) as client:
        models = {model.series_id: model for model in client.models.iterate()}
        for sample in SAMPLES:
            series = client.series.get(sample.series_id)
            kept = client.series.points(sample.series_id, from_=0, limit=100_000).points
            assert series.last_at is not None
            model = models[sample.series_id]
            stages = " ".join(f"{version.version}:{version.stage}" for version in model.versions)
            told[sample.series_id] = (len(kept), to_us(series.last_at), stages)
            assert [(to_us(point.timestamp), point.value) for point in kept] == expected(sample.series_id)
        assert {job.status for job in client.jobs.list(limit=1000).items} == {"completed"}
    return told


def expected(series_id: str) -> list[tuple[int, float]]:
    sample = next(sample for sample in SAMPLES if sample.series_id == series_id)
    history = load(sample)
    return list(zip(history.timestamps.tolist(), history.values.tolist(), strict=True))


def assert_whole(told: dict[str, tuple[int, int, str]]) -> None:
    assert set(told) == {sample.series_id for sample in SAMPLES}
    assert {stages for _, _, stages in told.values()} == {"v1:Production"}


def test_the_demo_runs_to_the_end_and_a_second_run_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    first = run_cli(*DEMO, cwd=tmp_path)
    rows = found_in(first.stdout)
    assert len(rows) >= 10
    assert {row.split()[0] for row in rows} <= {sample.series_id for sample in SAMPLES}
    assert f"Found {len(rows)} anomalies" in first.stderr
    assert "API documentation: http://127.0.0.1:" in first.stderr
    assert "[info" not in first.stderr + first.stdout
    before = contents(tmp_path / "data")
    assert_whole(before)

    began = time.monotonic()
    second = run_cli(*DEMO, cwd=tmp_path)
    took_s = time.monotonic() - began
    print(f"the second demo took {took_s:.1f} s")
    assert took_s < 15
    assert "Imported the first part of each series: 0 points (all were there)." in second.stderr
    assert "Trained and promoted: 0 models (all were in Production)." in second.stderr
    assert "Replayed the rest: 0 points (all were there)." in second.stderr
    assert found_in(second.stdout) == rows
    assert contents(tmp_path / "data") == before


def test_a_demo_killed_in_the_middle_is_finished_by_the_next(tmp_path: Path) -> None:
    log = tmp_path / "first.log"
    with log.open("wb") as sink:
        # ten hours of data in a second: slow enough to be in the middle of the replay when it is killed
        process = subprocess.Popen([ATALAIA, *DEMO, "--speed", "36000"], cwd=tmp_path, stdout=sink, stderr=sink)
    try:
        until(lambda: f"Trained and promoted: {len(SAMPLES)} models." in log.read_text(), "the replay")
        time.sleep(1.5)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    assert "Replayed the rest" not in log.read_text()

    second = run_cli(*DEMO, cwd=tmp_path)
    assert "Trained and promoted: 0 models (all were in Production)." in second.stderr
    rows = found_in(second.stdout)
    assert len(rows) >= 10
    assert_whole(contents(tmp_path / "data"))
