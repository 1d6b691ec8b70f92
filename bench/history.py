"""History and training on one data folder: 2,000 series x 10,080 points, a week at one minute."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from atalaia.app.build import Atalaia, build
from atalaia.app.settings import Settings
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import FloatArray, Points
from atalaia.lifecycle.settings import LifecycleSettings
from atalaia.lifecycle.training import Config
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store.history import all_blocks
from bench.data import values_like
from bench.report import Figure, less_is_better, more_is_better

SERIES = 2_000
MINUTES = 10_080
FLEET = 1_000
BATCH_MINUTES = 60
PEER_SERIES = 200
_START = 1_763_000_000 * MICROS
_FLEET_ID = "bench"


def history() -> list[Figure]:
    """Fill a history, compact it, read from it, train on it."""
    with tempfile.TemporaryDirectory() as folder:
        atalaia = build(
            Settings(
                data_dir=Path(folder) / "data",
                lifecycle=LifecycleSettings(cooldown_s=0),
                signals=SignalsSettings(store_memory_s=0.05),
            )
        )
        try:
            table = np.stack([values_like(MINUTES, seed=s) for s in range(SERIES)])
            _fill(atalaia, table)
            peer = _sqlite_rows(Path(folder) / "peer.db", table[:PEER_SERIES])
            return [_bytes(atalaia, peer), _read(atalaia, peer), *_train(atalaia, peer)]
        finally:
            atalaia.close()


def _fill(atalaia: Atalaia, table: FloatArray) -> None:
    ids = [f"plant/sensor_{s:04}" for s in range(SERIES)]
    for minute in range(0, MINUTES, BATCH_MINUTES):
        stamps = _START + np.arange(minute, minute + BATCH_MINUTES, dtype=np.int64) * 60 * MICROS
        with atalaia.database.write() as session:
            numbers, _ = atalaia.signals.catalogue.resolve(session, ids)
            values = table[:, minute : minute + BATCH_MINUTES].T.ravel()
            points = Points(np.tile(numbers, BATCH_MINUTES), np.repeat(stamps, SERIES), values)
            atalaia.signals.history.append(session, points)
        if minute % (BATCH_MINUTES * 12) == 0:
            _settle(atalaia)
    _settle(atalaia)
    with atalaia.database.write() as session:
        atalaia.signals.catalogue.set_fleet(session, _FLEET_ID, ids[:FLEET])


def _settle(atalaia: Atalaia) -> None:
    while atalaia.signals.scoring.drain() or atalaia.signals.memory.is_behind:
        time.sleep(0.01)  # no batch leaves the tail before the memory of it is stored, which is done now and then
    while (swap := atalaia.signals.history.merge() or atalaia.signals.history.compaction()) is not None:
        with atalaia.database.write() as session:
            swap(session)
    atalaia.signals.history.sweep()


def _sqlite_rows(path: Path, table: FloatArray) -> sqlite3.Connection:
    peer = sqlite3.connect(path)
    peer.execute("PRAGMA journal_mode = WAL")
    peer.execute("CREATE TABLE p (series INT, at INT, value REAL, PRIMARY KEY (series, at)) WITHOUT ROWID")
    for series, values in enumerate(table.tolist()):
        rows = [(series, _START + i * 60 * MICROS, value) for i, value in enumerate(values)]
        peer.executemany("INSERT INTO p VALUES (?, ?, ?)", rows)
    peer.commit()
    peer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return peer


def _bytes(atalaia: Atalaia, peer: sqlite3.Connection) -> Figure:
    with atalaia.database.read() as session:
        stored = sum(block.size_bytes for block in all_blocks(session))
    pages = peer.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    theirs = pages / (PEER_SERIES * MINUTES)
    ours = stored / (SERIES * MINUTES)
    return less_is_better(
        "history_bytes_per_point", ours, "bytes", "SQLite rows with a primary key", theirs, reach=3.0
    )


def _read(atalaia: Atalaia, peer: sqlite3.Connection) -> Figure:
    random = np.random.default_rng(7)
    end = _START + MINUTES * 60 * MICROS

    def ours() -> int:
        number = int(random.integers(1, SERIES + 1))
        return len(atalaia.signals.history.read([number], _START, end))

    def theirs() -> int:
        series = int(random.integers(0, PEER_SERIES))
        rows = peer.execute(
            "SELECT at, value FROM p WHERE series = ? AND at BETWEEN ? AND ?", (series, _START, end)
        )
        return len(np.array(rows.fetchall()))

    name = "the same from SQLite rows, a tenth of them stored"
    return less_is_better("read_7_days_of_one_series", _median_ms(ours), "ms", name, _median_ms(theirs), reach=1.0)


def _median_ms(read: Callable[[], int]) -> float:
    times: list[float] = []
    for _ in range(60):
        started = time.process_time()
        assert read() == MINUTES
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times[10:])


def _train(atalaia: Atalaia, peer: sqlite3.Connection) -> list[Figure]:
    bare = _one_job_a_series(peer)
    name = "one series at a time: SQLite rows, numpy mean and std"
    figures: list[Figure] = []
    atalaia.registry.check()  # makes MLflow's tables, once for a site
    for algorithm in ("statistical", "robust_zscore", "seasonal_profile"):
        config = Config(algorithm, {}, window_hours=168)
        with atalaia.database.write() as session:
            atalaia.lifecycle.training.request(session, ModelKey(Scope.FLEET, _FLEET_ID), config, None, priority=5)
        started = time.process_time()
        assert atalaia.worker.work_once()
        rate = FLEET * MINUTES / (time.process_time() - started)
        figures.append(more_is_better(f"train_fleet_{algorithm}", rate, "points/CPU-s", name, bare, reach=1.0))
    with atalaia.database.read() as session:
        _, versions = atalaia.lifecycle.model(session, ModelKey(Scope.FLEET, _FLEET_ID))
    assert len(versions) == 3, "every training ended in a version"
    return figures


def _one_job_a_series(peer: sqlite3.Connection) -> float:
    started = time.process_time()
    for series in range(PEER_SERIES):
        rows = peer.execute("SELECT value FROM p WHERE series = ? ORDER BY at", (series,)).fetchall()
        values = np.array(rows, np.float64)
        assert values.mean() + values.std() != 0
    return PEER_SERIES * MINUTES / (time.process_time() - started)
