"""The same history in a peer: run by `bench.store` with the peers' own Python, which has no Atalaia.

``python store_peers.py <peer> <table.npy> <folder> [port]`` commits batches of 30,000 points in the order of time,
reads single series right after, and prints what each took as JSON.
"""
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# pyright: reportUnknownLambdaType=false

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import numpy as np
import psutil
import psycopg
import pyarrow as pa

from bench.store_data import READS, batches, wanted

Clock = Callable[[], float]


def main(peer: str, table: str, folder: str, port: str = "0") -> None:
    """Run one peer and print its figures."""
    values = np.load(table, mmap_mode="r")
    runs = {"delta": _delta, "duckdb": _duckdb, "postgres": lambda v, f: _postgres(v, f, int(port))}
    sys.stdout.write(json.dumps(runs[peer](values, Path(folder))) + "\n")


def _arrow(batch: tuple[Any, Any, Any]) -> Any:
    return pa.table(dict(zip(("series", "stamp", "value"), batch, strict=True)))


def _measure(
    values: Any, commit: Callable[[Any], object], read: Callable[[int], int], cpu: Clock
) -> dict[str, Any]:
    """Return what commits and reads took, in milliseconds: processor time on average, and the usual wait."""
    walls: list[float] = []
    used = 0.0
    for batch in batches(values):
        before, started = cpu(), time.perf_counter()
        commit(batch)
        walls.append(time.perf_counter() - started)
        used += cpu() - before
    read(1)
    before = cpu()
    waited: list[float] = []
    for number in wanted(len(values)):
        started = time.perf_counter()
        assert read(number) == values.shape[1]
        waited.append(time.perf_counter() - started)
    return {
        "commit_cpu_ms": used / len(walls) * 1e3,
        "commit_wall_ms": statistics.median(walls) * 1e3,
        "read_cpu_ms": (cpu() - before) / READS * 1e3,
        "read_wall_ms": statistics.median(waited) * 1e3,
    }


def _delta(values: Any, folder: Path) -> dict[str, Any]:
    path = str(folder / "delta")

    def read(number: int) -> int:
        table = deltalake.DeltaTable(path).to_pyarrow_table(filters=[("series", "=", number)])
        return table.num_rows

    def commit(batch: Any) -> None:
        deltalake.write_deltalake(path, _arrow(batch), mode="append")

    return _measure(values, commit, read, time.process_time)


def _duckdb(values: Any, folder: Path) -> dict[str, Any]:
    store = duckdb.connect(str(folder / "points.duckdb"))
    store.execute("CREATE TABLE p (series INTEGER, stamp BIGINT, value DOUBLE)")

    def commit(batch: Any) -> None:
        arrow = _arrow(batch)
        store.register("arrived", arrow)
        store.execute("INSERT INTO p SELECT * FROM arrived")

    def read(number: int) -> int:
        found = store.execute("SELECT stamp, value FROM p WHERE series = ? ORDER BY stamp", [number]).fetchnumpy()
        return len(found["stamp"])

    return _measure(values, commit, read, time.process_time)


def _number(link: Any, question: str) -> int:
    return link.execute(question).fetchone()[0]


def _postgres(values: Any, _: Path, port: int) -> dict[str, Any]:
    link = psycopg.connect(host="127.0.0.1", port=port, user="bench", dbname="postgres", autocommit=True)
    link.execute("CREATE TABLE p (series int, stamp bigint, value double precision)")
    link.execute("CREATE INDEX p_series_stamp ON p (series, stamp)")
    server = psutil.Process(psutil.Process(_number(link, "SELECT pg_backend_pid()")).ppid())

    def cpu() -> float:
        family = [server, *server.children(recursive=True)]
        return time.process_time() + sum(sum(one.cpu_times()[:2]) for one in family)

    def commit(batch: Any) -> None:
        with link.cursor().copy("COPY p FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_binary_rows(*batch))

    def read(number: int) -> int:
        cursor = link.cursor(binary=True)
        rows = cursor.execute("SELECT stamp, value FROM p WHERE series = %s ORDER BY stamp", [number]).fetchall()
        return len(np.array(rows))

    found = _measure(values, commit, read, cpu)
    size = _number(link, "SELECT pg_total_relation_size('p')")
    return {**found, "bytes_per_point": size / values.size}


def _binary_rows(numbers: Any, stamps: Any, values: Any) -> bytes:
    """Return the rows in PostgreSQL's binary form, made as fast as NumPy can: the peer shall not pay for Python."""
    kinds = [("n", ">i2"), ("a", ">i4"), ("series", ">i4"), ("b", ">i4"), ("at", ">i8"), ("c", ">i4"), ("v", ">f8")]
    rows = np.zeros(len(numbers), np.dtype(kinds))
    rows["n"], rows["a"], rows["b"], rows["c"] = 3, 4, 8, 8
    rows["series"], rows["at"], rows["v"] = numbers, stamps, values
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # one time in five, threads of delta-rs or Arrow abort the process as it ends
