"""Points from Arrow streams that anyone may have sent."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.core.errors import Invalid
from atalaia.kit import arrow_stream
from atalaia.kit.arrow_messages import BadStream, declared
from atalaia.kit.arrow_stream import StreamedPoints, points_from_stream, scores_to_stream

ROWS = st.lists(st.tuples(st.integers(1, 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=40)
T0 = 1_763_000_000_000_000
compressions = pytest.mark.parametrize("compression", [None, "lz4", "zstd"])


def stream(*batches: Any, compression: str | None = None, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    wanted = pa.ipc.IpcWriteOptions(compression=compression, **options)
    with pa.ipc.new_stream(sink, batches[0].schema, options=wanted) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def batch(**columns: Any) -> Any:
    return pa.record_batch(
        {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    )


def points(**changed: Any) -> Any:
    """Return three good points, with some columns replaced, or left out where they are None."""
    columns: dict[str, Any] = {
        "series": pa.array([1, 2, 1], pa.int32()),
        "timestamp": pa.array([T0, T0, T0 + 1], pa.int64()),
        "value": pa.array([0.5, 1.5, 2.5]),
        **changed,
    }
    return batch(**{name: column for name, column in columns.items() if column is not None})


def read(body: bytes, max_points: int = 1000, **options: int) -> StreamedPoints:
    return points_from_stream(body, max_points, **options)


def refusal(body: bytes, max_points: int = 1000, **options: int) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(body, max_points, **options)
    return caught.value


def names(found: StreamedPoints) -> list[str]:
    assert found.numbers is None
    assert found.indexes is not None
    assert sorted(set(found.indexes.tolist())) == list(range(len(found.ids))), "every id occurs"
    return [found.ids[i] for i in found.indexes]


@compressions
@given(rows=ROWS, cut=st.integers(0, 40))
def test_numbered_points_come_through_bit_by_bit(compression: str, rows: list[Any], cut: int) -> None:
    numbers, stamps, values = ([row[i] for row in rows] for i in range(3))
    whole = batch(
        series=pa.array(numbers, pa.int32()),
        timestamp=pa.array(stamps, pa.int64()),
        value=pa.array(values, pa.float64()),
    )
    found = read(stream(whole[:cut], whole[cut:], compression=compression))
    assert found.numbers is not None
    assert found.numbers.dtype == np.int32
    assert (found.ids, found.indexes) == ([], None)
    assert found.numbers.tolist() == numbers
    assert found.timestamps.tolist() == stamps
    assert found.values.tobytes() == np.array(values, np.float64).tobytes()


@compressions
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
@settings(max_examples=40)
@given(ids=st.lists(st.text(max_size=5), max_size=30), cut=st.integers(0, 30))
def test_ids_come_through_each_once(compression: str, kind: Any, ids: list[str], cut: int) -> None:
    whole = batch(
        series_id=pa.array(ids, pa.string()).cast(kind),
        timestamp=pa.array(range(len(ids)), pa.int64()),
        value=pa.array(range(len(ids)), pa.float64()),
    )
    found = read(stream(whole[:cut], whole[cut:], compression=compression))
    assert names(found) == ids
    assert len(set(found.ids)) == len(found.ids)


def test_dictionaries_may_be_replaced_and_grow_between_batches() -> None:
    def part(words: list[str], index: list[int]) -> Any:
        column = pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array(words))
        return points(series=None, series_id=column)

    replaced = stream(part(["a", "b"], [0, 1, 0]), part(["c", "a", "d"], [0, 1, 1]))
    assert names(read(replaced)) == ["a", "b", "a", "c", "a", "a"]
    grown = stream(part(["a", "b"], [0, 1, 0]), part(["a", "b", "c"], [2, 1, 1]), emit_dictionary_deltas=True)
    assert names(read(grown)) == ["a", "b", "a", "c", "b", "b"]


def test_one_uncompressed_batch_is_read_in_place() -> None:
    body = stream(points())
    found = read(body)
    place = np.frombuffer(body, np.uint8)
    assert found.numbers is not None
    for array in (found.numbers, found.timestamps, found.values):
        assert np.shares_memory(array, place)
        assert array.flags.aligned


def test_a_stream_that_lies_at_an_odd_place_is_read_too() -> None:
    body = stream(points())
    found = points_from_stream(memoryview(b"x" + body)[1:], 1000)
    assert found.values.flags.aligned
    assert found.values.tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("kind", "sent", "micros"),
    [
        (pa.timestamp("s"), 1_763_000_000, T0),
        (pa.timestamp("ms", "UTC"), 1_763_000_000_001, T0 + 1000),
        (pa.timestamp("us", "Europe/Berlin"), T0 + 1, T0 + 1),
        (pa.timestamp("ns"), (T0 + 1) * 1000 + 999, T0 + 1),
        (pa.timestamp("ns"), -1, -1),
    ],
)
def test_timestamps_of_every_unit_become_microseconds(kind: Any, sent: int, micros: int) -> None:
    column = pa.array([sent] * 3, pa.int64()).cast(kind)
    assert read(stream(points(timestamp=column))).timestamps.tolist() == [micros] * 3


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16(), pa.int8(), pa.uint64(), pa.int64()])
def test_values_may_be_numbers_of_any_type(kind: Any) -> None:
    column = pa.array(np.array([1, 2, 3], kind.to_pandas_dtype()))
    found = read(stream(points(value=column))).values
    assert found.dtype == np.float64
    assert found.tolist() == [1, 2, 3]


def test_other_columns_are_not_looked_at() -> None:
    extra = points(nested=pa.array([{"a": [1]}, None, {}]), words=pa.array(["x", None, "y"]).dictionary_encode())
    assert read(stream(extra)).values.tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("changed", "column", "reason"),
    [
        ({"series": None}, "series", "no such column"),
        ({"timestamp": None}, "timestamp", "no such column"),
        ({"value": None}, "value", "no such column"),
        ({"series_id": ["a", "b", "c"]}, "series_id", "either series or series_id"),
        ({"series": [1.0, 2.0, 3.0]}, "series", "it is double, expected whole numbers"),
        ({"series": ["1", "2", "3"]}, "series", "it is string"),
        ({"series": pa.array([1, 0, -5])}, "series", "row 1: 0 is not the number of a series"),
        ({"series": pa.array([1, 2, 2**31])}, "series", "row 2: 2147483648"),
        ({"series": pa.array([1, None, None], pa.int32())}, "series", "row 1: it is null"),
        ({"series": None, "series_id": [1, 2, 3]}, "series_id", "it is int64, expected text"),
        ({"series": None, "series_id": ["a", "b", None]}, "series_id", "row 2: it is null"),
        ({"timestamp": pa.array([1, 2, 3], pa.int32())}, "timestamp", "it is int32, expected int64 (microseconds"),
        ({"timestamp": pa.array([1.0, 2.0, 3.0])}, "timestamp", "it is double"),
        ({"timestamp": pa.array([1, None, 3])}, "timestamp", "row 1: it is null"),
        ({"timestamp": pa.array([1, 2, 2**62], pa.timestamp("s"))}, "timestamp", "row 2: it lies beyond all times"),
        ({"value": ["a", "b", "c"]}, "value", "it is string, expected numbers"),
        ({"value": [True, False, True]}, "value", "it is bool"),
        ({"value": pa.array([None, 1.0, None])}, "value", "row 0: it is null"),
        ({"value": pa.nulls(3)}, "value", "it is null, expected numbers"),
    ],
)
def test_a_column_that_cannot_be_is_named_with_the_reason(changed: Any, column: str, reason: str) -> None:
    error = refusal(stream(points(**changed)))
    assert error.code == "bad_arrow"
    assert error.faults[0].pointer == f"/{column}"
    assert reason in error.detail


def test_a_column_that_comes_twice_is_refused() -> None:
    twice = pa.RecordBatch.from_arrays(
        [pa.array([1]), pa.array([T0]), pa.array([1.0]), pa.array([2.0])], ["series", "timestamp", "value", "value"]
    )
    assert "column value: there are several of it" in refusal(stream(twice)).detail


def test_a_null_inside_a_dictionary_is_refused() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", None]))
    error = refusal(stream(points(series=None, series_id=column)))
    assert error.code == "bad_arrow"
    assert "null" in error.detail


def test_the_file_form_is_refused_by_name() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, points().schema) as writer:
        writer.write_batch(points())
    assert "file form" in refusal(sink.getvalue().to_pybytes()).detail


@pytest.mark.parametrize("body", [b"", b"{}", b'{"points": []}', bytes(100), b"\xff" * 100, b"PAR1" * 30])
def test_something_else_is_refused(body: bytes) -> None:
    assert refusal(body).code == "bad_arrow"


@compressions
def test_every_cut_is_refused_or_holds_fewer_batches(compression: str) -> None:
    body = stream(points(), points(), compression=compression)
    found: set[int | str] = set()
    for end in range(len(body)):
        try:
            found.add(len(read(body[:end])))
        except Invalid as error:
            found.add(error.code)
    assert found == {0, 3, 6, "bad_arrow"}


def test_rows_are_bounded_before_they_are_read() -> None:
    body = stream(points(), points())
    assert len(read(body, 6)) == 6
    assert refusal(body, 5).code == "too_many_points"


def test_a_dictionary_is_bounded_like_the_rows() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array([str(i) for i in range(100)]))
    body = stream(points(series=None, series_id=column))
    assert names(read(body, 100)) == ["0", "1", "2"]
    assert refusal(body, 99).code == "too_many_points"


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_bomb_is_refused_before_it_is_unpacked(compression: str) -> None:
    count = 2_000_000
    columns = [np.ones(count, np.int32), np.zeros(count, np.int64), np.zeros(count)]
    body = stream(
        batch(**dict(zip(("series", "timestamp", "value"), columns, strict=True))), compression=compression
    )
    assert len(body) < count
    before = pa.total_allocated_bytes()
    assert refusal(body, count, max_bytes=39_000_000).code == "body_too_large"
    assert pa.total_allocated_bytes() - before < count  # others may have freed theirs meanwhile
    assert len(read(body, count, max_bytes=40_100_000)) == count


def test_a_buffer_that_lies_about_its_size_is_refused() -> None:
    body = stream(
        batch(series=np.ones(1000, np.int32), timestamp=np.zeros(1000, np.int64), value=np.zeros(1000)),
        compression="lz4",
    )
    honest = struct.pack("<q", 8000)
    assert body.count(honest) >= 2
    assert refusal(body.replace(honest, struct.pack("<q", 2**40))).code == "body_too_large"
    assert refusal(body.replace(honest, struct.pack("<q", -7))).code == "bad_arrow"
    assert refusal(body.replace(honest, struct.pack("<q", 9000))).code == "bad_arrow"


def test_a_stream_of_too_many_batches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_stream, "_MAX_MESSAGES", 2)
    assert len(read(stream(points(), points()))) == 6
    assert "more than 2 batches" in refusal(stream(points(), points(), points())).detail


def test_headers_tell_what_pyarrow_wrote() -> None:
    body = stream(points(words=pa.array(["x", "y", "x"]).dictionary_encode()), compression="zstd")
    found = list(declared(memoryview(body)))
    assert [(message.rows, message.is_dictionary) for message in found] == [(2, True), (3, False)]
    assert [message.unpacked_bytes for message in declared(memoryview(stream(points())))] == [0]


def test_headers_that_make_no_sense_are_told() -> None:
    for body in (b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\xff" * 16, b"\xff\xff\xff\xff\xff\xff\xff\xff"):
        with pytest.raises(BadStream):
            list(declared(memoryview(body)))


def test_scores_go_out_as_a_stream() -> None:
    columns = {"score": np.array([0.5, np.nan]), "anomaly": np.array([True, False]), "series_id": ["a", "b"]}
    body = scores_to_stream(columns, {"model": "v1"})
    with pa.ipc.open_stream(body) as reader:
        table = reader.read_all()
    assert table.schema.metadata == {b"model": b"v1"}
    assert table.column_names == ["score", "anomaly", "series_id"]
    assert_array_equal(table.column("score").to_numpy(), columns["score"])
    assert table.column("series_id").to_pylist() == ["a", "b"]
    assert table.column("anomaly").to_pylist() == [True, False]
