"""One day of 1-minute points for a whole fleet: what it takes until models have learnt what they missed.

Streaming models are trained in a wave on day one. Day two arrives and is counted as scored before the wave is put
into Production, as it happens when trainings take long. Then one process begins: the follower in it finds models
that know nothing of day two, and teaches them from history.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atalaia.algorithms.streaming.columns import LAST
from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.connectors.atalaia import Client
from bench.fleet_training import BLOCK_POINTS, SERIES, START_US, STEP_US, fill, role, room_for, train
from bench.report import Figure, bounded

BOUND_S = 300.0
_DAYS = 2 * BLOCK_POINTS


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What catching up took, from the first round of the follower to the last."""

    wall_s: float
    cpu_s: float


def catch_up(series: int = SERIES, workers: int = 2) -> Sequence[Figure]:
    """Let a follower teach one day to all streaming models; the bound shrinks with the fleet."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        fitting = room_for(series, _DAYS, Path(scratch))
        _prepare(folder, fitting, workers)
        done = _follow(folder, fitting)
    bound = BOUND_S * fitting / SERIES
    rate = fitting * BLOCK_POINTS / done.cpu_s
    name = f"{BOUND_S:g} s for {SERIES:,} series, as a share; {fitting:,} series x {BLOCK_POINTS:,} points"
    sys.stderr.write(f"{fitting:,} series caught up: {done.wall_s:.1f} s, {rate:,.0f} points/CPU-s\n")
    return [
        bounded("catch_up_from_history", done.wall_s, "s", name, bound, at_most=bound),
        bounded("catch_up_from_history_cpu", done.cpu_s, "CPU-s", name, bound, at_most=bound),
    ]


def _prepare(folder: Path, series: int, workers: int) -> None:
    """Leave a data folder with models of day one in Production, and both days in history."""
    fill(folder, series, BLOCK_POINTS)
    wave = train(folder, series, workers, "streaming", promote=False).wave
    if wave.points != series * BLOCK_POINTS:
        raise RuntimeError(f"{wave.points} of {series * BLOCK_POINTS} points were learnt from")
    fill(folder, series, _DAYS, BLOCK_POINTS)
    with role("api", folder) as api, Client(api.url, timeout_s=120) as client:
        client.waves.promote(wave.wave_id)


def _follow(folder: Path, series: int) -> CaughtUp:
    """Load all models, let the follower work until nothing is left, and check what they know before and after."""
    atalaia = build(Settings(data_dir=folder))
    try:
        atalaia.serving.warm()
        _check_newest(atalaia, series, BLOCK_POINTS)
        used, started = time.process_time(), time.perf_counter()
        while atalaia.signals.scoring.drain():
            pass
        done = CaughtUp(time.perf_counter() - started, time.process_time() - used)
        _check_newest(atalaia, series, _DAYS)
        return done
    finally:
        atalaia.close()


def _check_newest(atalaia: Atalaia, series: int, points: int) -> None:
    """Raise unless every series has a model that knows exactly so many points, up to the newest of them."""
    states = [loaded.model.state for loaded in atalaia.serving.models.routes.models.values()]
    known = np.concatenate([state["points"] for state in states])
    newest = np.concatenate([state["times"][:, LAST] for state in states])
    wrong = np.count_nonzero((known != points) | (newest != START_US + (points - 1) * STEP_US))
    if wrong or len(known) != series:
        raise RuntimeError(f"{wrong} of {len(known)} models do not know {points} points; there are {series} series")


if __name__ == "__main__":
    chosen = dict(zip(("series", "workers"), map(int, sys.argv[1:]), strict=False))
    for figure in catch_up(series=chosen.get("series", SERIES), workers=chosen.get("workers", 2)):
        sys.stdout.write(f"{figure}\n")
