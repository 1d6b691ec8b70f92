"""Incidents whose cause is known, as PetShop and Nezha publish them.

A folder of a set holds ``dev`` and ``holdout``, or is one of them. PetShop: for each case a JSON file (alarm and
cause) named ``<scenario>__<case>.json`` and a ``.csv.gz`` (metrics of the incident); beside the splits, ``shared``
with the graph and the normal metrics of each scenario. Nezha: for each day ``<day>.parquet`` (metrics of pods) and
``<day>_faults.json``.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from atalaia.algorithms.causes.calls import Calls
from atalaia.algorithms.causes.ranking import Evidence
from atalaia.algorithms.evaluation.cause import Case
from atalaia.core.clock import MICROS
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray, Group, IntArray

_arrow: Any = pyarrow
_parquet: Any = pyarrow.parquet
_SPLITS = ("dev", "holdout")
_FAULTS = "_faults.json"
_MOST_BYTES = 1 << 28
"""What a file of a case may unpack to."""
_LAST_S = 1e11
_MINUTE_S = 60
_WINDOW_MINUTES = 5
_HISTORY_MINUTES = 120


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder holds.

    Attributes
    ----------
    left_out
        By name, the cases that cannot be used, each with the reason.
    """

    cases: list[Case]
    left_out: Mapping[str, str]


def read_cases(folder: Path) -> list[Case]:
    """Return the usable cases of a folder; see `read_all`."""
    return read_all(folder).cases


def read_all(folder: Path) -> Reading:
    """Return the cases of a folder, in order of name inside each split.

    Raises
    ------
    Invalid
        ``invalid_file``, with the file and the reason, when there is none or one cannot be read.
    """
    splits = [folder / split for split in _SPLITS if (folder / split).is_dir()] or [folder]
    cases: list[Case] = []
    left_out: dict[str, str] = {}
    for split in splits:
        if not split.is_dir():
            raise _invalid(split, "is no folder")
        named = sorted(split.glob(f"*{_FAULTS}"))
        if named:
            for faults in named:
                cases += _nezha(faults, left_out)
            continue
        named = sorted(split.glob("*__*.json"))
        if not named:
            raise _invalid(split, f"holds neither *{_FAULTS} nor *__*.json: no set of cases that is known here")
        cases += _petshop(named, split, left_out)
    if not cases:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
        raise _invalid(folder, f"no case can be used ({why or 'there is none'})")
    return Reading(cases, left_out)


# PetShop


@dataclass(frozen=True, slots=True)
class _Table:
    """Metrics on a grid, each named by service and metric."""

    timestamps: IntArray
    columns: Mapping[tuple[str, str], FloatArray]


def _petshop(files: Sequence[Path], split: Path, left_out: dict[str, str]) -> Iterator[Case]:
    shared = next((place for place in (split.parent / "shared", split / "shared") if place.is_dir()), split)
    normal: dict[str, _Table | None] = {}
    calls: dict[str, Calls | None] = {}
    for file in files:
        name = file.stem
        scenario = name.partition("__")[0]
        if scenario not in normal:
            usual, graph = shared / f"{scenario}_noissue.csv.gz", shared / f"{scenario}_graph.csv"
            normal[scenario] = _metrics(usual) if usual.is_file() else None
            calls[scenario] = _graph(graph) if graph.is_file() else None
        before = normal[scenario]
        if before is None:
            left_out[name] = f"no normal metrics of {scenario}"
            continue
        told = _json(file)
        alarm, cause = _at(told, file, "target"), _at(told, file, "root_cause")
        metric = f"{_text(alarm, file, 'metric')}_{_text(alarm, file, 'agg')}"
        seen = _metrics(file.with_suffix(".csv.gz"))
        keys = list(seen.columns)
        evidence = Evidence(
            [service for service, _ in keys],
            [metric for _, metric in keys],
            Group.of((before.timestamps[: len(v)], v) for v in (before.columns.get(k, _NONE) for k in keys)),
            np.stack([seen.columns[key] for key in keys]),
            calls[scenario],
            _text(alarm, file, "node"),
            metric,
        )
        yield Case(name, evidence, frozenset({_text(cause, file, "node")}))


_NONE: FloatArray = np.empty(0)


def _metrics(file: Path) -> _Table:
    """Read three lines of names (service, metric, statistic), one that names the index, and rows of numbers."""
    rows = _rows(file)
    if len(rows) < 5:
        raise _invalid(file, "holds no rows under its four lines of names")
    services, metrics, statistics = rows[0][1:], rows[1][1:], rows[2][1:]
    body = rows[4:]
    if not services or any(len(row) != len(services) + 1 for row in (rows[1], rows[2], *body)):
        raise _invalid(file, "has rows of different length")
    try:
        cells = np.array([[float(cell) if cell else np.nan for cell in row] for row in body])
    except ValueError as error:
        raise _invalid(file, f"holds what is no number: {error}") from error
    if not bool((np.abs(cells[:, 0]) <= _LAST_S).all()):
        raise _invalid(file, "has rows without a time")
    timestamps = (cells[:, 0] * MICROS).astype(np.int64)
    keys = [(s, f"{m}_{t}") for s, m, t in zip(services, metrics, statistics, strict=True)]
    return _Table(timestamps, {key: cells[:, i] for i, key in enumerate(keys, 1)})


def _graph(file: Path) -> Calls:
    """Read a square of numbers: whoever names the row calls whoever names the column, unless it is 0."""
    rows = _rows(file)
    names = rows[0][1:] if rows else []
    if not names or any(len(row) != len(names) + 1 for row in rows):
        raise _invalid(file, "is no table of edges")
    try:
        return Calls(
            (row[0], name)
            for row in rows[1:]
            for name, cell in zip(names, row[1:], strict=True)
            if float(cell or 0)
        )
    except ValueError as error:
        raise _invalid(file, f"holds what is no number: {error}") from error


def _rows(file: Path) -> list[list[str]]:
    try:
        opened = gzip.open(file) if file.suffix == ".gz" else file.open("rb")
        with opened as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _invalid(file, f"cannot be read: {error}") from error
    if len(data) > _MOST_BYTES:
        raise _invalid(file, f"unpacks to more than {_MOST_BYTES >> 20} MiB")
    try:
        return list(csv.reader(data.decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _invalid(file, f"is no CSV: {error}") from error


# Nezha


def _nezha(faults: Path, left_out: dict[str, str]) -> Iterator[Case]:
    day = faults.name.removesuffix(_FAULTS)
    told = _json(faults)
    if not isinstance(told, list):
        raise _invalid(faults, "is no list of faults")
    listed: list[Any] = [*told]  # pyright: ignore[reportUnknownVariableType]
    pods = _pods(faults.with_name(f"{day}.parquet"))
    for fault in sorted(listed, key=lambda fault: _text(fault, faults, "inject_time")):
        pod = _text(fault, faults, "inject_pod")
        # Where the two differ, the time in words is on the clock of the metrics; the stamp of some days is not.
        moment = _moment(_text(fault, faults, "inject_time"), faults)
        name = f"{day}_{datetime.fromtimestamp(moment, UTC):%H%M%S}"
        evidence = _minutes(pods, moment)
        if not any(evidence.history.counts):
            left_out[name] = "no metrics before the fault"
        elif not np.isfinite(evidence.window).any():
            left_out[name] = "no metrics after the fault"
        else:
            yield Case(name, evidence, frozenset({pod}))


@dataclass(frozen=True, slots=True)
class _Pod:
    """The metrics of a pod: int64[n] seconds in order of time, and by name float64[n]."""

    name: str
    seconds: IntArray
    metrics: Mapping[str, FloatArray]


def _pods(file: Path) -> list[_Pod]:
    try:
        table = _parquet.read_table(file)
        names: list[str] = table.column_names
        pods, seconds = table.column("PodName").to_pylist(), table.column("t").to_numpy().astype(np.int64)
        metrics = [name for name in names if name not in ("PodName", "t")]
        columns = {name: table.column(name).to_numpy().astype(np.float64) for name in metrics}
    except (OSError, KeyError, ValueError, TypeError, _arrow.ArrowException) as error:
        raise _invalid(file, f"cannot be read as metrics of pods: {error}") from error
    labels = np.array([str(pod) for pod in pods], np.str_)
    found: list[_Pod] = []
    for pod in np.unique(labels).tolist():
        mine = np.flatnonzero(labels == pod)
        mine = mine[np.argsort(seconds[mine], kind="stable")]
        found.append(_Pod(pod, seconds[mine], {name: columns[name][mine] for name in metrics}))
    return found


def _minutes(pods: Sequence[_Pod], moment: int) -> Evidence:
    """Return the two hours before a moment, and five minutes from then on."""
    services: list[str] = []
    metrics: list[str] = []
    before: list[tuple[IntArray, FloatArray]] = []
    windows: list[FloatArray] = []
    for pod in pods:
        first, start, end = np.searchsorted(
            pod.seconds,
            [moment - _HISTORY_MINUTES * _MINUTE_S, moment, moment + _WINDOW_MINUTES * _MINUTE_S],
        ).tolist()
        places = (pod.seconds[start:end] - moment) // _MINUTE_S
        for metric, values in pod.metrics.items():
            window = np.full(_WINDOW_MINUTES, np.nan)
            window[places] = values[start:end]
            services.append(pod.name)
            metrics.append(metric)
            before.append((pod.seconds[first:start] * MICROS, values[first:start]))
            windows.append(window)
    return Evidence(services, metrics, Group.of(before), np.stack(windows) if windows else np.empty((0, 0)))


def _moment(text: str, file: Path) -> int:
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise _invalid(file, f"{text[:40]!r} is no time") from error


# both


def _json(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _invalid(file, f"is larger than {_MOST_BYTES >> 20} MiB")
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(file, f"cannot be read as JSON: {error}") from error


def _at(told: Any, file: Path, name: str) -> Any:
    if not isinstance(told, dict) or name not in told:
        raise _invalid(file, f"has no {name!r}")
    return told[name]  # pyright: ignore[reportUnknownVariableType]


def _text(told: Any, file: Path, name: str) -> str:
    value = _at(told, file, name)
    if not isinstance(value, str):
        raise _invalid(file, f"{name!r} is no text")
    return value


def _invalid(file: Path, reason: str) -> Invalid:
    return Invalid("invalid_file", f"{file}: {reason}")
