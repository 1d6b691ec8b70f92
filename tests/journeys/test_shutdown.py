"""Told to stop, the service takes nothing new, answers what has begun, and loses nothing that it acknowledged."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow
START = 1_700_000_000
SENDERS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


def body_of(series: str, first: int, count: int) -> bytes:
    rows = [{"series_id": series, "timestamp": START + i, "value": float(i)} for i in range(first, first + count)]
    return json.dumps({"points": rows}).encode()


def begun(server: Server, path: str, body: bytes) -> socket.socket:
    """Send a request without its last byte."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:-1])
    return connection


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    parts: list[bytes] = []
    with connection:
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def stored(server: Server, series: str) -> int:
    with server.http() as http:
        answer = http.get(f"/api/v1/series/{series}")
        if answer.status_code == 404:
            return 0
        return int(until(lambda: _received(http, series), f"the points of {series}"))


def _received(http: httpx.Client, series: str) -> int:
    if http.get("/health").json()["scoring_lag_rows"]:
        return 0
    return http.get(f"/api/v1/series/{series}").json()["received"]


def test_what_has_begun_is_answered_and_kept(server: Server) -> None:
    points = begun(server, "/api/v1/points", body_of("half", 0, 100))
    many = begun(server, "/api/v1/points", body_of("large", 0, 5_000))
    unknown = begun(server, "/api/v1/predict/nobody", b'{"timestamp": 1700000000, "value": 1.0}')
    with server.http() as http:
        assert http.get("/health").status_code == 200  # by then it has read what came before
    os.kill(server.pid, signal.SIGTERM)
    until(lambda: _refuses(server.port), "no more connections")
    for connection in (points, many, unknown):
        connection.sendall(b"}")
    told = [received(connection) for connection in (points, many, unknown)]
    assert [answer.split(b" ", 2)[1] for answer in told] == [b"200", b"200", b"404"]
    assert all(b"connection: close" in answer for answer in told)
    assert server.stop() == 0
    server.start()
    assert (stored(server, "half"), stored(server, "large")) == (100, 5_000)


def test_what_was_acknowledged_under_load_is_there_after_a_stop(server: Server) -> None:
    acknowledged = [0] * SENDERS
    statuses: set[int] = set()

    def send(number: int) -> None:
        with server.http() as http:
            while True:
                body = body_of(f"s{number}", acknowledged[number], 50)
                try:
                    answer = http.post("/api/v1/points", content=body)
                except httpx.TransportError:
                    return
                statuses.add(answer.status_code)
                if answer.status_code == 200:
                    acknowledged[number] += 50

    senders = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    until(lambda: min(acknowledged) >= 500, "some points")
    assert server.stop() == 0
    for sender in senders:
        sender.join()
    assert statuses <= {200, 503}
    server.start()
    kept = [stored(server, f"s{number}") for number in range(SENDERS)]
    assert all(n <= k <= n + 50 for n, k in zip(acknowledged, kept, strict=True)), (acknowledged, kept)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return True
    return False
