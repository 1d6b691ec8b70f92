"""What audit and authentication cost in processor time: a prediction with both, with audit alone, with neither."""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.signing import load_key
from bench.fleet import Send, arrow_tick, calm, send
from bench.load import Target, loaded, post, started
from bench.report import Figure, bounded
from bench.servers import Server, atalaia_command, free_port
from bench.stage import START_US, names, publish_wave

SERIES = 60_000
ROUNDS = 4
SECONDS = 5.0
TICKS = 40
AT_MOST = {"audit": 1.15, "guarded": 1.35}
OFF = "off"
MODES: dict[str, dict[str, str]] = {
    OFF: {"ATALAIA_AUDIT__PREDICTIONS": "off"},
    "audit": {},
    "guarded": {"ATALAIA_AUTH__MODE": "on", "ATALAIA_LIMITS__PREDICT": "1000000/second"},
}
"""Settings by name. Audit is on by default; callers are counted where they must say who they are."""


def audit(series: int = SERIES) -> list[Figure]:
    """One point as JSON, one as a V2 inference, and a whole fleet as an Arrow stream.

    The ways take turns, and the cheapest round of each counts: whatever else runs on the machine only adds.
    """
    ids = names(series)
    stamp = START_US // 1_000_000
    one = f"/api/v1/predict/{ids[7]}", json.dumps({"timestamp": stamp, "value": 0.5})
    inputs = [
        {"name": "series_id", "datatype": "BYTES", "shape": [1], "data": [ids[7]]},
        {"name": "value", "datatype": "FP64", "shape": [1], "data": [0.5]},
    ]
    infer = "/v2/models/atalaia/infer", json.dumps({"inputs": inputs})
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        publish_wave(Path(folder), ids)
        for _ in range(ROUNDS):
            for mode in MODES:
                for name, cost in _round(Path(folder), mode, {"one": one, "v2": infer}, series):
                    costs.setdefault((name, mode), []).append(cost)
    return [
        bounded(
            f"{mode}_{name}",
            min(costs[name, mode]) / min(costs[name, OFF]),
            "x CPU",
            f"neither audit nor authentication, {min(costs[name, OFF]):.3g} us a point",
            1.0,
            at_most=at_most,
        )
        for mode, at_most in AT_MOST.items()
        for name in ("one", "v2", "arrow")
    ]


def _round(
    folder: Path, mode: str, requests: dict[str, tuple[str, str]], series: int
) -> Iterable[tuple[str, float]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        **MODES[mode],
        "ATALAIA_SERVING__MAX_BATCH_POINTS": "500000",
        "ATALAIA_AUDIT__EXPORT_EVERY_S": "3600",
    }
    command = atalaia_command("up", "--data-dir", str(folder), "--port", str(port))
    target = Target("", command, url, f"{url}/api/v1/readiness", "", {**os.environ, **settings})
    with started(target) as process:
        calm(Server(url, process, 0.0))  # what the round before left is exported
        headers = _bearer(folder) if "ATALAIA_AUTH__MODE" in settings else {}
        for name, (path, body) in requests.items():
            told = Target(name, command, url, target.ready, post(path, body, headers), target.environment)
            loaded(told, process, 1.0)
            yield name, loaded(told, process, SECONDS).cpu_us
        ticks = [arrow_tick(series, i) for i in range(4)]
        sent = [(path, body, {**told, **headers}) for path, body, told in ticks]
        yield "arrow", _arrow(Server(url, process, 0.0), sent, series)


def _bearer(folder: Path) -> dict[str, str]:
    """Return what a program that may predict says of itself."""
    return {"Authorization": f"Bearer {load_key(None, folder).sign('service:bench', Role.PREDICTOR, 3_600)[0]}"}


def _arrow(server: Server, sent: Sequence[Send], series: int) -> float:
    """Return microseconds of processor time a point."""
    for one in sent:
        send(server, one)
    before = server.cpu_s()
    for i in range(TICKS):
        send(server, sent[i % len(sent)])
    time.sleep(0.2)  # the journal writes what it has
    return (server.cpu_s() - before) * 1e6 / (TICKS * series)
