"""Points come in as JSON or as an Arrow stream, compressed or not; whatever cannot be points is refused whole."""

import gzip
import json
import threading
from typing import Any

import cramjam
import numpy as np
import pyarrow as pa
import pytest

from atalaia.kit.arrow_stream import ARROW
from atalaia.signals import doors as module
from atalaia.signals import ingest
from tests.kit.asgi import Answer, call
from tests.kit.fakes import PATIENCE_S, wait_until
from tests.signals.builders import START_S, us
from tests.signals.doors import app_of
from tests.signals.rooms import rows_of
from tests.signals.test_intake import FailingCommits, Gate

URL = "/api/v1/points"
LIMIT = 2**22


@pytest.fixture
def app(place):
    return app_of(place, max_body_bytes=LIMIT)


def send(app, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, "POST", URL, body, headers=named)


def rows(*points):
    return {"points": [{"series_id": s, "timestamp": START_S + t, "value": v} for s, t, v in points]}


def by_number(*points):
    numbers, stamps, values = zip(*points, strict=True)
    return {"series": numbers, "timestamps": [START_S + t for t in stamps], "values": values}


def arrow(compression=None, **changed: Any) -> bytes:
    """Return a stream of three points, with some columns replaced, or left out where they are None."""
    every = {
        "series_id": pa.array(["a", "b", "a"]),
        "timestamp": pa.array([us(0), us(0), us(60)], pa.int64()),
        "value": pa.array([0.5, 1.5, 2.5]),
        **changed,
    }
    batch = pa.record_batch({name: column for name, column in every.items() if column is not None})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def kept(place):
    found = place.signals.history.read(range(1, 100), 0, 1 << 62)
    return [(number, (stamp - us(0)) // 1_000_000, value) for number, stamp, value in rows_of(found)]


def ok(answer):
    assert answer.status == 200, answer.body
    return answer.json()


def refused(answer, status, code):
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.body
    assert answer.json()["code"] == code, answer.body
    return [error["pointer"] for error in answer.json().get("errors", ())]


THREE = [(1, 0, 0.5), (1, 60, 2.5), (2, 0, 1.5)]


# what is accepted


def test_rows_columns_numbers_and_arrow_say_the_same(place, app):
    first = rows(("a", 0, 0.5), ("b", 0, 1.5), ("a", 60, 2.5))
    assert ok(send(app, first)) == {"accepted": 3, "series": 2, "created": 2}
    assert kept(place) == THREE
    stamps = [START_S, START_S, START_S + 60]
    for body in (
        first,
        {"series_ids": ["a", "b", "a"], "timestamps": stamps, "values": [0.5, 1.5, 2.5]},
        {"series": [1, 2, 1], "timestamps": stamps, "values": [0.5, 1.5, 2.5]},
    ):
        assert ok(send(app, body)) == {"accepted": 3, "series": 2, "created": 0}
    numbers = pa.array([1, 2, 1], pa.int32())
    for stream in (arrow(), arrow(series_id=None, series=numbers)):
        assert ok(send(app, stream, content_type=ARROW)) == {"accepted": 3, "series": 2, "created": 0}
    assert kept(place) == THREE
    assert place.signals.lag() == 6


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_an_arrow_stream_may_bring_new_series(place, app, compression, is_dictionary):
    ids = pa.array(["a", "b", "a"])
    body = arrow(compression, series_id=ids.dictionary_encode() if is_dictionary else ids)
    assert ok(send(app, body, content_type=f"{ARROW}; charset=x")) == {"accepted": 3, "series": 2, "created": 2}
    assert kept(place) == THREE


ENCODED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
    "identity": lambda data: data,
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_body_may_be_compressed(place, app, encoding):
    plain = json.dumps(rows(("a", 0, 0.5), ("b", 0, 1.5))).encode()
    ok(send(app, ENCODED[encoding](plain), content_encoding=encoding))
    ok(send(app, ENCODED[encoding](arrow()), content_encoding=encoding, content_type=ARROW))
    assert kept(place) == THREE


def test_a_large_body_is_read_in_a_thread_and_says_the_same(place, app):
    many = rows(*((f"s{i % 7}", i, float(i)) for i in range(2_000)))
    assert ok(send(app, many)) == {"accepted": 2_000, "series": 7, "created": 7}
    assert ok(send(app, many)) == {"accepted": 2_000, "series": 7, "created": 0}
    assert len(kept(place)) == 2_000
    assert refused(send(app, b" " * 100_000 + b"{"), 422, "invalid_json") == [""]


@pytest.mark.parametrize("media", ["", "text/plain", "application/json; charset=utf-8", "application/x+json"])
def test_what_says_nothing_better_is_read_as_json(app, media):
    ok(send(app, rows(("a", 0, 1)), content_type=media))


def test_numbers_are_learnt_by_resolving_ids(place, app):
    said = ok(call(app, "POST", "/api/v1/series/resolve", {"series_ids": ["b", "a", "b"]}))
    assert said == {"series": [1, 2, 1], "created": 2}
    again = call(app, "POST", "/api/v1/series/resolve", {"series_ids": ["a"]})
    assert ok(again) == {"series": [2], "created": 0}
    assert ok(send(app, by_number((1, 0, 1.0), (2, 0, 2.0)))) == {"accepted": 2, "series": 2, "created": 0}
    bad = call(app, "POST", "/api/v1/series/resolve", {"series_ids": ["fine", " no "]})
    assert refused(bad, 422, "invalid_id") == ["/series_ids/1"]


# what is refused


@pytest.mark.parametrize("media", ["text/csv", "application/x-protobuf", "application/vnd.apache.arrow.file"])
def test_another_type_is_refused(app, media):
    refused(send(app, arrow(), content_type=media), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("numbers", "status", "code", "pointer"),
    [
        ([1, 3], 404, "unknown_series", "/series/1"),
        ([2**31 - 1, 1], 404, "unknown_series", "/series/0"),
        ([0, 1], 422, "invalid_points", "/series/0"),
        ([1, -1], 422, "invalid_points", "/series/1"),
        ([1, 2**31], 422, "invalid_points", "/series/1"),
        ([1, 2**63 - 1], 422, "invalid_points", "/series/1"),
        ([1, 2**64], 422, "invalid_points", "/series/1"),
        ([1, 10**400], 422, "invalid_points", "/series/1"),
        ([1, 1.5], 422, "invalid_request", "/series/1"),
    ],
)
def test_a_number_that_stands_for_no_series_is_refused_with_its_place(place, app, numbers, status, code, pointer):
    place.send(("a", 0, 1.0), ("b", 0, 1.0))
    pointers = refused(send(app, by_number(*((number, 5, 1.0) for number in numbers))), status, code)
    assert pointers in ([pointer], [""])
    assert len(kept(place)) == 2


def test_arrow_numbers_that_stand_for_no_series_are_refused(place, app):
    place.send(("a", 0, 1.0))
    body = arrow(series_id=None, series=pa.array([1, 1, 2], pa.int64()))
    assert refused(send(app, body, content_type=ARROW), 404, "unknown_series") == ["/series/2"]
    for bad in ([1, 1, 0], [1, 1, 2**31], [1, 1, -5]):
        body = arrow(series_id=None, series=pa.array(bad, pa.int64()))
        assert send(app, body, content_type=ARROW).status in (400, 404, 422)
    assert len(kept(place)) == 1


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"value": pa.array([1.0, float("nan"), 1.0])}, "invalid_points", "/value/1"),
        ({"value": pa.array([1.0, 1.0, float("inf")])}, "invalid_points", "/value/2"),
        ({"value": pa.array([1e101, 1.0, 1.0])}, "invalid_points", "/value/0"),
        ({"timestamp": pa.array([0, -1, 0], pa.int64())}, "invalid_time", "/timestamp/1"),
        ({"timestamp": pa.array([0, 0, 2**62], pa.int64())}, "invalid_time", "/timestamp/2"),
        ({"series_id": pa.array(["a", " b", "a"])}, "invalid_id", "/series_id/1"),
        ({"series_id": pa.array(["a", "a", "a\x00"])}, "invalid_id", "/series_id/2"),
    ],
)
def test_points_in_arrow_that_cannot_be_are_refused_with_their_place(place, app, changed, code, pointer):
    assert refused(send(app, arrow(**changed), content_type=ARROW), 422, code) == [pointer]
    assert kept(place) == []
    assert f'points_refused_total{{code="{code}"}} 1.0'.encode() in place.telemetry.render()


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 50, 200, -1, -9])
def test_a_truncated_stream_is_refused(place, app, cut):
    whole = arrow()
    answer = send(app, whole[:cut] if cut >= 0 else whole[:cut], content_type=ARROW)
    if answer.status != 200:  # the mark of the end may be missing
        refused(answer, answer.status, answer.json()["code"])
        assert answer.status in (400, 422)
        assert kept(place) == []


def test_corrupt_bodies_are_refused_and_nothing_breaks(place, app):
    whole, rng = arrow("lz4"), np.random.default_rng(5)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 5)):
            data[at] ^= int(rng.integers(1, 256))
        assert send(app, bytes(data), content_type=ARROW).status in (200, 400, 413, 422)


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "snappy"])
@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: b"", lambda data: b"\x00\xff" * 40])
def test_a_body_that_cannot_be_decompressed_is_refused(place, app, encoding, harm):
    body = harm(ENCODED[encoding](json.dumps(rows(("a", 0, 0.5))).encode()))
    answer = send(app, body, content_encoding=encoding)
    assert answer.status in (400, 413, 422), answer.body
    assert kept(place) == []


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "snappy, gzip"])
def test_an_unknown_encoding_is_refused(app, encoding):
    refused(send(app, b"x", content_encoding=encoding), 415, "unsupported_encoding")


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "snappy"])
def test_a_bomb_is_refused(app, encoding):
    bomb = ENCODED[encoding](bytes(64 * LIMIT))[: LIMIT - 1]
    answer = send(app, bomb, content_encoding=encoding)
    assert (answer.status, answer.json()["code"]) in ((413, "body_too_large"), (400, "bad_encoding"))


def test_a_bomb_inside_an_arrow_stream_is_refused(app):
    zeros = pa.array(np.zeros(2_000_000))
    numbers = pa.array(np.ones(2_000_000, np.int32))
    stamps = pa.array(np.zeros(2_000_000, np.int64))
    body = arrow("zstd", series_id=None, series=numbers, timestamp=stamps, value=zeros)
    assert len(body) < LIMIT
    refused(send(app, body, content_type=ARROW), 413, "too_many_points")


def test_more_points_than_one_request_may_bring_are_refused(open_place):
    app = app_of(open_place(max_batch_points=2))
    refused(send(app, rows(("a", 0, 1), ("a", 1, 1), ("a", 2, 1))), 422, "invalid_points")
    refused(send(app, arrow(), content_type=ARROW), 413, "too_many_points")


def test_more_new_series_than_one_request_may_bring_are_refused_clearly(open_place):
    place = open_place(max_new_series=1)
    app = app_of(place)
    place.send(("a", 0, 1.0))
    for body, media in ((rows(("a", 1, 1), ("b", 1, 1), ("c", 1, 1)), "application/json"), (arrow(), ARROW)):
        answer = send(app, body, content_type=media)
        if media == ARROW:
            assert ok(answer)["created"] == 1
        else:
            refused(answer, 422, "too_many_new_series")
            assert "2 new series are too many for one request, at most 1" in answer.json()["detail"]
    assert [number for number, *_ in kept(place)] == [1, 1, 2]


@pytest.mark.slow
def test_a_million_new_series_in_one_request_are_refused(open_place):
    place = open_place(max_batch_points=2_000_000)
    ids = pa.array([f"s{i}" for i in range(1_000_000)])
    stamps, values = pa.array(np.full(1_000_000, us(0))), pa.array(np.ones(1_000_000))
    body = arrow("lz4", series_id=ids, timestamp=stamps, value=values)
    refused(send(app_of(place), body, content_type=ARROW), 422, "too_many_new_series")
    assert (kept(place), place.signals.lag()) == ([], 0)


# clocks


def test_a_clock_that_went_backwards_sends_points_that_are_late_and_kept(place, app):
    ok(send(app, rows(("a", 100, 1.0), ("a", 160, 2.0))))
    place.drain()
    ok(send(app, rows(("a", 40, 99.0), ("a", 100, 99.0))))
    place.drain()
    assert kept(place) == [(1, 40, 99.0), (1, 100, 99.0), (1, 160, 2.0)]
    assert (place.anomalies(), place.series("a").statistics.count) == ([], 2)


def test_a_server_whose_clock_is_behind_says_what_is_wrong_and_keeps_nothing(place, app, monkeypatch):
    behind = us(0) - 7 * 86_400 * 1_000_000
    with monkeypatch.context() as patch:
        for at in (module, ingest):
            patch.setattr(at, "now_us", lambda: behind)
        assert refused(send(app, rows(("a", 0, 1.0))), 422, "invalid_time") == ["/points/0/timestamp"]
        assert refused(send(app, arrow(), content_type=ARROW), 422, "invalid_time") == ["/timestamp/0"]
    assert kept(place) == []
    ok(send(app, rows(("a", 0, 1.0))))


# keys, and a busy or broken service


@pytest.mark.parametrize("media", ["application/json", ARROW])
def test_the_same_key_keeps_a_body_once(place, app, media):
    body = arrow() if media == ARROW else json.dumps(rows(("a", 0, 0.5), ("b", 0, 1.5), ("a", 60, 2.5))).encode()
    for _ in range(3):
        sent = send(app, body, content_type=media, idempotency_key="k")
        assert ok(sent) == {"accepted": 3, "series": 2, "created": 2}
    assert place.signals.lag() == 1
    refused(send(app, rows(("a", 9, 1)), idempotency_key="k"), 422, "idempotency_mismatch")
    too_long = send(app, body, content_type=media, idempotency_key="k" * 257)
    assert refused(too_long, 422, "invalid_request") == ["/headers/idempotency-key"]
    assert kept(place) == THREE


def test_a_full_intake_answers_429_and_keeps_nothing_of_it(open_place):
    place = open_place(intake_bytes=2**20)
    app = app_of(place)
    place.send(("a", 0, 1.0))
    wait_until(lambda: place.signals.intake._nbytes == 0)
    gate = Gate(place.signals.intake)
    for body in (rows(*(("a", i, 1.0) for i in range(45_000))), rows(*((f"n{i}", 1, 1.0) for i in range(20_000)))):
        answer = send(app, body)
        refused(answer, 429, "too_many_points_waiting")
        assert answer.headers["retry-after"] == "1"
    gate.open()
    assert len(kept(place)) == 1
    assert b'points_refused_total{code="too_many_points_waiting"} 2.0' in place.telemetry.render()


def test_a_service_that_stops_answers_503(place, app):
    place.signals.stop()
    answer = send(app, rows(("a", 0, 1)))
    refused(answer, 503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1


def test_requests_at_once_are_one_batch_and_each_has_its_own_answer(place, app):
    gate = Gate(place.signals.intake)
    answers: dict[int, Answer] = {}

    def one(i: int) -> None:
        answers[i] = send(app, rows((f"s{i}" if i != 3 else " bad ", 0, float(i))))

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(place.signals.intake._waiting) == 6)
    gate.open()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [answers[i].status for i in range(6)] == [200, 200, 200, 422, 200, 200]
    assert refused(answers[3], 422, "invalid_id") == ["/points/0/series_id"]
    assert (len(kept(place)), place.signals.lag()) == (5, 1)


def test_a_commit_that_fails_is_an_error_for_the_sender_and_nothing_is_kept(place, app):
    with FailingCommits(place.database):
        refused(send(app, rows(("a", 0, 1))), 500, "internal_error")
    assert kept(place) == []
    assert ok(send(app, rows(("a", 0, 1))))["created"] == 1


def test_the_documented_door_is_the_same_door(place):
    app = app_of(place, is_hot=False)
    assert ok(send(app, rows(("a", 0, 1)))) == {"accepted": 1, "series": 1, "created": 1}
    assert refused(send(app, rows(("", 0, 1))), 422, "invalid_id") == ["/points/0/series_id"]
