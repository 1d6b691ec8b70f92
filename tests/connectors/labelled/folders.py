"""Small folders in the layouts of PetShop and Nezha."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Columns = Mapping[tuple[str, str, str], Sequence[float | None]]
SERVICES = ("web", "orders", "db")
PODS = ("front-1", "back-1", "store-1")
INJECTED = datetime(2022, 8, 22, 5, 0, 30, tzinfo=UTC)


def write_table(file: Path, start: int, columns: Columns) -> None:
    keys = list(columns)
    lines = [
        ",".join([what, *(key[i] for key in keys)])
        for i, what in enumerate(("microservice", "metric", "statistic"))
    ]
    lines.append("unix_timestamp" + "," * len(keys))
    for row in range(len(columns[keys[0]])):
        cells = ["" if columns[key][row] is None else str(columns[key][row]) for key in keys]
        lines.append(",".join([str(start + 300.0 * row), *cells]))
    file.write_bytes(gzip.compress("\n".join(lines).encode()))


def write_graph(file: Path, edges: Sequence[tuple[str, str]]) -> None:
    lines = ["," + ",".join(SERVICES)]
    lines += [",".join([a, *("1.0" if (a, b) in edges else "0.0" for b in SERVICES)]) for a in SERVICES]
    file.write_text("\n".join(lines))


def petshop(folder: Path, split: str = "dev", name: str = "low__issue_1", root: str = "db") -> Path:
    """Write one case: `root` and all above it have 0.4 s more."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / "shared").mkdir(exist_ok=True)
    told = {
        "target": {"node": "web", "metric": "latency", "agg": "Average", "timestamp": 1},
        "root_cause": {"node": root, "metric": None},
    }
    (folder / split / f"{name}.json").write_text(json.dumps(told))
    slow = SERVICES[: SERVICES.index(root) + 1]
    seen: dict[tuple[str, str, str], list[float | None]] = {}
    normal: dict[tuple[str, str, str], list[float | None]] = {}
    for i, service in enumerate(SERVICES):
        level = 0.4 / (i + 1)
        extra = 0.4 if service in slow else 0.0
        seen[service, "latency", "Average"] = [level, level, level + extra, level + extra, None]
        normal[service, "latency", "Average"] = [level * (1 + 0.01 * (k % 5)) for k in range(40)]
        seen[service, "requests", "Sum"] = [100.0] * 5
        normal[service, "requests", "Sum"] = [100.0] * 40
    write_table(folder / split / f"{name}.csv.gz", 1_700_000_000, seen)
    write_table(folder / "shared" / f"{name.partition('__')[0]}_noissue.csv.gz", 1_600_000_000, normal)
    write_graph(folder / "shared" / f"{name.partition('__')[0]}_graph.csv", [("web", "orders"), ("orders", "db")])
    return folder


def nezha(folder: Path, split: str = "dev", root: str = "store-1", **fault: Any) -> Path:
    """Write one day with one fault, after which `root` needs more of its processor."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    day = f"{INJECTED:%Y-%m-%d}"
    told = {
        "inject_time": f"{INJECTED:%Y-%m-%d %H:%M:%S}",
        "inject_timestamp": "1",
        "inject_pod": root,
        "inject_type": "cpu_contention",
        **fault,
    }
    (folder / split / f"{day}_faults.json").write_text(json.dumps([told]))
    begin = int((INJECTED - timedelta(minutes=30)).timestamp()) - 10
    rows: dict[str, list[Any]] = {"PodName": [], "CpuUsage(m)": [], "MemoryUsage(Mi)": [], "t": []}
    for pod in PODS:
        for minute in range(40):
            is_hurt = pod == root and minute > 30
            rows["PodName"].append(pod)
            rows["CpuUsage(m)"].append(50.0 if is_hurt else 5.0 + 0.1 * (minute % 3))
            rows["MemoryUsage(Mi)"].append(64 + minute % 2)
            rows["t"].append(begin + 60 * minute)
    pq.write_table(pa.table(rows), folder / split / f"{day}.parquet")
    return folder
