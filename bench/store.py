"""History at scale: durable commits, bytes a point and reads, beside delta-rs, DuckDB and PostgreSQL.

Every store takes the same 2,000 series x 10,080 points (a week at one minute) in commits of 30,000, the peers
in a process of their own. `commits`, which needs no peer, puts 5,000 commits of 285,000 series into ours. Ours is
compacted meanwhile, as jobs do it every few seconds.
"""

import json
import os
import pwd
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.core.points import FloatArray, Points
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, Table
from atalaia.signals.history import History
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import history as tables
from bench.data import values_like
from bench.peers.environments import environment_of
from bench.report import Figure, bounded, less_is_better
from bench.servers import free_port
from bench.store_data import COMMIT, MINUTE, MINUTES, SERIES, START, Batch, batches, wanted

ROOT = Path(__file__).parent.parent
FLEET = 285_000
COMMITS = 5_000
_COMMITS_A_JOB = 4
_POOL = 512
_END = START + (MINUTES + COMMITS) * MINUTE


def store(series: int = SERIES, minutes: int = MINUTES) -> Sequence[Figure]:
    """Fill our history and the peers' with the same points, and measure both."""
    initdb = _initdb()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        room.chmod(0o755)  # PostgreSQL runs as another user
        values = np.stack([values_like(minutes, seed=s) for s in range(series)])
        np.save(room / "values.npy", values)
        peers = _peers(room, initdb)
        with _opened(room / "week") as (database, history):
            costs = _commit(database, history, (_points(batch) for batch in batches(values)))
            read = _Cost.median(lambda number: len(history.read([number], START, _END)), wanted(series))
            stored = _bytes_per_point(database, history)
    name = "PostgreSQL rows with an index"
    theirs = peers["postgres"]["bytes_per_point"]
    return [
        *_beside(costs, read, peers),
        less_is_better("history_bytes_per_point_stored", stored, "bytes", name, theirs, reach=15.0),
    ]


def commits(fleet: int = FLEET, count: int = COMMITS) -> Sequence[Figure]:
    """Measure whether commits get dearer and how long a read takes, when a whole fleet is in our history."""
    values = np.stack([values_like(MINUTES, seed=s) for s in range(_POOL)])
    with tempfile.TemporaryDirectory() as folder, _opened(Path(folder) / "fleet") as (database, history):
        costs = _commit(database, history, _ticks(values, fleet, count))
        read = _Cost.median(
            lambda number: len(history.read([number], START, _END)),
            np.random.default_rng(8).integers(1, fleet + 1, 60).tolist(),
        )
    first, last = _Cost.middle(costs[:100]), _Cost.middle(costs[-100:])
    name = f"the first 100 of {count:,} commits, {fleet:,} series, compacted meanwhile"
    grown = last.cpu_ms / first.cpu_ms
    slower = last.wall_ms / first.wall_ms
    return [
        bounded("history_commit_growth_cpu", grown, "x", name, 1.0, at_most=1.3),
        bounded("history_commit_growth_wall", slower, "x", name, 1.0, at_most=1.5),
        bounded("history_read_one_of_285000", read.cpu_ms, "ms CPU", "a bound", 30.0, at_most=30.0),
    ]


@dataclass(frozen=True, slots=True)
class _Cost:
    """What something took, in milliseconds: processor time on average, and the usual wait."""

    cpu_ms: float
    wall_ms: float

    @staticmethod
    def of(act: Callable[[], object]) -> "_Cost":
        used, started = time.process_time(), time.perf_counter()
        act()
        return _Cost((time.process_time() - used) * 1e3, (time.perf_counter() - started) * 1e3)

    @staticmethod
    def middle(costs: Sequence["_Cost"]) -> "_Cost":
        return _Cost(statistics.mean(c.cpu_ms for c in costs), statistics.median(c.wall_ms for c in costs))

    @staticmethod
    def median(act: Callable[[int], object], over: Sequence[int]) -> "_Cost":
        return _Cost.middle([_Cost.of(lambda one=one: act(one)) for one in over])


@contextmanager
def _opened(folder: Path) -> Generator[tuple[Database, History]]:
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'atalaia.db'}")
    Table.metadata.create_all(database.engine)
    try:
        yield database, History(database, Blobs(folder / "blobs"), SignalsSettings())
    finally:
        database.close()


def _points(batch: Batch) -> Points:
    return Points(*batch)


def _commit(database: Database, history: History, arriving: Iterator[Points]) -> list[_Cost]:
    """Commit batch after batch, with a job for the history after every few; return what each commit took."""
    costs: list[_Cost] = []
    for points in arriving:

        def append(points: Points = points) -> None:
            with database.write() as session:
                history.append(session, points)

        costs.append(_Cost.of(append))
        if len(costs) % _COMMITS_A_JOB == 0:
            _work(database, history)
    return costs


def _work(database: Database, history: History) -> None:
    """Do what the follower and the job do: mark batches as scored, rewrite blocks, make the next."""
    with database.write() as session:
        tables.mark_scored(session, tables.waiting_ids(session, 0))
    with database.read() as session:
        if not history.wants_compaction(session):
            return
    swaps = [history.division() or history.merge(), history.compaction()]
    with database.write() as session:
        for swap in swaps:
            if swap is not None:
                swap(session)


def _bytes_per_point(database: Database, history: History) -> float:
    while (swap := history.division() or history.merge() or history.compaction()) is not None:
        with database.write() as session:
            swap(session)
    with database.read() as session:
        blocks = tables.all_blocks(session)
    return sum(block.size_bytes for block in blocks) / sum(block.rows for block in blocks)


def _ticks(values: FloatArray, fleet: int, commits: int) -> Iterator[Points]:
    """Yield commits of 10 s of all series at one minute; the senders' order is not that of the numbers."""
    order = np.random.default_rng(1).permutation(fleet).astype(np.int32) + 1
    for commit in range(commits):
        place = commit * COMMIT + np.arange(COMMIT)
        series, minute = order[place % fleet], place // fleet
        stamps = START + minute * MINUTE + series % 60 * 1_000_000
        yield Points(series, stamps, values[series % _POOL, minute % MINUTES])


def _beside(costs: Sequence[_Cost], read: _Cost, peers: dict[str, dict[str, float]]) -> list[Figure]:
    """Return commits and reads beside each peer; a database's processor time is that of all its processes."""
    commit = _Cost.middle(costs)
    reach = {"delta": 5.0, "postgres": 5.0, "duckdb": 1.0}
    read_reach = {"delta": 3.0, "postgres": 3.0, "duckdb": 1.0}
    figures: list[Figure] = []
    for peer, theirs in peers.items():
        for clock, mine in (("cpu", commit.cpu_ms), ("wall", commit.wall_ms)):
            name = f"history_commit_30000_{clock}_{peer}"
            base, ratio = f"{_NAMES[peer]}, {clock}, the same points", reach[peer]
            figures.append(less_is_better(name, mine, "ms", base, theirs[f"commit_{clock}_ms"], reach=ratio))
        for clock, mine in (("cpu", read.cpu_ms), ("wall", read.wall_ms)):
            name = f"history_read_7_days_{clock}_{peer}"
            base, ratio = f"{_NAMES[peer]}, {clock}, right after ingest", read_reach[peer]
            figures.append(less_is_better(name, mine, "ms", base, theirs[f"read_{clock}_ms"], reach=ratio))
    return figures


_NAMES = {"delta": "delta-rs", "duckdb": "DuckDB", "postgres": "PostgreSQL rows with an index"}


def _peers(room: Path, initdb: str) -> dict[str, dict[str, float]]:
    """Return the figures of each peer."""
    python = environment_of("store") / "python"
    found = {peer: _peer(python, peer, room) for peer in ("delta", "duckdb")}
    with _postgres(room / "postgres", initdb) as port:
        found["postgres"] = _peer(python, "postgres", room, port)
    return found


def _peer(python: Path, peer: str, room: Path, port: int = 0) -> dict[str, float]:
    command = [python, "-m", "bench.store_peers", peer, room / "values.npy", room, str(port)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _initdb() -> str:
    """Return PostgreSQL's `initdb`: no figure stands beside a server that was not measured here."""
    found = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    if found is None:
        raise RuntimeError(
            "PostgreSQL is missing; `make bench-peers` installs it with apt-get where it may, else install it"
        )
    return found


@contextmanager
def _postgres(folder: Path, initdb: str) -> Generator[int]:
    """Start PostgreSQL on a free port, with its own defaults."""
    folder.mkdir()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, port = folder / "data", free_port()
    control = [Path(initdb).parent / "pg_ctl", "-D", data, "-l", folder / "log", "-w"]
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    quiet: dict[str, Any] = {"user": user, "stdout": subprocess.DEVNULL, "check": True, "cwd": folder}
    subprocess.run([initdb, "-D", data, "-U", "bench", "-A", "trust"], **quiet)
    subprocess.run([*control, "-o", options, "start"], **quiet)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], **quiet)
