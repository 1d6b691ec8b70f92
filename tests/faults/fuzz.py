"""Damaged input for every binary parser, as much as you like: ``python -m tests.faults.fuzz --cases 1000000``.

Valid inputs are changed at random. A parser may read what comes of it or refuse it as `Invalid`; any other error, a
crash, or memory that grows, is a fault. A block of cases can be had again: the same seed makes the same cases.
"""

import argparse
import gzip
import json
import os
import random
import resource
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pyarrow as pa

from atalaia.connectors.prometheus import SeriesTable, read_write_request, series_id_of
from atalaia.core.errors import Invalid
from atalaia.kit.arrow_stream import points_from_stream
from atalaia.kit.web.encodings import ENCODINGS, decoded
from atalaia.kit.web.tensors import decode_request, encode_response
from atalaia.serving.one_point import one_request
from tests.connectors.prometheus.messages import request_v1, request_v2

BLOCK = 1_000
"""Cases that share one random generator."""
_MIB = 2**20
_LIMIT = 4 * _MIB
_SPARE_ADDRESSES = 2**31
_NUMBERS = (0, 1, 2, 7, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
_STRANGE = (
    b"\xff" * 9 + b"\x01",
    b"\xff" * 10,
    b"\x80" * 11,
    b"\x0a\x00",
    b"\x22\x00",
    b"\x2a\x00",
    b"[",
    b"1e999",
)
_PIECES = [
    *(number.to_bytes(size, "little") for number in _NUMBERS for size in (1, 2, 4, 8) if number < 256**size),
    *_STRANGE,
]


@dataclass(frozen=True)
class Target:
    """A parser, and valid inputs to begin with."""

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


@dataclass(frozen=True)
class Outcome:
    """What became of the cases."""

    cases: int
    accepted: int
    cpu_s: float
    grown_bytes: int


def targets() -> dict[str, Target]:
    """Return every parser by name."""
    v1, v2 = _write_requests(request_v1), _write_requests(request_v2)
    return {
        "remote_write_v1": Target(v1, lambda data: _read_write(data, 1)),
        "remote_write_v2": Target(v2, lambda data: _read_write(data, 2)),
        "remote_write_snappy": Target(
            [bytes(cramjam.snappy.compress_raw(seed)) for seed in v1],
            lambda data: _read_write(decoded(data, "snappy", _LIMIT), 1),
        ),
        "arrow_stream": Target(_streams(), _read_stream),
        "binary_tensors": Target(_inferences(), _read_inference),
        "content_encodings": Target(_compressed(), _read_compressed),
    }


def fuzz(target: Target, cases: int, seed: int = 0) -> Outcome:
    """Give `target` so many damaged inputs; raise what it should not."""
    for valid in target.seeds:
        target.read(valid)
    accepted, before, started = 0, _resident_bytes(), time.process_time()
    for block in range(0, cases, BLOCK):
        chance = random.Random(f"{seed}/{block}")
        for case in range(block, min(block + BLOCK, cases)):
            data = _damaged(target.seeds, chance)
            try:
                target.read(data)
                accepted += 1
            except Invalid:
                pass
            except BaseException as error:
                error.add_note(f"seed {seed}, case {case}: bytes.fromhex({data.hex()!r})")
                raise
    return Outcome(cases, accepted, time.process_time() - started, _resident_bytes() - before)


def _damaged(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(1 + chance.getrandbits(2)):
        at = int(chance.random() * (len(data) + 1))
        way = chance.getrandbits(3)
        if way <= 1 and at < len(data):
            data[at] ^= 1 << chance.getrandbits(3)
        elif way == 2 and at < len(data):
            data[at] = chance.getrandbits(8)
        elif way <= 4:
            piece = chance.choice(_PIECES)
            data[at : at + (len(piece) if way == 4 else 0)] = piece
        elif way == 5:
            del data[at : at + 1 + chance.getrandbits(5)]
        elif way == 6:
            other = chance.choice(seeds)
            begin = int(chance.random() * len(other))
            data[at:at] = other[begin : begin + 1 + chance.getrandbits(6)]
        elif chance.getrandbits(2) == 0:
            del data[at:]
    return bytes(data)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_TABLE = SeriesTable(max_entries=10_000)


def _read_write(data: bytes | memoryview, version: int) -> None:
    batch = read_write_request(data, version, _TABLE.key)
    numbers, unknown = batch.resolve(_TABLE)
    for position in unknown[:3].tolist():
        series_id_of(batch.labels(position))
    _TABLE.add(batch.hashes[unknown], np.arange(1, len(unknown) + 1, dtype=np.int32))
    assert len(batch.points(numbers)) <= len(batch) == len(batch.timestamps) == len(batch.rows)


def _write_requests(make: Callable[[Any], Any]) -> list[bytes]:
    def series(i: int) -> tuple[list[tuple[str, str]], list[tuple[float, int]]]:
        return [("__name__", "up"), ("job", f"node{i}")], [
            (i + 0.5, 1_763_000_000_000 + k) for k in range(i % 3 + 1)
        ]

    requests = [make(series(i) for i in range(count)) for count in (1, 3, 8)]
    for one in requests[1].timeseries:
        one.exemplars.add(value=1)
        one.histograms.add(count_int=3, timestamp=5)
    return [request.SerializeToString() for request in requests]


def _streams() -> list[bytes]:
    words = pa.array(["pump", "fan", "pump"])
    found: list[bytes] = []
    for series in (
        pa.array([1, 2, 3], pa.int32()),
        words,
        words.dictionary_encode(),
        words.cast(pa.large_string()),
    ):
        name = "series" if pa.types.is_integer(series.type) else "series_id"
        stamps = pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("ms") if name == "series" else pa.int64())
        batch = pa.record_batch({name: series, "timestamp": stamps, "value": pa.array([0.5, 1.5, 2.5])})
        for compression in (None, "lz4", "zstd"):
            sink = pa.BufferOutputStream()
            options = pa.ipc.IpcWriteOptions(compression=compression)
            with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
                writer.write_batch(batch)
                writer.write_batch(batch)
            found.append(sink.getvalue().to_pybytes())
    return found


def _read_stream(data: bytes) -> None:
    points = points_from_stream(data, 100_000, max_bytes=_LIMIT)
    assert len(points) == len(points.timestamps)
    if points.indexes is not None and len(points):
        assert 0 <= points.indexes.min() <= points.indexes.max() < len(points.ids)
    assert float(points.values.sum()) is not None


def _inferences() -> list[bytes]:
    """Return requests behind two bytes that say how long their JSON is."""
    text = b"\x04\x00\x00\x00pump\x02\x00\x00\x00ab"
    tensors = [("v", "FP64", [2], bytes(16)), ("s", "BYTES", [2], text), ("b", "BOOL", [2, 1], b"\x00\x01")]
    inputs = [
        {"name": n, "datatype": d, "shape": s, "parameters": {"binary_data_size": len(b)}} for n, d, s, b in tensors
    ]
    as_json = [{"name": "v", "datatype": "FP64", "shape": [2, 1], "data": [[1.5], [2]]}]
    as_json += [{"name": "s", "datatype": "BYTES", "shape": [1], "data": ["pump"]}]
    found: list[bytes] = []
    for sent, tail in ((inputs, b"".join(b for *_, b in tensors)), (as_json, b"")):
        head = json.dumps({"id": "7", "inputs": sent, "parameters": {"binary_data_output": bool(tail)}}).encode()
        found.append(len(head).to_bytes(2, "little") + head + tail)
    return found


def _read_inference(data: bytes) -> None:
    length = str(int.from_bytes(data[:2], "little")) if data[:1] != b"\x00" else None
    one_request(data[2:])
    request = decode_request(data[2:], length, max_elements=100_000)
    encode_response("m", None, {tensor.name: tensor.data for tensor in request.inputs}, request)


def _compressed() -> list[bytes]:
    """Return bodies behind one byte that says how they are compressed."""
    data = json.dumps(
        {"points": [{"series_id": "pump", "timestamp": i, "value": i / 3} for i in range(9)]}
    ).encode()
    bodies = {
        "gzip": gzip.compress(data),
        "deflate": zlib.compress(data),
        "zstd": cramjam.zstd.compress(data),
        "lz4": cramjam.lz4.compress(data),
        "snappy": cramjam.snappy.compress_raw(data),
    }
    return [bytes([i]) + bytes(bodies[name]) for i, name in enumerate(ENCODINGS)]


def _read_compressed(data: bytes) -> None:
    encoding = ENCODINGS[data[0] % len(ENCODINGS)] if data else "br"
    assert len(decoded(data[1:], encoding, _LIMIT)) <= _LIMIT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parsers one after another and print what became of the cases."""
    known = targets()
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="cases for each parser")
    parser.add_argument("--parser", choices=sorted(known), action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (addresses + _SPARE_ADDRESSES, resource.RLIM_INFINITY))
    for name in options.parser or known:
        found = fuzz(known[name], options.cases, options.seed)
        refused = found.cases - found.accepted
        sys.stdout.write(
            f"{name:20} {found.cases:>10,} cases, {found.accepted:>9,} read, {refused:>10,} refused,"
            f" {found.cpu_s:8.1f} s of CPU, memory grew by {found.grown_bytes / _MIB:6.1f} MiB\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
