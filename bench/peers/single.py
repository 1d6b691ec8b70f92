"""Single points beside peers: server CPU a request, wall-clock rate and P99 at 64 connections, in one run."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.load import Load, Target, measured
from bench.peers.targets import ONE, PEERS, fastapi_noop
from bench.report import Figure, bounded, less_is_better, more_is_better
from bench.servers import atalaia_command, free_port
from bench.stage import Published

PEAK_PER_S = 2_850
DESIGN_CORES = 72
_RANDOM = """
math.randomseed(7)
local axes = {"radial", "axial", "tangential"}
local function name()
  local i = math.random(0, LAST)
  return string.format("sensor_%06d_%s", math.floor(i / 3), axes[i % 3 + 1])
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
"""
_PREDICT = f"""
wrk.body = '{ONE}'
request = function() return wrk.format(nil, "/api/v1/predict/" .. name()) end
"""
_INFER = """
request = function()
  local body = '{"inputs": [{"name": "series_id", "shape": [1], "datatype": "BYTES", "data": ["' .. name() ..
    '"]}, {"name": "value", "shape": [1], "datatype": "FP64", "data": [0.315]}]}'
  return wrk.format(nil, "/v2/models/atalaia/infer", nil, body)
end
"""


def single_points(stage: Published, scratch: Path, peers: Sequence[str] = ()) -> list[Figure]:
    """Measure ours, the no-op before and after, then the peers: those that are named, else all."""
    bare = _told("FastAPI, no-op", measured(fastapi_noop()))
    single = _told("Atalaia predict", measured(_ours(stage, _PREDICT)))
    infer = _told("Atalaia V2 infer", measured(_ours(stage, _INFER)))
    again = _told("FastAPI, no-op, again", measured(fastapi_noop()))
    figures = beside_noop(single, bare, again)
    for peer in peers or PEERS:
        make, reach = PEERS[peer]
        folder = scratch / peer
        folder.mkdir()
        target = make(folder)
        theirs = _told(target.name, measured(target))
        figures += beside(f"predict_single_vs_{peer}", single, target.name, theirs, reach=reach)
        if peer == "kserve-v2":
            figures += beside("oip_v2_single", infer, target.name, theirs, reach=10.0)
    return figures


def beside_noop(single: Load, bare: Load, again: Load) -> list[Figure]:
    """Return the rows beside the no-op, the better of whose two runs counts."""
    noop = min(bare, again, key=lambda run: run.cpu_us)
    calmest = min(bare.p99_ms, again.p99_ms)
    cores = single.cpu_us * PEAK_PER_S / 1e6
    name, peer = "predict_single", "FastAPI, no-op"
    return [
        more_is_better(name, 1e6 / single.cpu_us, "requests/CPU-s", peer, 1e6 / noop.cpu_us, reach=2.5),
        less_is_better(f"{name}_p99", single.p99_ms, "ms", peer, calmest, reach=1 / 0.6),
        bounded(f"{name}_p99_absolute", single.p99_ms, "ms", peer, calmest, at_most=100),
        bounded("cores_for_2850_per_s", cores, "cores", "the reference design", DESIGN_CORES, at_most=0.15),
        more_is_better(f"{name}_wall", single.per_s, "requests/s", peer, noop.per_s, reach=1.0),
    ]


def beside(name: str, ours: Load, peer: str, theirs: Load, *, reach: float) -> list[Figure]:
    """Return the row of processor time beside a peer, which has the target, and those of wall-clock time."""
    rate = 1e6 / ours.cpu_us
    return [
        more_is_better(name, rate, "requests/CPU-s", peer, 1e6 / theirs.cpu_us, reach=reach),
        more_is_better(f"{name}_wall", ours.per_s, "requests/s", peer, theirs.per_s, reach=1.0),
        less_is_better(f"{name}_p99", ours.p99_ms, "ms", peer, theirs.p99_ms, reach=1.0),
    ]


def _ours(stage: Published, script: str) -> Target:
    """Return Atalaia as it comes, with the models of the stage in Production."""
    port = free_port()
    command = atalaia_command("run", "predictor", "--data-dir", str(stage.folder), "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    random = _RANDOM.replace("LAST", str(stage.series - 1))
    return Target("Atalaia", command, url, f"{url}/api/v1/readiness", random + script, os.environ)


def _told(name: str, run: Load) -> Load:
    sys.stderr.write(
        f"{name:28} {run.cpu_us:9.1f} us CPU/request  {run.per_s:9,.0f} requests/s"
        f"  P50 {run.p50_ms:7.2f} ms  P99 {run.p99_ms:7.2f} ms\n"
    )
    return run
