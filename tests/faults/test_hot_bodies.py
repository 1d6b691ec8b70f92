"""Bodies of hot doors: limits on each and on all in flight, pieces, encodings, callers that stop or leave."""

import asyncio
import gzip
import random
import zlib

import cramjam
import pytest

from atalaia.kit.web import hot
from atalaia.kit.web.doors import Answer, Call
from tests.kit.web.fronts import LIMIT, MIB, Caller, Front, door, problem_of, size


def test_a_body_in_pieces_is_put_together() -> None:
    chunks = [b"a", b"", b"bc", b"d" * 70_000]
    answer = Front(door(act=size)).post("/door", chunks=chunks)
    assert (answer.json(), answer.chunks_read) == (70_003, 4)


def test_a_body_may_be_empty() -> None:
    assert Front(door(act=size)).post("/door").json() == 0
    assert Front(door(act=size)).post("/door", chunks=[b""]).json() == 0


def test_a_body_that_is_declared_too_large_is_refused_unread() -> None:
    front = Front(door())
    answer = front.post("/door", b"", headers={"content-length": str(LIMIT + 1)})
    assert problem_of(answer) == (413, "body_too_large")
    assert (answer.chunks_read, answer.headers["connection"]) == (0, "close")
    assert "4 MiB" in answer.json()["detail"]


@pytest.mark.parametrize("length", ["9" * 30, "-1", "abc", "1_000", "٣", " 12"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    headers = {"content-length": length.encode().decode("latin-1")}
    assert problem_of(Front(door()).post("/door", b"x", headers=headers)) == (413, "body_too_large")


@pytest.mark.parametrize("chunks", [[b"x" * (LIMIT + 1)], [b"x" * MIB] * 10, [b"", b"x" * (LIMIT + 1), b""]])
def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_does(chunks: list[bytes]) -> None:
    answer = Front(door()).post("/door", chunks=chunks)
    assert problem_of(answer) == (413, "body_too_large")
    assert answer.chunks_read <= 5
    assert "connection" not in answer.headers  # what is still on its way is dropped by the server


def test_a_body_just_as_large_as_allowed_is_welcome() -> None:
    front = Front(door(act=size))
    assert front.post("/door", b"x" * LIMIT).json() == LIMIT
    assert front.post("/door", chunks=[b"x" * MIB] * 4).json() == LIMIT


# in flight


def test_more_bytes_than_may_be_in_flight_are_told_to_come_again() -> None:
    async def run() -> None:
        front = Front(door(act=size))
        declared = {b"content-length": b"%d" % (3 * MIB)}
        first, second = Caller(front, declared), Caller(front, declared)
        await asyncio.sleep(0)
        assert front.app._inflight == 6 * MIB
        third = Caller(front, declared)
        await third.task
        assert (third.status, third.headers[b"retry-after"], b"connection" in third.headers) == (429, b"1", False)
        assert b"too_much_in_flight" in third.sent[1]["body"]
        small = Caller(front)
        await small.feed(b"x" * 1000)
        assert small.status == 200
        await first.feed(b"x" * 3 * MIB)
        assert (first.status, front.app._inflight) == (200, 3 * MIB)
        fourth = Caller(front, declared)
        await fourth.feed(b"x" * 3 * MIB)
        assert fourth.status == 200
        await second.feed(b"x" * 3 * MIB)
        assert (second.status, front.app._inflight) == (200, 0)

    asyncio.run(run())


def test_bytes_that_were_not_declared_count_as_they_come() -> None:
    async def run() -> None:
        front = Front(door(act=size), max_inflight_bytes=2 * MIB)
        first, second = Caller(front), Caller(front)
        await first.feed(b"x" * MIB, more=True)
        await second.feed(b"x" * MIB, more=True)
        assert front.app._inflight == 2 * MIB
        await first.feed(b"x", more=True)
        assert (first.status, front.app._inflight) == (429, MIB)
        await second.feed(b"x" * MIB)
        assert (second.status, second.sent[1]["body"], front.app._inflight) == (200, b"2097152", 0)

    asyncio.run(run())


def test_one_body_alone_is_taken_though_it_is_more_than_may_be_in_flight() -> None:
    front = Front(door(act=size), max_inflight_bytes=MIB)
    assert front.post("/door", b"x" * LIMIT).json() == LIMIT
    assert front.post("/door", chunks=[b"x" * MIB] * 4).json() == LIMIT


def test_what_is_worked_on_in_a_thread_is_still_in_flight() -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def slow(call: Call) -> Answer:
            await go_on.wait()
            return size(call)

        front = Front(door(act=slow))
        caller = Caller(front)
        await caller.feed(b"x" * 1000)
        assert front.app._inflight == 1000
        go_on.set()
        await caller.task
        assert (caller.status, front.app._inflight) == (200, 0)

    asyncio.run(run())


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("read", [0, 1, 2])
def test_a_caller_that_leaves_is_forgotten(declared: bool, read: int) -> None:
    async def run() -> None:
        front = Front(door())
        caller = Caller(front, {b"content-length": b"3000000"} if declared else {})
        for _ in range(read):
            await caller.feed(b"x" * MIB, more=True)
        await asyncio.sleep(0)
        assert front.app._inflight > 0 or not (declared or read)
        await caller.leave()
        assert (caller.sent, front.app._inflight, front.noted()) == ([], 0, [])

    asyncio.run(run())


def test_a_call_that_is_cancelled_is_forgotten() -> None:
    async def run() -> None:
        front = Front(door())
        caller = Caller(front, {b"content-length": b"3000000"})
        await caller.feed(b"x", more=True)
        caller.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller.task
        assert front.app._inflight == 0

    asyncio.run(run())


@pytest.mark.parametrize("begun", [True, False])
def test_a_large_body_that_stops_is_not_waited_for_for_ever(begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "PATIENCE_S", 0.02)

    async def run() -> None:
        front = Front(door())
        caller = Caller(front, {b"content-length": b"3000000"})
        if begun:
            await caller.feed(b"x", more=True)
        await caller.task
        assert (caller.status, front.app._inflight, caller.headers[b"connection"]) == (408, 0, b"close")
        assert b"slow_body" in caller.sent[1]["body"]

    asyncio.run(run())


# encodings

TEXT = b"what is worth compressing " * 5_000
ENCODED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT),
    "zstd": bytes(cramjam.zstd.compress(TEXT)),
    "lz4": bytes(cramjam.lz4.compress(TEXT)),
    "snappy": bytes(cramjam.snappy.compress_raw(TEXT)),
    "identity": TEXT,
    "Identity": TEXT,
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_compressed_body_is_undone(encoding: str, in_chunks: bool) -> None:
    data = ENCODED[encoding]
    front = Front(door(act=lambda call: Answer(bytes(call.body))))
    chunks = [data[:10], data[10:]] if in_chunks else None
    answer = front.post("/door", data, chunks=chunks, headers={"content-encoding": encoding})
    assert (answer.status, answer.body) == (200, TEXT)


def test_a_large_compressed_body_is_undone_in_a_thread() -> None:
    noise = random.Random(1).randbytes(100_000)
    packed = gzip.compress(noise, 1)
    assert len(packed) > hot.LARGE_BYTES
    front = Front(door(act=lambda call: Answer(bytes(call.body))))
    assert front.post("/door", packed, headers={"content-encoding": "gzip"}).body == noise


def test_a_door_may_expect_an_encoding_that_is_not_declared() -> None:
    front = Front(door(act=lambda call: Answer(bytes(call.body)), encoding="snappy"))
    assert front.post("/door", ENCODED["snappy"]).body == TEXT
    assert front.post("/door", ENCODED["gzip"], headers={"content-encoding": "gzip"}).body == TEXT
    assert front.post("/door", TEXT, headers={"content-encoding": "identity"}).body == TEXT


@pytest.mark.parametrize(
    ("encoding", "body", "wanted"),
    [
        ("br", TEXT, (415, "unsupported_encoding")),
        ("gzip, gzip", TEXT, (415, "unsupported_encoding")),
        ("gzip", TEXT, (400, "bad_encoding")),
        ("gzip", b"", (400, "bad_encoding")),
        ("gzip", ENCODED["gzip"][:-9], (400, "bad_encoding")),
        ("zstd", ENCODED["zstd"][:20], (400, "bad_encoding")),
        ("snappy", ENCODED["snappy"][:50], (400, "bad_encoding")),
        ("lz4", b"\x04\x22\x4d\x18", (400, "bad_encoding")),
    ],
)
def test_what_cannot_be_undone_is_refused_and_the_connection_stays(
    encoding: str, body: bytes, wanted: tuple[int, str]
) -> None:
    answer = Front(door()).post("/door", body, headers={"content-encoding": encoding})
    assert problem_of(answer) == wanted
    assert "connection" not in answer.headers


BOMB = b"\0" * (64 * MIB)


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "snappy"])
def test_a_bomb_is_refused(encoding: str) -> None:
    pack = {"gzip": gzip.compress, "zstd": cramjam.zstd.compress, "lz4": cramjam.lz4.compress}
    data = bytes(pack.get(encoding, cramjam.snappy.compress_raw)(BOMB))
    answer = Front(door()).post("/door", data, headers={"content-encoding": encoding})
    assert problem_of(answer) == (413, "body_too_large")


def test_a_small_body_that_becomes_large_is_undone_and_counted_as_what_it_became() -> None:
    async def run() -> None:
        seen: list[int] = []

        def look(call: Call) -> Answer:
            seen.append(front.app._inflight)
            return size(call)

        front = Front(door(act=look), max_inflight_bytes=5 * MIB)
        data = gzip.compress(BOMB[: 3 * MIB])
        caller = Caller(front, {b"content-encoding": b"gzip"})
        await caller.feed(data)
        await caller.task
        assert (caller.status, seen, front.app._inflight) == (200, [3 * MIB], 0)
        other = Caller(front, {b"content-length": b"3145728"})
        await other.feed(b"", more=True)
        caller = Caller(front, {b"content-encoding": b"gzip"})
        await caller.feed(data)
        await caller.task
        assert (caller.status, front.app._inflight) == (429, 3 * MIB)
        await other.leave()

    asyncio.run(run())
