"""The audit log under faults: `kill -9` loses what its bound says at most, and a full disk loses nothing unseen."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from atalaia.kit.audit.export import told_by
from atalaia.kit.audit.frames import Frame, Kind
from tests.journeys.measurements import START_S, STEP_S, assert_problem
from tests.journeys.servers import Server, metric, run_cli, until

pytestmark = pytest.mark.slow
KILLS = 3
CALLERS = 4
SLACK_S = 0.1
"""Beside the 50 ms between two writes: one write, and that this machine may have other work."""
BOUND_S = 0.05 + SLACK_S
Report = Callable[[str, object], None]


@contextmanager
def ended(server: Server) -> Generator[Server]:
    """Let no process outlive a test that fails."""
    try:
        yield server
    finally:
        if server._process is not None:
            server.kill()


def know_a_series(server: Server) -> None:
    """Bring points of a series, so that it is scored by their statistics."""
    stamps = (START_S + np.arange(200) * STEP_S).tolist()
    body = {"series_ids": ["pump"] * 200, "timestamps": stamps, "values": np.sin(np.arange(200)).tolist()}
    with server.http() as http:
        http.post("/api/v1/points", json=body).raise_for_status()
        until(lambda: http.get("/health").json()["scoring_lag_rows"] == 0, "the points to be learnt")


def predict(http: httpx.Client, name: str) -> httpx.Response:
    point = {"timestamp": START_S, "value": 0.5}
    return http.post("/api/v1/predict/pump", json=point, headers={"X-Request-Id": name})


def kept(data_dir: Path) -> list[str]:
    """Return the request ids of all predictions in the journals, torn ends left out."""
    found: list[str] = []
    for path in sorted((data_dir / "audit").glob("*/*.journal")):
        for frame in told_by(path.read_bytes()).frames:
            found += ids_of(frame)
    return found


def ids_of(frame: Frame) -> list[str]:
    if frame.kind != Kind.LINES:
        return []
    return [msgspec.json.decode(line)["request_id"] for line in bytes(frame.payload).splitlines()]


class Callers:
    """Ask as fast as they can, and remember when each was answered."""

    def __init__(self, server: Server, turn: int) -> None:
        self.answered: dict[str, float] = {}
        self._server = server
        self._turn = turn
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _call(self, caller: int) -> None:
        with self._server.http() as http:
            for i in range(1_000_000):
                name = f"{self._turn}-{caller}-{i}"
                try:
                    if predict(http, name).status_code != 200:
                        return
                except httpx.TransportError:
                    return
                self.answered[name] = time.monotonic()


def test_kill_9_loses_no_prediction_older_than_the_bound(tmp_path: Path, record_property: Report) -> None:
    with ended(Server(tmp_path / "data", audit__export_every_s=0.2, serving__log_predictions="false")) as server:
        _kill_again_and_again(server, tmp_path, record_property)


def _kill_again_and_again(server: Server, tmp_path: Path, record_property: Report) -> None:
    rng = np.random.default_rng(20261127)
    answered, worst_s = 0, 0.0
    for turn in range(KILLS):
        server.start()
        if turn == 0:
            know_a_series(server)
        callers = Callers(server, turn)
        time.sleep(rng.uniform(1.0, 2.0))
        killed = time.monotonic()
        server.kill()
        callers.join()
        written = set(kept(server.data_dir))
        lost = [killed - at for name, at in callers.answered.items() if name not in written]
        answered += len(callers.answered)
        worst_s = max([worst_s, *lost])
        assert len(callers.answered) > 100
        assert worst_s <= BOUND_S, f"an answer given {worst_s * 1000:.0f} ms before the kill is not in the journal"
    server.start()
    orphans = server.data_dir / "audit" / "journal"
    until(lambda: len(list(orphans.glob("*.journal"))) == 1, "the journals of the dead to be exported")
    with server.client() as client:
        assert len(client.audit.events(action="journal_recovered").items) == KILLS
    assert server.stop() == 0
    done = run_cli("audit", "verify", "--data-dir", str(server.data_dir), cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record_property("answered", answered)
    record_property("oldest_lost_ms", round(worst_s * 1000, 1))


def test_a_clean_stop_under_load_loses_nothing(tmp_path: Path) -> None:
    with ended(Server(tmp_path / "data")) as server:
        _stop_under_load(server, tmp_path)


def _stop_under_load(server: Server, tmp_path: Path) -> None:
    server.start()
    know_a_series(server)
    callers = Callers(server, 0)
    time.sleep(1.0)
    assert server.stop() == 0
    callers.join()
    assert set(callers.answered) <= set(kept(server.data_dir))
    done = run_cli("audit", "verify", "--data-dir", str(server.data_dir), cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path = next((server.data_dir / "audit").glob("*/*.journal"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = run_cli("audit", "verify", "--data-dir", str(server.data_dir), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "was altered" in done.stdout


def fill(folder: Path) -> Path:
    """Take all space that is left."""
    ballast = folder / "filled"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.parametrize("required", [False, True])
def test_a_full_disk_is_told_of_when_it_is_over(small_disk: Path, required: bool) -> None:
    settings: dict[str, Any] = {"audit__required": str(required).lower(), "log_level": "error"}
    with Server(small_disk / "data", **settings) as server, server.http() as http:
        know_a_series(server)
        names = [f"before-{i}" for i in range(100)]
        assert all(predict(http, name).status_code == 200 for name in names)
        ballast = fill(small_disk)
        refused = None
        for i in range(3_000):
            answer = predict(http, f"full-{i}")
            if answer.status_code == 200:
                names.append(f"full-{i}")
            else:
                refused = answer
        if required:
            assert refused is not None
            assert_problem(refused, 503, "audit_unavailable")
        else:
            assert refused is None
        ballast.unlink()
        until(lambda: predict(http, "probe").status_code == 200, "predictions to be answered again")
        lost = metric(http.get("/metrics").text, "audit_predictions_lost_total")
        server.stop()
    assert len(set(names) - set(kept(server.data_dir))) == lost
