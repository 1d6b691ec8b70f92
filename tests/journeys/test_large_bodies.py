"""A body of 200 MB is refused early, and the memory of the service stays flat."""

import gzip
import json
import re
import select
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.journeys.servers import Server, until

pytestmark = pytest.mark.slow
MIB = 2**20
HUGE = 200 * MIB
PIECE = b'{"points":[' + b" " * (MIB - 11)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("large") / "data") as running:
        yield running


@dataclass
class Memory:
    """Resident memory of a process in bytes: at first, and at most."""

    first: int
    most: int

    @property
    def growth_mib(self) -> float:
        return (self.most - self.first) / MIB


@contextmanager
def watched(pid: int) -> Generator[Memory]:
    process = psutil.Process(pid)
    first = process.memory_info().rss
    seen = Memory(first, first)
    over = threading.Event()

    def watch() -> None:
        is_over = False
        while not is_over:
            is_over = over.wait(0.005)
            seen.most = max(seen.most, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def receive(connection: socket.socket) -> bytes:
    """Return one whole answer."""
    answer = b""
    while True:
        head, separator, content = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if separator and length is not None and len(content) >= int(length[1]):
            return answer
        more = connection.recv(65536)
        assert more, f"cut short: {answer!r}"
        answer += more


def send(server: Server, *, chunked: bool) -> tuple[bytes, int, int]:
    """Send 200 MB as long as the service takes it; return the answer, and how much was sent before and in all."""
    how = b"Transfer-Encoding: chunked" if chunked else f"Content-Length: {HUGE}".encode()
    head = b"POST /api/v1/points HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + how + b"\r\n\r\n"
    piece = f"{len(PIECE):x}\r\n".encode() + PIECE + b"\r\n" if chunked else PIECE
    answer, before, sent = b"", 0, 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        if not chunked:  # whoever announces the length need not send anything to be refused
            answer = receive(connection)
        while sent < HUGE:
            if not answer and select.select([connection], [], [], 0)[0]:
                answer, before = receive(connection), sent
            try:
                connection.sendall(piece)
            except (ConnectionError, TimeoutError):
                break
            sent += len(PIECE)
    return answer, before, sent


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_of_200_mb_is_refused_early_with_flat_memory(server: Server, chunked: bool) -> None:
    with watched(server.pid) as memory:
        answer, before, sent = send(server, chunked=chunked)
    print(f"chunked={chunked}: answered after {before / MIB:.0f} MiB, {sent / MIB:.0f} MiB taken,"
          f" memory grew by {memory.growth_mib:.0f} MiB")  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert b'"code":"body_too_large"' in answer
    assert before <= 64 * MIB
    assert memory.growth_mib < (80 if chunked else 24)
    with server.http() as http:
        assert http.get("/health").json()["status"] == "ok"
        assert http.get("/api/v1/series").json()["items"] == []


def test_a_small_body_without_a_length_is_welcome(server: Server) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"points":[{"series_id":"in pieces",'
        yield b'"timestamp":1700000000,"value":1}]}'

    with server.http() as http:
        assert http.post("/api/v1/points", content=pieces()).json()["accepted"] == 1


def rows(count: int, series_id: str) -> bytes:
    """Return a body of points of one series, about 64 bytes each."""
    points = [{"series_id": series_id, "timestamp": 1_700_000_000 + i, "value": i % 7} for i in range(count)]
    return json.dumps({"points": points}).encode()


def test_a_body_that_is_too_much_for_now_is_told_to_come_again_whole(tmp_path: Path) -> None:
    body = rows(20_000, "patient")
    head = b"POST /api/v1/points HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with (
        Server(tmp_path / "data", max_inflight_bytes=MIB) as server,
        server.http() as http,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow,
    ):
        slow.sendall(head + b'{"points":[')

        def is_busy() -> bool:
            return http.post("/api/v1/points", content=body).status_code == 429

        until(is_busy, "the slow body to be in flight")
        refused = http.post("/api/v1/points", content=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["code"] == "too_much_in_flight"
        assert "connection" not in refused.headers
        assert http.post("/api/v1/points", content=rows(10, "small")).json()["accepted"] == 10
        slow.close()
        until(lambda: not is_busy(), "the bytes of the caller that left to be free")
        accepted = http.post("/api/v1/points", content=gzip.compress(body), headers={"content-encoding": "gzip"})
        assert accepted.json()["accepted"] == 20_000
        listed = http.get("/api/v1/series").json()["items"]
        assert {one["series_id"] for one in listed} == {"patient", "small"}


def test_a_caller_that_leaves_half_way_leaves_nothing(server: Server) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            head = b"POST /api/v1/points HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n"
            connection.sendall(head + b'{"points":[{"series_id":"half",')
    with server.http() as http:
        assert http.post("/api/v1/points", content=rows(20_000, "whole")).json()["accepted"] == 20_000
        assert "half" not in http.get("/api/v1/series").text
