"""Backup and restore of a site with 285,000 series, models for all of them and history.

The history is filled as in `bench.fleet_training`, and all series are trained in one wave and put into Production.
Then a service runs on it while a first backup is made, and a second one after one more tick of the whole fleet. The
site is lost and restored with the command line, and the time runs until a service on it answers a point as before.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.connectors.atalaia import Client, Columns
from bench.fleet_training import SERIES, START_US, STEP_US, fill, room_for, train
from bench.report import Figure, bounded
from bench.servers import Server, atalaia_command, free_port, running

FILE = "production.json"
POINTS = 1_440
RPO_S, RTO_S = 3_600.0, 900.0
"""What the requirements ask for."""
_EVERY_S = 1_800.0
"""A schedule that keeps the RPO; `backup.every_hours` is what a site chooses."""
_AT_ONCE = 100_000
_SHARE = 2.2
"""Disk that the site and its backup take, beside the site alone."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill took, in seconds and bytes."""

    series: int
    full_s: float
    full_bytes: int
    copied_bytes: int
    again_s: float
    again_copied_bytes: int
    restore_s: float
    answers_s: float
    lost_s: float


def backup(series: int = SERIES, points: int = POINTS, workers: int = 2) -> Sequence[Figure]:
    """Make a site, back it up twice, lose it, restore it; return the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        fitting = room_for(int(series * _SHARE), points, Path(scratch))
        drill = _drill(Path(scratch), min(series, fitting), points, workers)
    told = f"{drill.series:,} series x {points:,} points, one disk"
    rpo_s = _EVERY_S + max(drill.full_s, drill.again_s)
    return [
        bounded("backup_full", drill.full_s, "s", f"the RPO asked for; {told}", RPO_S, at_most=RPO_S),
        bounded("backup_again", drill.again_s, "s", f"a full one; {told}", drill.full_s, at_most=RPO_S),
        bounded(
            "backup_again_copied",
            drill.again_copied_bytes / 1e6,
            "MB",
            f"a full one; {told}",
            drill.copied_bytes / 1e6,
            at_most=drill.copied_bytes / 1e6,
        ),
        bounded("backup_rpo", rpo_s, "s", f"asked for; every {_EVERY_S:g} s and one backup", RPO_S, at_most=RPO_S),
        bounded("backup_restore", drill.restore_s, "s", f"the RTO asked for; {told}", RTO_S, at_most=RTO_S),
        bounded(
            "backup_rto", drill.answers_s, "s", f"asked for, to the first answer; {told}", RTO_S, at_most=RTO_S
        ),
    ]


def _drill(scratch: Path, series: int, points: int, workers: int) -> Drill:
    data, there = scratch / "data", scratch / "backups"
    fill(data, series, points)
    train(data, series, workers, "streaming", promote=True)
    at_s = (START_US + points * STEP_US) / 1e6
    with _service(data) as server, Client(server.url, timeout_s=120) as client:
        first, full_s = _timed("backup", "create", "--with-secrets", "--to", str(there), data=data)
        ids = [f"plant/sensor_{number:06d}" for number in range(series)]
        for begin in range(0, series, _AT_ONCE):
            chosen = ids[begin : begin + _AT_ONCE]
            client.points.add(Columns(chosen, np.full(len(chosen), round(at_s * 1e6)), np.full(len(chosen), 50.0)))
        while client.health().scoring_lag_rows:
            time.sleep(0.2)
        before = _answers(client, series, at_s + 60)
        second, again_s = _timed("backup", "create", "--with-secrets", "--to", str(there), data=data)
    shutil.rmtree(data)
    began = time.perf_counter()
    restored, restore_s = _timed("restore", "--from", str(there), data=data)
    with _service(data) as server, Client(server.url, timeout_s=120) as client:
        while (after := _answers(client, series, at_s + 60)) != before:
            if time.perf_counter() - began > RTO_S:
                raise RuntimeError(f"the restored site answers {after}, not {before}")
            time.sleep(0.5)
        answers_s = time.perf_counter() - began
    return Drill(
        series,
        full_s,
        first["size_bytes"],
        first["copied_bytes"],
        again_s,
        second["copied_bytes"],
        restore_s,
        answers_s,
        restored["lost_s"],
    )


@contextmanager
def _service(data: Path) -> Generator[Server]:
    """Run all roles on a data folder."""
    port = free_port()
    command = atalaia_command("up", "--data-dir", str(data), "--port", str(port))
    with running(command, port, {**os.environ, "ATALAIA_LOG_LEVEL": "warning"}) as server:
        yield server


def _answers(client: Client, series: int, at_s: float) -> list[Any]:
    chosen = [f"plant/sensor_{number:06d}" for number in (0, series // 2, series - 1)]
    told = [client.predict(name, value, at_s) for name in chosen for value in (0.0, 1e9)]
    return [(one.anomaly, one.anomaly_score, one.model_info and one.model_info.version) for one in told]


def _timed(*words: str, data: Path) -> tuple[dict[str, Any], float]:
    """Run a command; return the first row that it told, and how long it took."""
    started = time.perf_counter()
    done = subprocess.run(
        atalaia_command(*words, "--data-dir", str(data), "--output", "json"),
        env={**os.environ, "ATALAIA_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(done.stderr[-2_000:])
    sys.stderr.write(f"{words[0]}: {time.perf_counter() - started:.1f} s {done.stdout[:600]}\n")
    rows: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return rows[0], time.perf_counter() - started
