"""What reading a whole fleet's points costs: 285,000 series with a point each, in every form, CPU time."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cramjam
import msgspec
import numpy as np

from atalaia.connectors.prometheus import SeriesTable, read_write_request
from atalaia.core.clock import MICROS
from atalaia.core.points import NumberArray
from atalaia.kit.arrow_stream import points_from_stream, scores_to_stream
from atalaia.kit.web.encodings import decoded
from atalaia.kit.web.tensors import decode_request
from bench.data import values_like
from bench.report import Figure, bounded, more_is_better
from tests.connectors.prometheus.messages import Pair, Request, Sample, WriteRequest, request_v1, request_v2

SERIES = 285_000
_START = 1_763_000_000
_TIMES = 7
_MOST_BYTES = 1 << 30
_UNIT = "points/CPU-s"
_Numbers = dict[tuple[Pair, ...], int]


class _Row(msgspec.Struct):
    series_id: str
    timestamp: float
    value: float


class _Rows(msgspec.Struct):
    points: list[_Row]


def decoding() -> Sequence[Figure]:
    """Remote write beside protobuf's own parser, columns beside rows of JSON; all end in arrays of numbers."""
    values = values_like(SERIES, seed=1).tolist()
    return [*_remote_write(values), *_columns(values)]


def _remote_write(values: Sequence[float]) -> list[Figure]:
    sent: list[tuple[list[Pair], list[Sample]]] = [
        (
            [("__name__", "vibration_rms"), ("instance", f"plant-{i % 400:03}:9100"), ("sensor", f"s{i:06}")],
            [(value, _START * 1000 + i % 1000)],
        )
        for i, value in enumerate(values)
    ]
    known: _Numbers = {tuple(labels): i + 1 for i, (labels, _) in enumerate(sent)}
    peer = "protobuf (upb), labels walked in Python, a dict"
    figures: list[Figure] = []
    for version, make, walk, tick_ms in ((1, request_v1, _walk_v1, 30.0), (2, request_v2, _walk_v2, 36.0)):
        raw: bytes = make(sent).SerializeToString()
        body = bytes(cramjam.snappy.compress_raw(raw))
        table = SeriesTable()
        table.add(read_write_request(raw, version, table.key).hashes, np.arange(1, SERIES + 1, dtype=np.int32))
        theirs = _cpu_s(partial(walk, raw, known), times=2)
        ours = _cpu_s(partial(_read, raw, version, table))
        whole = _cpu_s(partial(_read_snappy, body, version, table))
        name = f"decode_remote_write_v{version}"
        figures += [
            more_is_better(name, SERIES / ours, _UNIT, peer, SERIES / theirs, reach=10.0),
            bounded(f"{name}_tick", ours * 1000, "ms", peer, theirs * 1000, at_most=tick_ms),
            more_is_better(f"{name}_with_snappy", SERIES / whole, _UNIT, peer, SERIES / theirs, reach=10.0),
        ]
    return figures


def walk_rate(sent: Sequence[Sequence[Pair]], values: Sequence[float]) -> float:
    """Return points per second of processor time of protobuf's own parser with a walk of the labels in Python."""
    series = [(labels, [(value, _START * 1000)]) for labels, value in zip(sent, values, strict=True)]
    raw: bytes = request_v1(series).SerializeToString()
    known: _Numbers = {tuple(labels): i + 1 for i, labels in enumerate(sent)}
    return len(sent) / _cpu_s(partial(_walk_v1, raw, known), times=3)


def _read(raw: bytes | memoryview, version: int, table: SeriesTable) -> None:
    batch = read_write_request(raw, version, table.key)
    numbers, _ = batch.resolve(table)
    _check(batch.points(numbers).series)


def _read_snappy(body: bytes, version: int, table: SeriesTable) -> None:
    _read(decoded(body, "snappy", _MOST_BYTES), version, table)


def _walk_v1(raw: bytes, known: _Numbers) -> None:
    request = WriteRequest.FromString(raw)
    numbers: list[int] = []
    points: list[tuple[int, float]] = []
    for one in request.timeseries:
        number = known[tuple((label.name, label.value) for label in one.labels)]
        for sample in one.samples:
            numbers.append(number)
            points.append((sample.timestamp, sample.value))
    _check(np.array(numbers, np.int32), len(known))


def _walk_v2(raw: bytes, known: _Numbers) -> None:
    request = Request.FromString(raw)
    symbols: list[str] = list(request.symbols)
    numbers: list[int] = []
    points: list[tuple[int, float]] = []
    for one in request.timeseries:
        texts = [symbols[i] for i in one.labels_refs]
        number = known[tuple(zip(texts[::2], texts[1::2], strict=True))]
        for sample in one.samples:
            numbers.append(number)
            points.append((sample.timestamp, sample.value))
    _check(np.array(numbers, np.int32))


def _columns(values: Sequence[float]) -> list[Figure]:
    numbers = np.arange(1, SERIES + 1, dtype=np.int32)
    stamps = np.full(SERIES, _START * MICROS)
    ids = [f"plant/sensor_{i:06}_radial" for i in range(SERIES)]
    rows = [{"series_id": s, "timestamp": _START, "value": v} for s, v in zip(ids, values, strict=True)]
    known = {series_id: i + 1 for i, series_id in enumerate(ids)}
    columns = {"timestamp": stamps, "value": np.array(values)}
    theirs = _cpu_s(partial(_read_rows, json.dumps({"points": rows}).encode(), known), times=3)
    by_number = _cpu_s(partial(_read_arrow, scores_to_stream({"series": numbers, **columns}), known))
    by_id = _cpu_s(partial(_read_arrow, scores_to_stream({"series_id": ids, **columns}), known))
    tensors = _cpu_s(partial(_read_tensors, *_binary_request({"series": numbers, **columns})))
    peer = "JSON rows (msgspec), a dict"
    return [
        more_is_better(name, SERIES / ours, _UNIT, peer, SERIES / theirs, reach=reach)
        for name, ours, reach in (
            ("decode_arrow_int", by_number, 80.0),
            ("decode_arrow_ids", by_id, 1.0),
            ("decode_v2_binary", tensors, 80.0),
        )
    ]


def _read_rows(body: bytes, known: dict[str, int]) -> None:
    points = msgspec.json.decode(body, type=_Rows).points
    np.array([point.value for point in points])
    np.array([point.timestamp for point in points])
    _check(np.array([known[point.series_id] for point in points], np.int32))


def _read_arrow(body: bytes, known: dict[str, int]) -> None:
    points = points_from_stream(body, SERIES)
    if points.numbers is not None:
        _check(points.numbers)
    else:
        numbers = np.array([known[series_id] for series_id in points.ids], np.int32)
        _check(numbers[points.indexes])


def _binary_request(columns: dict[str, Any]) -> tuple[bytes, str]:
    types = {"series": "INT32", "timestamp": "INT64", "value": "FP64"}
    inputs = [
        {"name": n, "datatype": types[n], "shape": [len(c)], "parameters": {"binary_data_size": c.nbytes}}
        for n, c in columns.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(column.tobytes() for column in columns.values()), str(len(head))


def _read_tensors(body: bytes, length: str) -> None:
    _check(decode_request(body, length).inputs[0].data)


def _check(numbers: NumberArray, series: int = SERIES) -> None:
    assert len(numbers) == series
    assert numbers[-1] == series


def _cpu_s(act: Callable[[], None], times: int = _TIMES) -> float:
    """Return the CPU time of the fastest call; the first compiles and is not counted."""
    act()
    taken: list[float] = []
    for _ in range(times):
        started = time.process_time()
        act()
        taken.append(time.process_time() - started)
    return min(taken)
