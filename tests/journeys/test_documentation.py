"""Every command that README, first steps and guides show runs as it stands, in its order, on a real service."""

import csv
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from atalaia.core.models import ModelKey, Scope
from tests.house.source import bash_lines, documents, read
from tests.journeys.servers import ATALAIA, PATIENCE_S, Server, until

pytestmark = pytest.mark.slow
PAGES = [
    name
    for name in documents()
    if name.startswith(("README.md", "docs/start/", "docs/guides/")) and bash_lines(read(name))
]
DEFAULT_URL = "http://127.0.0.1:8460"


def write_machine(path: Path) -> None:
    """Write the file that `docs/start/your-own-data.md` imports, up to the time of its first prediction."""
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, 10, tzinfo=UTC)
    noise = np.random.default_rng(7)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["series_id", "timestamp", "value"])
        for i in range((end - start) // timedelta(minutes=5)):
            value = 71 + np.sin(i / 288 * 2 * np.pi) + noise.normal(0, 0.2)
            rows.writerow(["machine-7", (start + i * timedelta(minutes=5)).isoformat(), f"{value:.3f}"])


def run_line(line: str, folder: Path, url: str) -> str:
    """Run one line of a document as a person would, only with the address of this service; return its output."""
    command = line.replace(DEFAULT_URL, url).replace("curl ", "curl --fail-with-body --noproxy '*' ", 1)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{ATALAIA.parent}:{os.environ['PATH']}", "ATALAIA_URL": url},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert done.stdout.strip(), f"{line} says nothing"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(tmp_path: Path, page: str) -> None:
    lines = bash_lines(read(page))
    if shutil.which("curl") is None and any(line.startswith("curl ") for line in lines):
        pytest.skip("this page needs curl, which is not installed here")
    write_machine(tmp_path / "machine.csv")
    with Server(tmp_path / "var" / "atalaia") as server:
        told = {line: run_line(line, tmp_path, server.url) for line in lines}
        if page.endswith("your-own-data.md"):
            assert_own_data_are_watched(server, told)


def assert_own_data_are_watched(server: Server, told: dict[str, str]) -> None:
    predicted = next(text for line, text in told.items() if line.startswith("atalaia predict"))
    assert re.search(r"^anomaly +yes", predicted, re.MULTILINE), predicted
    with server.client() as client:
        model = client.models.get(ModelKey(Scope.SERIES, "machine-7"))
        assert model.production_version == "v1"
        assert client.models.deployment(ModelKey(Scope.SERIES, "machine-7")).version == "v1"
        newest = client.series.points("machine-7", limit=100_000).points[-1].value
        assert newest == 70.8
        until(lambda: client.anomalies.list(series_id="machine-7").items, "the strange points to be found")


def test_the_pages_with_commands_are_found() -> None:
    assert {"docs/start/first-run.md", "docs/start/your-own-data.md", "docs/guides/operate.md"} <= set(PAGES)
