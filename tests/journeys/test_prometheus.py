"""A real Prometheus writes to us; what it was told is kept outlives restarts and kills of our service."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.servers import PATIENCE_S, Server, free_port, metric, until

pytestmark = pytest.mark.slow
CONFIG = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: itself
    static_configs:
      - targets: ["127.0.0.1:{own}"]
remote_write:
  - url: http://127.0.0.1:{ours}/api/v1/write
    queue_config:
      batch_send_deadline: 1s
      min_backoff: 50ms
      max_backoff: 500ms
"""
UP = 'up{instance="127.0.0.1:%d",job="itself"}'


class Prometheus:
    """A Prometheus that scrapes itself every second and writes all of it to a service."""

    def __init__(self, command: str, folder: Path, ours: int) -> None:
        self.port = free_port()
        folder.mkdir()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(own=self.port, ours=ours))
        self.log = folder / "prometheus.log"
        flags = (
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([command, *flags], cwd=folder, stdout=log, stderr=log)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        return metric(self.http.get("/metrics").text, name)

    def samples(self, query: str) -> dict[int, float]:
        """Return the samples that it keeps itself, by their time in milliseconds."""
        found = self.http.get("/api/v1/query", params={"query": f"{query}[1h]"}).json()["data"]["result"]
        return {round(stamp * 1000): float(value) for one in found for stamp, value in one["values"]}

    def end(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data", signals__store_memory_s=1, signals__fleet_rules='[{"label": "job"}]')
    with server:
        yield server


@pytest.fixture
def prometheus(tmp_path: Path, server: Server) -> Iterator[Prometheus]:
    command = shutil.which("prometheus")
    if command is None:
        pytest.skip("no prometheus here; `make setup-dev` installs it as root")
    started = Prometheus(command, tmp_path / "prometheus", server.port)
    until(started.is_ready, "Prometheus to be ready")
    yield started
    started.end()


def series_of(server: Server, **params: Any) -> list[dict[str, Any]]:
    with server.http() as http:
        return http.get("/api/v1/series", params={"limit": 1000, **params}).raise_for_status().json()["items"]


def kept(server: Server, name: str) -> dict[int, float]:
    """Return the points of a series, by their time in milliseconds."""
    with server.client() as client:
        points = client.series.points(name, from_=1_700_000_000, limit=100_000).points
    return {round(point.timestamp.timestamp() * 1000): point.value for point in points}


def assert_the_same(prometheus: Prometheus, server: Server, query: str, name: str, until_ms: int) -> int:
    """Check that we keep what Prometheus keeps up to a moment; return how many samples that are."""
    theirs = {at: value for at, value in prometheus.samples(query).items() if at <= until_ms}
    until(lambda: max(kept(server, name), default=0) > until_ms, f"{name} to catch up")
    ours = {at: value for at, value in kept(server, name).items() if at <= until_ms}
    assert ours == theirs
    return len(theirs)


def test_what_prometheus_writes_is_kept_whatever_happens_to_our_service(
    server: Server, prometheus: Prometheus
) -> None:
    up = UP % prometheus.port
    head = f'prometheus_tsdb_head_samples_appended_total{{instance="127.0.0.1:{prometheus.port}",job="itself"'
    until(lambda: len(kept(server, up)) >= 4 if series_of(server, prefix=up) else None, "the first points")
    assert_labels(server, up, prometheus.port)
    for end in (server.stop, server.kill):
        before = prometheus.metric("prometheus_remote_storage_samples_total")
        end()
        time.sleep(4)
        failed = prometheus.metric("prometheus_remote_storage_samples_retried_total")
        assert failed > 0
        server.start()
        until(lambda: prometheus.metric("prometheus_remote_storage_samples_total") > before + 500, "it to go on")  # noqa: B023
    now_ms = int(time.time() * 1000)
    count = assert_the_same(prometheus, server, "up", up, now_ms)
    assert count >= 12
    (name,) = [series["series_id"] for series in series_of(server, prefix=head)][:1]
    assert_the_same(prometheus, server, name, name, now_ms)
    assert prometheus.metric("prometheus_remote_storage_samples_failed_total") == 0
    assert prometheus.metric("prometheus_remote_storage_samples_dropped_total") == 0
    assert_scored(server, up, count)
    assert "Traceback" not in server.log.read_text()


def assert_labels(server: Server, up: str, port: int) -> None:
    (series,) = series_of(server, prefix=up)
    labels = {"__name__": "up", "instance": f"127.0.0.1:{port}", "job": "itself"}
    assert (series["labels"], series["fleet_id"]) == (labels, "itself")
    every = series_of(server, label="job:itself")
    assert len(every) > 300
    assert {one["fleet_id"] for one in every} == {"itself"}


def assert_scored(server: Server, up: str, count: int) -> None:
    """Check that the follower has counted every sample once, although the service was killed.

    What was kept when it was killed, and not acknowledged, comes again: it is received twice.
    """

    def is_whole() -> bool:
        (series,) = series_of(server, prefix=up)
        return series["received"] >= series["statistics"]["count"] == len(kept(server, up)) >= count

    until(is_whole, "the statistics to be those of all samples")
