"""Training of a whole fleet: 285,000 series x 10,080 points, a week at one minute, in one wave on two workers.

The history is filled directly with blocks of the form that compaction gives it: 4,096 series, a day each. From then
on everything goes the way of every training: a wave is asked for over HTTP, worker processes take its jobs from the
table, and the last of them puts all versions into Production.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.connectors.atalaia import Client, TrainingConfig, Wave, wave_error
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, NumberArray, Points
from atalaia.signals.blocks import Blocks
from atalaia.signals.rules import BUCKET_SERIES, bucket_for
from bench.data import values_like
from bench.report import Figure, bounded, less_is_better
from bench.servers import Server, atalaia_command, free_port, running

SERIES = 285_000
POINTS = 10_080
BLOCK_POINTS = 1_440
GIB = 2**30
SECONDS_A_SERIES = 30.0
"""What one training of one series takes in the reference design."""
_BYTES_A_POINT = 4.5
"""More than blocks, models and the registry need."""
STEP_US = 60 * MICROS
START_US = 1_763_000_000 * MICROS
_NAMES_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Trained:
    """What a wave over a whole history took.

    Attributes
    ----------
    wall_s
        From the request to the end of the wave, with all versions in Production if it promotes.
    cpu_s
        Of all processes of the service.
    peak_bytes
        Sum of the largest resident sets of the workers, what they share counted in each.
    """

    wave: Wave
    series: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


def train_all(
    series: int = SERIES, points: int = POINTS, workers: int = 2, algorithm: str = "streaming"
) -> Sequence[Figure]:
    """Fill a history, train all of it in one wave, and measure wall time, processor time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        fitting = room_for(series, points, Path(folder))
        stored = fill(Path(folder) / "data", fitting, points)
        done = train(Path(folder) / "data", fitting, workers, algorithm, promote=True)
    if done.wave.points != fitting * points:
        raise RuntimeError(f"{done.wave.points} of {fitting * points} points were learnt from")
    told = f"{fitting:,} series x {points:,} points, {workers} workers, {algorithm}"
    name = f"30 s a series on one worker; {told}"
    rate = fitting * points / done.cpu_s
    sys.stderr.write(f"{told}: {done.wall_s:.0f} s, {done.cpu_s:.0f} CPU-s, {rate:,.0f} points/CPU-s, ")
    sys.stderr.write(f"{done.peak_bytes / GIB:.2f} GiB at most; {stored / fitting / points:.2f} bytes a point\n")
    baseline = SECONDS_A_SERIES * fitting
    return [
        less_is_better("train_all", done.wall_s, "s", name, baseline, reach=1_000.0),
        less_is_better("train_all_cpu", done.cpu_s, "CPU-s", name, baseline, reach=1_000.0),
        bounded("train_all_peak_memory", done.peak_bytes / GIB, "GiB", "the bound", 6.0, at_most=6.0),
    ]


def fill(folder: Path, series: int, points: int, first: int = 0) -> int:
    """Fill a data folder with series and their history from the point `first` on, as if all of it was scored.

    Returns how many bytes the blocks have.
    """
    atalaia = build(Settings(data_dir=folder))
    try:
        for begin in range(0, series, _NAMES_AT_ONCE):
            ids = [f"plant/sensor_{i:06d}" for i in range(begin, min(begin + _NAMES_AT_ONCE, series))]
            with atalaia.database.write() as session:
                atalaia.signals.resolve(session, ids)
        atalaia.signals.scoring.drain()  # with nothing to score: this process keeps the statistics now
        stored = 0
        for bucket in range(bucket_for(1, 1), series // BUCKET_SERIES + 1):
            numbers = np.arange(bucket * BUCKET_SERIES, (bucket + 1) * BUCKET_SERIES, dtype=np.int32)
            stored += _fill_bucket(atalaia, numbers[(numbers >= 1) & (numbers <= series)], points, first)
        atalaia.signals.memory.outdate()  # so that they are stored at the end
        atalaia.registry.check()  # makes MLflow's tables, once for a site
        return stored
    finally:
        atalaia.close()


def train(folder: Path, series: int, workers: int, algorithm: str, *, promote: bool) -> Trained:
    """Train all series of a data folder in one wave, with worker processes of their own."""
    with ExitStack() as stack:
        api = stack.enter_context(role("api", folder))
        crew = [stack.enter_context(role("worker", folder)) for _ in range(workers)]
        peaks = stack.enter_context(_watched(crew))
        before_s = sum(server.cpu_s() for server in (api, *crew))
        client = stack.enter_context(Client(api.url, timeout_s=120))
        started = time.perf_counter()
        ref = client.waves.start(config=TrainingConfig(algorithm=algorithm), promote=promote)
        wave = client.waves.wait(ref.wave_id)
        wall_s = time.perf_counter() - started
        cpu_s = sum(server.cpu_s() for server in (api, *crew)) - before_s
    error = wave_error(wave)
    if error:
        raise error
    if wave.series != series:
        raise RuntimeError(f"{wave.series} of {series} series were trained")
    return Trained(wave, series, wall_s, cpu_s, sum(peaks))


def _fill_bucket(atalaia: Atalaia, numbers: NumberArray, points: int, begin: int) -> int:
    values = np.stack([values_like(points, seed=number) for number in numbers.tolist()])
    blocks = Blocks(atalaia.blobs, footers_bytes=0)
    rows = []
    for first in range(begin, points, BLOCK_POINTS):
        part = _points(numbers, values[:, first : first + BLOCK_POINTS], first)
        columns = atalaia.signals.memory.live
        columns.receive(part.series)
        columns.learn(part.series, part.timestamps, part.values)
        rows.append(blocks.write(part, bucket_for(int(numbers[0]), int(numbers[-1])), first // BLOCK_POINTS + 1))
    with atalaia.database.write() as session:
        session.add_all(rows)
        session.flush()
        return sum(row.size_bytes for row in rows)


def _points(numbers: NumberArray, values: FloatArray, first: int) -> Points:
    series, minutes = values.shape
    stamps = START_US + (first + np.arange(minutes, dtype=np.int64)) * STEP_US
    return Points(np.repeat(numbers, minutes), np.tile(stamps, series), values.ravel())


def room_for(series: int, points: int, folder: Path) -> int:
    """Return how many of the series there is room for, whole buckets of them when not for all."""
    free = shutil.disk_usage(folder).free
    needed = series * points * _BYTES_A_POINT
    if needed < free:
        return series
    buckets = int(free / points / _BYTES_A_POINT) // BUCKET_SERIES
    if not buckets:
        raise RuntimeError(f"{free / GIB:.1f} GiB free on the disk are too few")
    fitting = buckets * BUCKET_SERIES - 1  # numbers count from 1
    sys.stderr.write(f"{free / GIB:.0f} GiB free, {needed / GIB:.0f} needed: {fitting:,} series instead\n")
    return fitting


@contextmanager
def role(name: str, folder: Path) -> Generator[Server]:
    """Run one role on a data folder, in a process of its own."""
    port = free_port()
    command = atalaia_command("run", name, "--data-dir", str(folder), "--port", str(port))
    environment = {**os.environ, "ATALAIA_LOG_LEVEL": "warning"}
    with running(command, port, environment) as server:
        yield server


@contextmanager
def _watched(servers: Sequence[Server], every_s: float = 0.1) -> Generator[list[int]]:
    """Yield the largest resident set of each process so far, which grow until the block ends."""
    peaks = [0] * len(servers)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(every_s):
            peaks[:] = [max(p, s.process.memory_info().rss) for p, s in zip(peaks, servers, strict=True)]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    chosen = dict(zip(("series", "workers"), map(int, sys.argv[1:]), strict=False))
    for figure in train_all(series=chosen.get("series", SERIES), workers=chosen.get("workers", 2)):
        sys.stdout.write(f"{figure}\n")
