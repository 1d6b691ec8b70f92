"""Points acknowledged per second of the server's processor time, beside a server that only validates them."""

import json
import os
import tempfile
import time
import urllib.error
import urllib.request

from bench.data import values_like
from bench.report import Figure, more_is_better
from bench.servers import Server, atalaia_command, baseline_command, free_port, running

SERIES = 1_000
POINTS = 900_000
_START = 1_763_000_000


def ingest() -> list[Figure]:
    """Rows and columns, in batches of 1,000 and of 30,000; decoded, kept durably, scored."""
    figures: list[Figure] = []
    for size in (1_000, 30_000):
        rows, columns = _bodies(size)
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            environment = {**os.environ, "ATALAIA_LOG_LEVEL": "warning"}
            with running(
                atalaia_command("up", "--data-dir", folder, "--port", str(port)), port, environment
            ) as server:
                _warm(server, rows[0])
                by_rows = _rate(server, rows, size, settle=True)
                by_columns = _rate(server, columns, size, settle=True)
        port = free_port()
        with running(baseline_command(port), port, os.environ) as server:
            _warm(server, rows[0])
            bare = _rate(server, rows, size, settle=False)
        name = "FastAPI + pydantic, rows, validated only"
        unit = "points/CPU-s"
        # Ours keeps the points durably and scores them; small batches pay that for each thousand points.
        reach = 0.4 if size == 1_000 else 1.0
        figures.append(more_is_better(f"ingest_rows_{size}", by_rows, unit, name, bare, reach=reach))
        figures.append(more_is_better(f"ingest_columns_{size}", by_columns, unit, name, bare, reach=reach))
    return figures


def _bodies(size: int) -> tuple[list[bytes], list[bytes]]:
    rows: list[bytes] = []
    columns: list[bytes] = []
    for batch in range(POINTS // size):
        first = batch * size
        ids = [f"plant/sensor_{(first + i) % SERIES:04}_radial" for i in range(size)]
        stamps = [_START + (first + i) // SERIES * 60 for i in range(size)]
        values = values_like(size, seed=batch).tolist()
        points = [{"series_id": s, "timestamp": t, "value": v} for s, t, v in zip(ids, stamps, values, strict=True)]
        rows.append(json.dumps({"points": points}).encode())
        later = [stamp + 10_000_000 for stamp in stamps]
        columns.append(json.dumps({"series_ids": ids, "timestamps": later, "values": values}).encode())
    return rows, columns


def _warm(server: Server, body: bytes) -> None:
    for _ in range(3):
        _post(server, body)
    _settle(server)


def _rate(server: Server, bodies: list[bytes], size: int, *, settle: bool) -> float:
    before = server.cpu_s()
    for body in bodies:
        _post(server, body)
    if settle:  # what scoring costs belongs to the points
        _settle(server)
    return len(bodies) * size / (server.cpu_s() - before)


def _post(server: Server, body: bytes) -> None:
    request = urllib.request.Request(f"{server.url}/api/v1/points", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def _settle(server: Server) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=60) as answer:
                if json.load(answer)["scoring_lag_rows"] == 0:
                    return
        except urllib.error.HTTPError:
            return  # the baseline has no such page, and nothing to settle
        time.sleep(0.02)
    raise RuntimeError("scoring did not keep up")
