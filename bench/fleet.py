"""Batches of a whole fleet through the doors: points per second of the server's processor time, end to end."""

import http.client
import json
import os
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cramjam
import numpy as np

from atalaia.connectors.prometheus import series_id_of
from atalaia.core.clock import MICROS
from atalaia.kit.arrow_stream import ARROW, scores_to_stream
from bench.data import values_like
from bench.decoding import walk_rate
from bench.report import Figure, less_is_better, more_is_better
from bench.servers import Server, atalaia_command, free_port, running
from bench.stage import SERIES, START_US, labels, publish_wave, tick_values
from tests.connectors.prometheus.messages import body_of

ROUNDS = 8
REPEATS = 5
"""How often bodies that are only scored are sent: one pass takes too few of the 10 ms that the kernel counts in."""
ROWS = 50_000
_STEP_S = 60
_AFTER_US = START_US + 30 * 86_400 * MICROS
_UNIT = "points/CPU-s"
Send = tuple[str, bytes, Mapping[str, str]]


def fleet(series: int = SERIES) -> list[Figure]:
    """Remote write, kept and scored; Arrow and JSON rows, scored only; the same with challengers."""
    every = labels(series)
    ids = [series_id_of(one) for one in every]
    bodies = [arrow_tick(series, i) for i in range(ROUNDS)] * REPEATS
    with tempfile.TemporaryDirectory() as folder:
        plain, both = Path(folder) / "plain", Path(folder) / "both"
        publish_wave(plain, ids)
        with _serving(plain) as server:
            rows = _rate(server, [_json_rows(ids, i) for i in range(2)], min(ROWS, series))
            arrow = _rate(server, bodies, series)
            written = _rate(server, [_remote_write(every, i) for i in range(ROUNDS)], series, scored=True)
        publish_wave(both, ids, versions=2)
        with _serving(both) as server:
            challenged = _rate(server, bodies, series)
    walked = walk_rate(every, values_like(series, seed=0).tolist())
    return [
        more_is_better("remote_write", written, _UNIT, "protobuf + Python walk, decode only", walked, reach=10),
        more_is_better("arrow_int", arrow, _UNIT, "JSON rows, scoring only", rows, reach=80),
        less_is_better("shadow_on", arrow / challenged, "x CPU", "shadow off", 1.0, reach=1 / 1.3),
    ]


def _rate(server: Server, sent: Sequence[Send], points: int, *, scored: bool = False) -> float:
    """Return points per second of processor time; the first request warms up."""
    send(server, sent[0])
    if scored:
        _settle(server)
    before = server.cpu_s()
    for one in sent[1:]:
        send(server, one)
    if scored:
        _settle(server)
    return points * (len(sent) - 1) / (server.cpu_s() - before)


def send(server: Server, one: Send) -> None:
    """Send a request and read its answer; every answer must be a good one."""
    path, body, headers = one
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=300)
    connection.request("POST", path, body, dict(headers))
    answer = connection.getresponse()
    told = answer.read()
    if answer.status not in (200, 204):
        raise RuntimeError(f"{path}: {answer.status} {told[:300]!r}")
    connection.close()


def _settle(server: Server) -> None:
    """Wait until all that was sent is scored."""
    place = urlsplit(server.url)
    while True:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        connection.request("GET", "/health")
        if json.loads(connection.getresponse().read())["scoring_lag_rows"] == 0:
            return
        time.sleep(0.2)


@contextmanager
def _serving(folder: Path) -> Generator[Server]:
    port = free_port()
    limits = {"ATALAIA_SERVING__MAX_BATCH_POINTS": "500000", "ATALAIA_MAX_BODY_BYTES": str(128 * 2**20)}
    command = atalaia_command("up", "--data-dir", str(folder), "--port", str(port))
    with running(command, port, {**os.environ, **limits, "ATALAIA_LOG_LEVEL": "warning"}) as server:
        calm(server)
        yield server


def calm(server: Server, *, share: float = 0.05) -> None:
    """Wait until a server has done what it does after a start: telling the registry of the wave, say."""
    calm = 0
    while calm < 3:
        before = server.cpu_s()
        time.sleep(1)
        calm = calm + 1 if server.cpu_s() - before < share else 0


def _remote_write(every: Sequence[Sequence[tuple[str, str]]], i: int) -> Send:
    millis = (_AFTER_US // 1000) + i * _STEP_S * 1000
    values = tick_values(len(every), i).tolist()
    series = (((one), [(value, millis)]) for one, value in zip(every, values, strict=True))
    body = bytes(cramjam.snappy.compress_raw(body_of(1, series)))
    return "/api/v1/write", body, {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


def arrow_tick(series: int, i: int) -> Send:
    """Return the request that scores the next value of every series, as an Arrow stream."""
    numbers = np.random.default_rng(i).permutation(series).astype(np.int32) + 1
    values = tick_values(series, i)[numbers - 1]
    columns = {
        "series": numbers,
        "timestamp": np.full(series, _AFTER_US, np.int64),
        "value": values,
    }
    return "/api/v1/predict/batch", scores_to_stream(columns), {"Content-Type": ARROW}


def _json_rows(ids: Sequence[str], i: int) -> Send:
    random = np.random.default_rng(i)
    chosen = random.permutation(len(ids))[:ROWS].tolist()
    values = values_like(len(chosen), seed=i).tolist()
    stamp = _AFTER_US // MICROS
    rows = [{"series_id": ids[k], "timestamp": stamp, "value": v} for k, v in zip(chosen, values, strict=True)]
    return "/api/v1/predict/batch", json.dumps({"points": rows}).encode(), {"Content-Type": "application/json"}
