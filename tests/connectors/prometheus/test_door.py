"""Remote write over HTTP: new and known series, versions 1 and 2, and whatever a sender may do wrong."""

import gzip
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from atalaia.connectors.prometheus import SeriesTable
from atalaia.connectors.prometheus import door as module
from atalaia.kit.web.doors import DoorPlan
from atalaia.signals.settings import FleetRule
from tests.connectors.prometheus.messages import Request, WriteRequest, body_of, request_v1, request_v2
from tests.connectors.prometheus.senders import PROTOS, kept, ms, ok, post, refused, send, skipped, snappy
from tests.connectors.prometheus.test_write import STALE
from tests.kit.fakes import wait_until
from tests.signals.builders import Place, us
from tests.signals.conftest import OpenPlace, open_place, quiet_log
from tests.signals.doors import app_of, write_door
from tests.signals.test_intake import FailingCommits, Gate

__all__ = ["open_place", "quiet_log"]
UP = [("__name__", "up"), ("job", "node")]
LOAD = [("__name__", "load"), ("job", "node"), ("instance", "a:9100")]
versions = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def place(open_place: OpenPlace) -> Place:
    return open_place()


@pytest.fixture
def app(place: Place) -> ASGIApp:
    return app_of(place)


@versions
def test_new_and_known_series_are_kept_side_by_side(place: Place, app: ASGIApp, version: int) -> None:
    ok(send(app, version, (UP, [(1.0, ms(0))])))
    ok(send(app, version, (UP, [(0.0, ms(15))]), (LOAD, [(2.5, ms(15)), (3.5, ms(30))])))
    ok(send(app, version, (LOAD, [(4.5, ms(45))]), (UP, [(1.0, ms(30))])))
    load = 'load{instance="a:9100",job="node"}'
    up = 'up{job="node"}'
    assert kept(place) == [
        (load, 15, 2.5),
        (load, 30, 3.5),
        (load, 45, 4.5),
        (up, 0, 1.0),
        (up, 15, 0.0),
        (up, 30, 1.0),
    ]
    assert place.signals.lag() == 3


def test_both_versions_speak_of_the_same_series(place: Place, app: ASGIApp) -> None:
    ok(send(app, 1, (UP, [(1.0, ms(0))])))
    ok(send(app, 2, (UP[::-1], [(2.0, ms(1))])))
    ok(post(app, snappy(body_of(1, [(UP, [(3.0, ms(2))])]))))
    assert [value for _, _, value in kept(place)] == [1.0, 2.0, 3.0]


def test_known_series_are_not_looked_up_again(place: Place) -> None:
    door = write_door(place)
    app = only(place, door)
    assert len(door._table) == 0
    ok(send(app, 1, (UP, [(1.0, ms(0))]), (LOAD, [(1.0, ms(0))])))
    assert len(door._table) == 2
    asked: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.signals.catalogue, "resolve", lambda *given, **more: asked.append(given))
        ok(send(app, 1, (UP, [(1.0, ms(1))])))
    assert asked == []
    assert len(kept(place)) == 3


def only(place: Place, door: module.RemoteWriteDoor) -> ASGIApp:
    """Return the doors, with this one among them."""
    app = app_of(place)
    app._plan = DoorPlan(door.routes())
    return app


@versions
def test_labels_reach_the_catalogue_and_rules_by_label_put_series_into_fleets(
    open_place: OpenPlace, version: int
) -> None:
    place = open_place(fleet_rules=[FleetRule(label="job", fleet="job {}"), FleetRule(match="lone*", fleet="lone")])
    ok(
        send(
            app_of(place),
            version,
            (UP, [(1.0, ms(0))]),
            (LOAD, [(1.0, ms(0))]),
            ([("__name__", "lone")], [(1.0, ms(0))]),
        )
    )
    assert place.series('up{job="node"}').labels == {"__name__": "up", "job": "node"}
    with place.database.read() as session:
        assert place.signals.catalogue.members(session, "job node") == [
            'load{instance="a:9100",job="node"}',
            'up{job="node"}',
        ]
        assert place.signals.catalogue.members(session, "lone") == ["lone"]


def test_a_series_twice_in_one_request_is_one(place: Place, app: ASGIApp) -> None:
    ok(send(app, 1, (UP, [(1.0, ms(0))]), (UP[::-1], [(2.0, ms(1))]), (UP, [(3.0, ms(2))])))
    assert [value for _, _, value in kept(place)] == [1.0, 2.0, 3.0]
    assert len({name for name, *_ in kept(place)}) == 1


def test_a_large_request_is_read_in_a_thread_and_says_the_same(place: Place, app: ASGIApp) -> None:
    series = [([("__name__", "m"), ("i", f"{i:06}")], [(float(i), ms(0))]) for i in range(3_000)]
    answer = ok(send(app, 1, *series))
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "3000"
    ok(send(app, 1, *((labels, [(1.0, ms(9))]) for labels, _ in series)))
    assert place.signals.lag() == 2
    points = place.signals.history.read(range(1, 3_001), us(0), us(1))
    assert sorted(points.values.tolist()) == list(range(3_000))


def test_an_empty_request_is_acknowledged_and_nothing_is_kept(place: Place, app: ASGIApp) -> None:
    for body in (b"", body_of(1, [(UP, [])])):
        ok(post(app, snappy(body)))
    assert (place.signals.lag(), kept(place)) == (0, [])


def test_what_the_table_forgets_is_learnt_again_and_no_point_is_lost(place: Place) -> None:
    door = write_door(place)
    door._table = SeriesTable(max_entries=4)
    app, count = only(place, door), 0
    for step in range(12):
        names = [f"s{(step + i) % 7}" for i in range(5)]
        ok(send(app, 1, *(([("__name__", name)], [(float(step), ms(step))]) for name in names)))
        count += 5
    assert len(kept(place)) == count


SERIES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "é", "x y"]), st.integers(0, 40), st.sampled_from([0.5, 1.5, STALE])
    ),
    max_size=5,
)


def test_any_requests_leave_what_a_dict_would_hold(open_place: OpenPlace) -> None:
    place = open_place()
    app = app_of(place)
    everything: dict[tuple[str, int], float] = {}

    @hypothesis_settings(max_examples=40)
    @given(st.lists(st.tuples(st.sampled_from([1, 2]), SERIES), max_size=4))
    def check(requests: list[tuple[int, list[tuple[str, int, float]]]]) -> None:
        for version, samples in requests:
            ok(send(app, version, *(([("__name__", name)], [(value, ms(at))]) for name, at, value in samples)))
            everything.update({(name, at): value for name, at, value in samples if value == value})
        found = {(name.strip('{"}'), round(at)): value for name, at, value in kept(place)}
        assert found == everything

    check()


# what is left out


@versions
def test_what_cannot_be_kept_is_left_out_and_counted(place: Place, app: ASGIApp, version: int) -> None:
    now_ms = ms(0)
    samples = [(1.0, now_ms), (STALE, now_ms + 1), (float("inf"), now_ms + 2), (2.0, -5), (3.0, now_ms + 10**12)]
    request = (request_v1 if version == 1 else request_v2)([(UP, samples), (LOAD, [(1.0, now_ms)])])
    for one in request.timeseries:
        one.exemplars.add(value=1.0, timestamp=now_ms)
        one.histograms.add(count_int=1, sum=1.0, timestamp=now_ms)
    if version == 1:
        request.metadata.add(type=1, help="words")
    media = f"application/x-protobuf;proto={PROTOS[version]}"
    answer = ok(post(app, snappy(request.SerializeToString()), content_type=media))
    assert [value for _, _, value in kept(place)] == [1.0, 1.0]
    expected = {"exemplars": 2, "histograms": 2, "stale_markers": 1, "unusable_values": 1, "out_of_range_times": 2}
    assert skipped(place) == (expected | {"metadata": 1} if version == 1 else expected)
    headers = {name: value for name, value in answer.headers.items() if name.startswith("x-prometheus")}
    assert headers == {
        "x-prometheus-remote-write-samples-written": "2",
        "x-prometheus-remote-write-histograms-written": "0",
        "x-prometheus-remote-write-exemplars-written": "0",
    }


def test_a_clock_that_is_ahead_is_left_out_and_one_that_goes_backwards_is_late(
    place: Place, app: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "now_us", lambda: us(100))
    ahead = place.signals.settings.max_ahead_s + 101
    ok(send(app, 1, (UP, [(1.0, ms(50)), (9.0, ms(ahead))]), (LOAD, [(9.0, ms(ahead))])))
    ok(send(app, 1, (UP, [(9.0, ms(ahead))])))
    assert skipped(place) == {"out_of_range_times": 3}
    place.drain()
    ok(send(app, 1, (UP, [(99.0, ms(20))])))
    place.drain()
    assert [(at, value) for _, at, value in kept(place)] == [(20, 99.0), (50, 1.0)]
    assert (place.anomalies(), place.series('up{job="node"}').statistics.count) == ([], 1)


# what is refused


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "text/plain",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
        "application/x-protobuf;proto=",
        "application/vnd.google.protobuf",
    ],
)
def test_another_type_is_refused(place: Place, app: ASGIApp, media: str) -> None:
    body = snappy(body_of(1, [(UP, [(1.0, ms(0))])]))
    answer = post(app, body, content_type=media)
    if media.endswith("proto="):
        ok(answer)
        return
    assert refused(answer, 415, "unsupported_media_type")["errors"][0]["pointer"] == "/headers/content-type"
    assert kept(place) == []


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity", ""])
def test_other_encodings_are_undone_too_and_none_means_snappy(place: Place, app: ASGIApp, encoding: str) -> None:
    body = body_of(1, [(UP, [(1.0, ms(0))])])
    packed = {"gzip": gzip.compress(body, mtime=0), "zstd": bytes(cramjam.zstd.compress(body)), "": snappy(body)}
    headers = {"content_encoding": encoding} if encoding else {}
    ok(post(app, packed.get(encoding, body), **headers))
    assert len(kept(place)) == 1


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"", "snappy", 400, "bad_encoding"),
        (b"not snappy at all", "snappy", 400, "bad_encoding"),
        (snappy(body_of(1, [(UP, [(1.0, 1)])]))[:-3], "snappy", 400, "bad_encoding"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip", 400, "bad_encoding"),
        (body_of(1, [(UP, [(1.0, 1)])])[:-3], "identity", 400, "bad_protobuf"),
        (b"\xff" * 40, "identity", 400, "bad_protobuf"),
        (b"x", "br", 415, "unsupported_encoding"),
        (b"\xff\xff\xff\xff\x0f" + b"\x00" * 20, "snappy", 413, "body_too_large"),
        (gzip.compress(bytes(2**26), mtime=0), "gzip", 413, "body_too_large"),
    ],
)
def test_bodies_that_are_broken_or_bombs_are_refused(
    place: Place, app: ASGIApp, body: bytes, encoding: str, status: int, code: str
) -> None:
    refused(post(app, body, content_encoding=encoding), status, code)
    assert (kept(place), place.signals.lag()) == ([], 0)


@versions
def test_corrupt_bodies_break_nothing(place: Place, app: ASGIApp, version: int) -> None:
    whole = body_of(version, [(UP, [(1.0, ms(0)), (2.0, ms(1))]), (LOAD, [(1.0, ms(0))])])
    rng = np.random.default_rng(7)
    media = f"application/x-protobuf;proto={PROTOS[version]}"
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] ^= int(rng.integers(1, 256))
        answer = post(app, bytes(data), content_type=media, content_encoding="identity")
        assert answer.status in (204, 400, 413, 422), answer.body


def test_labels_that_are_no_text_are_refused(place: Place, app: ASGIApp) -> None:
    body = body_of(1, [([("__name__", "abcdef")], [(1.0, ms(0))])]).replace(b"abcdef", b"\xff\xfe\xff\xfe\xff\xfe")
    refused(post(app, snappy(body)), 400, "bad_protobuf")
    assert kept(place) == []


@versions
def test_ten_million_bytes_of_labels_are_refused(place: Place, app: ASGIApp, version: int) -> None:
    answer = send(app, version, ([("__name__", "x" * 10_000_000)], [(1.0, ms(0))]), (UP, [(1.0, ms(0))]))
    refused(answer, 422, "labels_too_large")
    many = [([("__name__", "m"), ("i", f"{i:0500}")], [(1.0, ms(0))]) for i in range(20_000)]
    app = app_of(place, max_label_bytes=5_000_000)
    assert "for a request" in refused(send(app, version, *many), 422, "labels_too_large")["detail"]
    assert (kept(place), place.signals.lag()) == ([], 0)


def test_long_labels_are_cut_for_the_catalogue_and_stay_apart(place: Place, app: ASGIApp) -> None:
    ok(send(app, 1, *(([("__name__", "m"), ("long", "x" * 5_000 + end)], [(1.0, ms(0))]) for end in "ab")))
    names = {name for name, *_ in kept(place)}
    assert len(names) == 2
    assert all(len(name) <= 256 for name in names)


def test_more_new_series_than_one_request_may_bring_are_refused_clearly(open_place: OpenPlace) -> None:
    place = open_place(max_new_series=2)
    app = app_of(place)
    ok(send(app, 1, *(([("__name__", f"s{i}")], [(1.0, ms(0))]) for i in range(2))))
    many = [([("__name__", f"s{i}")], [(1.0, ms(1))]) for i in range(5)]
    assert "3 new series are too many" in refused(send(app, 1, *many), 422, "too_many_new_series")["detail"]
    ok(send(app, 1, *many[:4]))
    assert len(kept(place)) == 6


def test_more_points_than_one_request_may_bring_are_refused(open_place: OpenPlace) -> None:
    place = open_place(max_batch_points=2)
    refused(send(app_of(place), 1, (UP, [(1.0, ms(i)) for i in range(3)])), 413, "too_many_points")
    assert kept(place) == []


@pytest.mark.slow
def test_a_million_new_series_in_one_request_are_refused(open_place: OpenPlace) -> None:
    place = open_place(max_batch_points=2_000_000)
    body = bytearray()
    for i in range(1_000_000):
        body += b"\x0a\x1d\x0a\x12\x0a\x08__name__\x12\x06%06d\x12\x07\x10%b" % (i, b"\xe0\xb2\xd1\x8b\xdd\x31"[:6])
    refused(post(app_of(place), snappy(bytes(body))), 422, "too_many_new_series")
    assert (kept(place), place.signals.lag()) == ([], 0)


# a busy or broken service


@versions
def test_a_commit_that_fails_is_an_error_for_the_sender_who_may_send_it_again(
    place: Place, app: ASGIApp, version: int
) -> None:
    ok(send(app, version, (LOAD, [(1.0, ms(0))])))
    with FailingCommits(place.database):
        refused(send(app, version, (UP, [(1.0, ms(0))])), 500, "internal_error")
        refused(send(app, version, (LOAD, [(1.0, ms(1))])), 500, "internal_error")
    assert len(kept(place)) == 1
    ok(send(app, version, (UP, [(1.0, ms(0))]), (LOAD, [(1.0, ms(1))])))
    assert len(kept(place)) == 3


def test_a_full_intake_answers_429_and_a_sender_that_comes_again_loses_nothing(open_place: OpenPlace) -> None:
    place = open_place(intake_bytes=2**20)
    app = app_of(place)
    ok(send(app, 1, (UP, [(1.0, ms(0))])))
    wait_until(lambda: place.signals.intake._nbytes == 0)
    gate = Gate(place.signals.intake)
    large = [(1.0, ms(i)) for i in range(45_000)]
    for series in ((UP, large), (LOAD, large)):
        answer = send(app, 1, series)
        refused(answer, 429, "too_many_points_waiting")
        assert answer.headers["retry-after"] == "1"
    gate.open()
    assert len(kept(place)) == 1
    wait_until(lambda: place.signals.intake._nbytes == 0)
    ok(send(app, 1, (UP, large)))
    assert len(kept(place)) == 45_000


def test_a_service_that_stops_answers_503(place: Place, app: ASGIApp) -> None:
    place.signals.stop()
    refused(send(app, 1, (UP, [(1.0, ms(0))])), 503, "not_ready")


def test_requests_without_series_are_requests_all_the_same(app: ASGIApp) -> None:
    for version, request in ((1, WriteRequest()), (2, Request(symbols=[""]))):
        media = f"application/x-protobuf;proto={PROTOS[version]}"
        ok(post(app, snappy(request.SerializeToString()), content_type=media))
