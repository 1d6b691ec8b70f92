"""Points from an Arrow IPC stream that anyone may have sent, and columns of an answer as one.

pyarrow ships no types, so its objects stay inside this module.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.kit.arrow_messages import BadStream, declared

ARROW = "application/vnd.apache.arrow.stream"
_FILE_MAGIC = b"ARROW1"
_NUMBERS, _IDS, _TIMES, _VALUES = "series", "series_id", "timestamp", "value"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICROS = 1_000_000
_MOST_NUMBER = 2**31 - 1
_MAX_MESSAGES = 10_000
_POINT_BYTES, _SPARE_BYTES = 128, 1 << 20
"""Batches and dictionaries of one stream: each costs more than a few rows do."""
_OPTIONS: Any = pa.ipc.IpcReadOptions


@dataclass(frozen=True, slots=True, eq=False)
class StreamedPoints:
    """Points as they stood in a stream; times and values are not yet held against any bounds.

    Attributes
    ----------
    numbers
        int32[n], the numbers of the series, None when they were sent by id.
    ids
        The distinct ids that occur, empty when the series were sent by number.
    indexes
        int64[n], for each point the position of its id in `ids`, None when the series were sent by number.
    timestamps, values
        int64[n], microseconds since the epoch, and float64[n]. They may be views of the body, not to be written to.
    """

    numbers: NumberArray | None
    ids: list[str]
    indexes: IntArray | None
    timestamps: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.values)


def points_from_stream(
    body: bytes | memoryview, max_points: int, *, max_bytes: int | None = None
) -> StreamedPoints:
    """Return the points of an Arrow IPC stream.

    It holds the columns ``series`` (numbers, integers) or ``series_id`` (text, also dictionary-encoded),
    ``timestamp`` (int64 microseconds, or a timestamp of any unit, of which nanoseconds are cut to microseconds) and
    ``value`` (floats or integers), none with nulls; other columns are not looked at. Its buffers may be compressed.

    Parameters
    ----------
    max_bytes
        Most bytes that the compressed buffers may become, 128 a point if nothing else is said; they are counted
        before any is decompressed.

    Raises
    ------
    Invalid
        ``bad_arrow`` with the column and the reason, ``too_many_points`` or ``body_too_large``.
    """
    view = memoryview(body)
    if bytes(view[: len(_FILE_MAGIC)]) == _FILE_MAGIC:
        raise _bad("", "this is the file form (Feather); send the stream form")
    _check_sizes(view, max_points, max_bytes or _SPARE_BYTES + _POINT_BYTES * max_points)
    with _checked():
        table = _read(view)
        table.validate(full=True)
        return _points(table)


def scores_to_stream(
    columns: Mapping[str, NDArray[Any] | Sequence[str]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return equally long columns as an Arrow IPC stream of one batch, with `metadata` in its schema."""
    arrays = {name: pa.array(column) for name, column in columns.items()}
    schema = pa.schema([(name, array.type) for name, array in arrays.items()], metadata=dict(metadata or {}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(arrays.values()), schema=schema))
    return sink.getvalue().to_pybytes()


def _check_sizes(view: memoryview, max_points: int, max_bytes: int) -> None:
    rows = entries = unpacked = 0
    try:
        for count, message in enumerate(declared(view)):
            if count >= _MAX_MESSAGES:
                raise _bad("", f"it has more than {_MAX_MESSAGES:,} batches; send fewer and larger ones")
            rows += 0 if message.is_dictionary else message.rows
            entries += message.rows if message.is_dictionary else 0
            unpacked += message.unpacked_bytes
            if max(rows, entries) > max_points:
                raise Invalid("too_many_points", f"more than {max_points:,} rows; send less at once")
            if unpacked > max_bytes:
                raise Invalid("body_too_large", f"decompressed, the columns have more than {max_bytes:,} bytes")
    except BadStream as error:
        raise _bad("", str(error)) from error


@contextmanager
def _checked() -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise _bad("", str(error).splitlines()[0] if str(error) else "it is damaged") from error


def _read(view: memoryview) -> Any:
    """Return the needed columns as a table."""
    buffer = pa.py_buffer(view)
    with pa.ipc.open_stream(buffer, options=_OPTIONS(use_threads=False)) as stream:
        names: list[str] = stream.schema.names
        wanted = _wanted(names)
        if len(wanted) == len(names):
            return stream.read_all()
    options = _OPTIONS(use_threads=False, included_fields=[names.index(name) for name in wanted])
    with pa.ipc.open_stream(buffer, options=options) as stream:
        return stream.read_all()


def _wanted(names: Sequence[str]) -> list[str]:
    if _NUMBERS in names and _IDS in names:
        raise _bad(_IDS, f"send either {_NUMBERS} or {_IDS}")
    if _NUMBERS not in names and _IDS not in names:
        raise _bad(_NUMBERS, f"no such column; send {_NUMBERS} (numbers) or {_IDS} (text)")
    wanted = [_NUMBERS if _NUMBERS in names else _IDS, _TIMES, _VALUES]
    for name in wanted:
        if names.count(name) != 1:
            raise _bad(name, "no such column" if name not in names else "there are several of it")
    return wanted


def _points(table: Any) -> StreamedPoints:
    timestamps, values = _times(table.column(_TIMES)), _values(table.column(_VALUES))
    if _NUMBERS in table.column_names:
        return StreamedPoints(_series_numbers(table.column(_NUMBERS)), [], None, timestamps, values)
    ids, indexes = _series_ids(table.column(_IDS))
    return StreamedPoints(None, ids, indexes, timestamps, values)


def _series_numbers(column: Any) -> NumberArray:
    _refuse_type(_NUMBERS, column, pa.types.is_integer, "whole numbers")
    numbers = _numpy(_NUMBERS, column)
    wrong = (numbers < 1) | (numbers > _MOST_NUMBER)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise _bad(_NUMBERS, f"row {row}: {int(numbers[row])} is not the number of a series")
    return numbers.astype(np.int32, copy=False)


def _series_ids(column: Any) -> tuple[list[str], IntArray]:
    kind = column.type
    is_dictionary = pa.types.is_dictionary(kind)
    text = kind.value_type if is_dictionary else kind
    if not (pa.types.is_string(text) or pa.types.is_large_string(text)):
        raise _bad(_IDS, f"it is {kind}, expected text")
    _refuse_nulls(_IDS, column)
    encoded = (column if is_dictionary else column.dictionary_encode()).unify_dictionaries()
    if not len(encoded):
        return [], np.empty(0, np.int64)
    chunks = [chunk for chunk in encoded.chunks if len(chunk)]
    words = chunks[0].dictionary
    indexes = np.concatenate([chunk.indices.to_numpy().astype(np.int64) for chunk in chunks])
    used = np.bincount(indexes, minlength=len(words)) > 0
    if not used.all():  # a sender may keep one dictionary for many messages
        words = words.filter(pa.array(used))
        indexes = (np.cumsum(used) - 1)[indexes]
    if words.null_count:
        empty = words.is_null().to_numpy(zero_copy_only=False)
        raise _bad(_IDS, f"row {int(np.argmax(empty[indexes]))}: it is null")
    return words.to_pylist(), indexes


def _times(column: Any) -> IntArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        stamps = _numpy(_TIMES, column).view(np.int64)
        return _in_micros(stamps, _PER_SECOND[kind.unit])
    _refuse_type(_TIMES, column, pa.types.is_int64, "int64 (microseconds since 1970) or a timestamp")
    return _numpy(_TIMES, column)


def _in_micros(stamps: IntArray, per_second: int) -> IntArray:
    if per_second >= _MICROS:
        return stamps // (per_second // _MICROS) if per_second > _MICROS else stamps
    factor = _MICROS // per_second
    wrong = (stamps > 2**62 // factor) | (stamps < -(2**62) // factor)
    if wrong.any():
        raise _bad(_TIMES, f"row {int(np.argmax(wrong))}: it lies beyond all times")
    return stamps * factor


def _values(column: Any) -> FloatArray:
    _refuse_type(_VALUES, column, lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind), "numbers")
    return _numpy(_VALUES, column).astype(np.float64, copy=False)


def _numpy(name: str, column: Any) -> NDArray[Any]:
    """Return a column of numbers, a view of the body when it came in one batch and lies at an even place."""
    _refuse_nulls(name, column)
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    if not parts:
        return np.empty(0, column.type.to_pandas_dtype())
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole if whole.flags.aligned else whole.copy()


def _refuse_type(name: str, column: Any, is_right: Callable[[Any], bool], expected: str) -> None:
    if not is_right(column.type):
        raise _bad(name, f"it is {column.type}, expected {expected}")


def _refuse_nulls(name: str, column: Any) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise _bad(name, f"row {row}: it is null")


def _bad(column: str, reason: str) -> Invalid:
    if not column:
        return Invalid("bad_arrow", f"the body is not an Arrow IPC stream of points: {reason}")
    return Invalid("bad_arrow", f"column {column}: {reason}", faults=[Fault(f"/{column}", reason)])
