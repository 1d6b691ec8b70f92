"""Remote-write requests as arrays, held against protobuf's own parser."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.connectors.prometheus import SeriesTable, Skipped, WriteBatch, WriteLimits, read_write_request
from atalaia.connectors.prometheus.write import warm_up
from atalaia.core.errors import Invalid
from atalaia.core.points import MAX_MAGNITUDE
from tests.connectors.prometheus.messages import V1, V2, Request, WriteRequest, body_of, request_v1, request_v2

KEY = SeriesTable().key
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
NOW = 1_763_000_000_000
UP = [("__name__", "up"), ("job", "node")]

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
LABELS = st.lists(st.tuples(TEXT, TEXT), max_size=5)
VALUES = st.one_of(
    st.floats(),
    st.sampled_from([STALE, math.inf, math.nan, 1e100, -1e100, 1.1e100, 0.0, -0.0]),
    st.floats(-1e9, 1e9),
)
MILLIS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-1, 1), st.integers(4_102_444_799_999, 4_102_444_800_001)
)
SAMPLES = st.lists(st.tuples(VALUES, MILLIS), max_size=4)
SERIES = st.lists(st.tuples(LABELS, SAMPLES), max_size=6)
EXTRAS = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))


def read(body: bytes, version: int, **limits: int) -> WriteBatch:
    return read_write_request(body, version, KEY, WriteLimits(**limits))


def refusal(body: bytes, version: int, **limits: int) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(body, version, **limits)
    return caught.value


def bits(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).view(np.uint64)


def with_extras(request: Any, version: int, extras: tuple[int, int, int]) -> Any:
    """Add exemplars and histograms to each series, and metadata to the request or to each series."""
    exemplars, histograms, metadata = extras
    for one in request.timeseries:
        for i in range(exemplars):
            added = one.exemplars.add(value=i, timestamp=i)
            if version == 1:
                added.labels.add(name="trace_id", value="x")
        for i in range(histograms):
            one.histograms.add(count_int=i, sum=i, timestamp=i)
        if version == 2 and metadata:
            one.metadata.type = metadata
    if version == 1:
        for i in range(metadata):
            request.metadata.add(type=i, help="words")
    return request


def wanted(request: Any, version: int) -> tuple[list[list[tuple[str, str]]], list[tuple[int, int, float]], Skipped]:
    """Return labels, kept points and what was skipped, as told by protobuf's objects."""
    labels: list[list[tuple[str, str]]] = []
    points: list[tuple[int, int, float]] = []
    counts = dict.fromkeys(Skipped.__slots__, 0)
    counts["metadata"] = len(request.metadata) if version == 1 else 0
    for row, one in enumerate(request.timeseries):
        if version == 1:
            labels.append([(label.name, label.value) for label in one.labels])
        else:
            texts = [request.symbols[i] for i in one.labels_refs]
            labels.append(list(zip(texts[::2], texts[1::2], strict=True)))
            counts["metadata"] += one.HasField("metadata")
        counts["exemplars"] += len(one.exemplars)
        counts["histograms"] += len(one.histograms)
        for sample in one.samples:
            if struct.pack("<d", sample.value) == struct.pack("<d", STALE):
                counts["stale_markers"] += 1
            elif not abs(sample.value) <= MAX_MAGNITUDE:
                counts["unusable_values"] += 1
            elif not 0 <= sample.timestamp <= 4_102_444_800_000:
                counts["out_of_range_times"] += 1
            else:
                points.append((row, sample.timestamp * 1000, sample.value))
    return labels, points, Skipped(**counts)


@pytest.mark.parametrize("version", [1, 2])
@settings(max_examples=300)
@given(series=SERIES, extras=EXTRAS)
def test_every_request_reads_as_protobuf_reads_it(version: int, series: Any, extras: tuple[int, int, int]) -> None:
    request = with_extras(request_v1(series) if version == 1 else request_v2(series), version, extras)
    body = request.SerializeToString()
    parsed = (WriteRequest if version == 1 else Request).FromString(body)
    labels, points, skipped = wanted(parsed, version)
    batch = read(body, version)
    assert batch.skipped == skipped
    assert_array_equal(batch.rows, [row for row, _, _ in points])
    assert_array_equal(batch.timestamps, [at for _, at, _ in points])
    assert_array_equal(bits(batch.values), bits([value for _, _, value in points]))
    assert [batch.labels(row) for row in range(len(batch.hashes))] == labels


@settings(max_examples=300)
@given(junk=st.binary(max_size=60), version=st.sampled_from([1, 2]))
def test_what_protobuf_refuses_is_refused(junk: bytes, version: int) -> None:
    try:
        (WriteRequest if version == 1 else Request).FromString(junk)
    except DecodeError:
        try:
            batch = read(junk, version)
            for row in range(len(batch.hashes)):
                batch.labels(row)
        except Invalid:
            return
        # What is only counted, never looked into, may be broken inside; so may symbols that nobody uses.
        assert batch.skipped != Skipped(0, 0, 0, 0, 0, 0) or version == 2


@given(series=SERIES)
def test_the_same_labels_have_the_same_hash_in_both_versions(series: Any) -> None:
    first, second = (read(body_of(version, series), version) for version in (1, 2))
    assert_array_equal(first.hashes, second.hashes)


@given(st.lists(LABELS, max_size=8, unique_by=lambda labels: str(labels)))
def test_different_labels_have_different_hashes(sets: list[list[tuple[str, str]]]) -> None:
    batch = read(body_of(1, [(labels, []) for labels in sets]), 1)
    assert len(np.unique(batch.hashes, axis=0)) == len(sets)


def test_strings_that_run_together_have_different_hashes() -> None:
    sets = [[("ab", "c")], [("a", "bc")], [("abc", "")], [("", "abc")], [("a", "b"), ("c", "")], []]
    batch = read(body_of(1, [(labels, []) for labels in sets]), 1)
    assert len(np.unique(batch.hashes, axis=0)) == len(sets)


def test_another_key_makes_other_hashes() -> None:
    body = body_of(1, [(UP, [])])
    assert (read_write_request(body, 1, SeriesTable().key).hashes != read(body, 1).hashes).all()


@pytest.mark.parametrize("version", [1, 2])
def test_unknown_fields_of_every_type_are_skipped(version: int) -> None:
    plain = body_of(version, [(UP, [(1.5, NOW)])])
    unknown = b"\x98\x06\x05" + b"\x99\x06" + bytes(8) + b"\x9a\x06\x03abc" + b"\x9d\x06" + bytes(4)
    assert read(unknown + plain + unknown, version).values.tolist() == [1.5]


def test_fields_may_come_in_another_order_and_twice() -> None:
    label = bytes.fromhex("12 01 78  0a 01 61  12 01 62")  # value x, name a, value b: the last one counts
    series = b"\x12\x0b\x10\x07\x09" + struct.pack("<d", 2.5) + b"\x0a" + bytes([len(label)]) + label
    batch = read(b"\x0a" + bytes([len(series)]) + series, 1)
    assert batch.labels(0) == [("a", "b")]
    assert (batch.timestamps.tolist(), batch.values.tolist()) == ([7000], [2.5])


def test_references_may_come_one_by_one() -> None:
    symbols = b"\x22\x00\x22\x01a\x22\x01b"
    one_by_one = read(symbols + bytes.fromhex("2a 04 08 01 08 02"), 2)
    packed = read(symbols + bytes.fromhex("2a 04 0a 02 01 02"), 2)
    assert one_by_one.labels(0) == packed.labels(0) == [("a", "b")]
    assert_array_equal(one_by_one.hashes, packed.hashes)


def test_symbols_may_follow_the_series() -> None:
    assert read(bytes.fromhex("2a 04 0a 02 00 00") + b"\x22\x01a", 2).labels(0) == [("a", "a")]


@pytest.mark.parametrize(
    ("body", "version", "reason"),
    [
        (b"\x0a\x05\x0a", 1, "longer than what is left, at byte 1"),
        (b"\x0a", 1, "longer than what is left, at byte 1"),
        (b"\x0a\x04\x12\x02\x09\x00", 1, "longer than what is left"),
        (b"\x0a\x0c\x12\x0a\x10" + b"\xff" * 9, 1, "longer than what is left"),
        (b"\x0a\x0d\x12\x0b\x10" + b"\xff" * 10, 1, "more than 64 bits, at byte 5"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", 1, "longer than what is left, at byte 1"),
        (b"\x80" * 11, 1, "more than 64 bits, at byte 0"),
        (b"\x02\x00", 1, "has no number, at byte 0"),
        (b"\x0b\x0c", 1, "a type that these messages never have"),
        (b"\x0a\x01\x0e", 1, "a type that these messages never have"),
        (b"\x22\x00\x2a\x04\x0a\x02\x00\x01", 2, "a symbol that is not there, at byte 7"),
        (b"\x2a\x0d\x0a\x0b\x00" + b"\xff" * 9 + b"\x01", 2, "a symbol that is not there"),
        (b"\x22\x00\x2a\x03\x0a\x01\x00", 2, "a label name without a value"),
        (b"not protobuf at all", 1, "not a prometheus.WriteRequest"),
    ],
)
def test_what_is_broken_is_told_with_its_place(body: bytes, version: int, reason: str) -> None:
    error = refusal(body, version)
    assert error.code == "bad_protobuf"
    assert reason in error.detail


@pytest.mark.parametrize("version", [1, 2])
def test_every_cut_of_a_request_is_refused_or_a_shorter_request(version: int) -> None:
    body = body_of(version, [([("a", str(i))], [(i, NOW)]) for i in range(3)])
    parser = WriteRequest if version == 1 else Request
    for end in range(len(body)):
        try:
            parser.FromString(body[:end])
        except DecodeError:
            assert refusal(body[:end], version).code == "bad_protobuf"
        else:
            read(body[:end], version)


def test_labels_that_are_no_text_are_refused_where_they_stand() -> None:
    batch = read(body_of(1, [([("a", "b")], [])]).replace(b"\x12\x01b", b"\x12\x01\xff"), 1)
    with pytest.raises(Invalid, match="not UTF-8 text, at byte 9") as caught:
        batch.labels(0)
    assert caught.value.code == "bad_protobuf"


def test_an_empty_body_is_an_empty_request() -> None:
    batch = read(b"", 1)
    numbers, unknown = batch.resolve(SeriesTable())
    assert (len(batch), len(numbers), len(unknown)) == (0, 0, 0)


@pytest.mark.parametrize("version", [1, 2])
def test_a_request_has_limits(version: int) -> None:
    body = body_of(version, [([("a", "x" * 50), ("b", "y" * 50)], [(1, NOW), (2, NOW + 1)])] * 3)
    assert refusal(body, version, max_series=2).code == "too_many_series"
    assert refusal(body, version, max_points=5).code == "too_many_points"
    assert refusal(body, version, max_labels_per_series=1).code == "labels_too_large"
    assert refusal(body, version, max_label_bytes_per_series=101).code == "labels_too_large"
    assert refusal(body, version, max_label_bytes=305).code == "labels_too_large"
    exact = {"max_series": 3, "max_points": 6, "max_labels_per_series": 2}
    assert len(read(body, version, **exact, max_label_bytes_per_series=102, max_label_bytes=306)) == 6


def test_symbols_are_bounded() -> None:
    body = body_of(2, [(UP, [(1, NOW)])])
    assert len(read(body, 2, max_symbols=5)) == 1
    assert refusal(body, 2, max_symbols=4).code == "labels_too_large"


def test_ten_million_label_bytes_are_read_or_refused_clearly() -> None:
    many = body_of(1, [([("a", f"{i:0500}")], [(1, NOW)]) for i in range(20_000)])
    assert len(read(many, 1)) == 20_000
    one = body_of(1, [([("a", "x" * 10_000_000)], [(1, NOW)])])
    assert "at most 65,536 for a series" in refusal(one, 1).detail


def test_a_symbol_that_is_used_over_and_over_is_bounded() -> None:
    again = b"\x2a\x42\x0a\x40" + b"\x01" * 64
    body = b"\x22\x00\x22\x80\x08" + b"x" * 1024 + again * 10_000
    assert refusal(body, 2).code == "labels_too_large"


def test_many_samples_of_one_series_are_read() -> None:
    samples = [(float(i), NOW + i) for i in range(50_000)]
    for version in (1, 2):
        batch = read(body_of(version, [(UP, samples), (UP[:1], samples[:3])]), version)
        assert_array_equal(batch.values, [value for value, _ in [*samples, *samples[:3]]])
        assert_array_equal(np.bincount(batch.rows), [50_000, 3])


def test_unknown_series_are_named_once_and_known_afterwards() -> None:
    table = SeriesTable()
    other = [("__name__", "down")]
    series = [(UP, [(1, NOW)]), (other, [(2, NOW)]), (UP, [(3, NOW)]), ([("no", "points")], [(STALE, NOW)])]
    batch = read_write_request(body_of(1, series), 1, table.key)
    numbers, unknown = batch.resolve(table)
    assert (numbers.tolist(), unknown.tolist()) == ([-1, -1, -1, -1], [0, 1])
    assert len(batch.points(numbers)) == 0
    table.add(batch.hashes[unknown], np.array([7, 8], np.int32))
    numbers, unknown = batch.resolve(table)
    assert (numbers.tolist(), unknown.tolist()) == ([7, 8, 7, -1], [])
    points = batch.points(numbers)
    assert (points.series.tolist(), points.values.tolist()) == ([7, 8, 7], [1, 2, 3])
    assert points.timestamps.tolist() == [NOW * 1000] * 3


def test_a_request_may_lie_in_memory_that_can_be_written_to() -> None:
    body = bytearray(body_of(1, [(UP, [(1, NOW)])]))
    assert read_write_request(memoryview(body), 1, KEY).labels(0) == UP


def test_everything_can_be_compiled_before_the_first_request() -> None:
    warm_up()


def test_the_messages_of_the_tests_have_the_fields_of_the_specification() -> None:
    assert V1["TimeSeries"].DESCRIPTOR.fields_by_name["histograms"].number == 4
    assert V2["TimeSeries"].DESCRIPTOR.fields_by_name["histograms"].number == 3
