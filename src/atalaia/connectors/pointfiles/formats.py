"""CSV, Parquet and NDJSON as chunks of columns, streaming."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from atalaia.connectors.pointfiles.reading import Place, Roles
from atalaia.core.errors import Invalid

pa: Any = pyarrow
pa_csv: Any = pyarrow.csv
pa_parquet: Any = pyarrow.parquet

Choose = Callable[[Sequence[str]], Roles]
"""Given the names of the columns, says which are needed."""

_BLOCK_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 1 << 20
_ROW = re.compile(r"Row #(\d+): ")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file.

    Attributes
    ----------
    cells
        For each needed column n cells, an Arrow array or a list.
    rows
        n, the number of each row as people count them in that file.
    done_bytes
        How much of the file was read.
    """

    roles: Roles
    cells: dict[str, Any]
    rows: Sequence[int]
    done_bytes: int


def read_csv(place: Place, choose: Choose, chunk_rows: Callable[[Roles], int]) -> Iterator[Chunk]:
    """Yield the chunks of a CSV file with a header; commas, semicolons and tabs divide."""
    with place.path.open("rb") as file:
        divider, names = _header(file, place)
        roles = choose(names)
        counted = _Counted(file)
        stream = _open_csv(counted, divider, roles, place)
        first = 2  # row 1 is the header
        while (block := _next(stream, place)) is not None:
            rows = chunk_rows(roles)
            for start in range(0, block.num_rows, rows):
                part = block.slice(start, rows)
                cells = {name: part.column(name) for name in roles.columns}
                numbers = range(first + start, first + start + part.num_rows)
                yield Chunk(roles, cells, numbers, counted.done_bytes)
            first += block.num_rows


def _header(file: BinaryIO, place: Place) -> tuple[str, list[str]]:
    line = file.readline(_LONGEST_LINE_BYTES)
    file.seek(0)
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise place.invalid("is not UTF-8 text; save it as UTF-8", 1) from error
    divider = max(",;\t", key=text.count)
    return divider, [name for row in csv.reader([text], delimiter=divider) for name in row]


def _open_csv(file: "_Counted", divider: str, roles: Roles, place: Place) -> Iterator[Any]:
    try:
        stream = pa_csv.open_csv(
            pa.PythonFile(file, mode="r"),
            # threads would lose the numbers of the rows
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(delimiter=divider),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in roles.columns},
                include_columns=roles.columns,
                strings_can_be_null=False,  # a series may be called NA
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error, place) from error
    return iter(stream)


def read_parquet(place: Place, choose: Choose, chunk_rows: Callable[[Roles], int]) -> Iterator[Chunk]:
    """Yield the chunks of a Parquet file, a few pages in memory at a time."""
    try:
        file = pa_parquet.ParquetFile(str(place.path), pre_buffer=False, buffer_size=_BLOCK_BYTES)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error, place) from error
    with file:
        roles = choose(list(file.schema_arrow.names))
        size, total = place.path.stat().st_size, max(1, file.metadata.num_rows)
        blocks = file.iter_batches(batch_size=chunk_rows(roles), columns=roles.columns, use_threads=False)
        first = 1
        while (block := _next(blocks, place)) is not None:
            cells = {name: block.column(name) for name in roles.columns}
            done = first + block.num_rows
            yield Chunk(roles, cells, range(first, done), size * (done - 1) // total)
            first = done


def read_ndjson(place: Place, choose: Choose, chunk_rows: Callable[[Roles], int]) -> Iterator[Chunk]:
    """Yield the chunks of a file with one JSON object a line; empty lines are skipped."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with place.path.open("rb") as file:
        lines: list[dict[str, Any]] = []
        rows: list[int] = []
        wanted, number = 1, 0  # the first line tells how many rows make a chunk
        while line := file.readline(_LONGEST_LINE_BYTES + 1):
            number += 1
            if line.isspace():
                continue
            lines.append(_decoded(line, decode, number, place))
            rows.append(number)
            if len(lines) >= wanted:
                chunk = _columns(lines, rows, choose, file.tell())
                yield chunk
                wanted, lines, rows = chunk_rows(chunk.roles), [], []
        if lines:
            yield _columns(lines, rows, choose, file.tell())
    if not number:
        raise place.invalid("is empty")


def _decoded(line: bytes, decode: Callable[[bytes], dict[str, Any]], row: int, place: Place) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE_BYTES:
        raise place.invalid(f"is longer than {_LONGEST_LINE_BYTES:,} bytes; write one point a line", row)
    try:
        return decode(line)
    except UnicodeDecodeError as error:
        raise place.invalid("is not UTF-8 text", row) from error
    except msgspec.ValidationError as error:
        raise place.invalid(
            "is not a JSON object; write one object a line, without brackets around all", row
        ) from error
    except msgspec.DecodeError as error:
        raise place.invalid(f"is not JSON ({error})", row) from error


def _columns(lines: list[dict[str, Any]], rows: list[int], choose: Choose, done_bytes: int) -> Chunk:
    roles = choose(list(dict.fromkeys(name for line in lines for name in line)))
    cells = {name: [line.get(name) for line in lines] for name in roles.columns}
    return Chunk(roles, cells, rows, done_bytes)


def _next(blocks: Iterator[Any], place: Place) -> Any:
    """Return the next block, None at the end."""
    try:
        return next(blocks, None)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(error, place) from error


def _unreadable(error: Exception, place: Place) -> Invalid:
    reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    if "straddling object" in reason:
        return place.invalid(f"a row is longer than {_BLOCK_BYTES:,} bytes")
    if "invalid UTF8" in reason:
        reason = f"is not UTF-8 text; save it as UTF-8 ({reason})"
    found = _ROW.search(reason)
    return place.invalid(_ROW.sub("", reason), int(found[1]) if found else None)


class _Counted(io.RawIOBase):
    """A file that knows how far it was read; where pyarrow is told to close it, it stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.done_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.done_bytes += len(data)
        return data


READERS = {"csv": read_csv, "parquet": read_parquet, "ndjson": read_ndjson}
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}


def format_of(path: Path) -> str:
    """Return ``csv``, ``parquet`` or ``ndjson``, by the ending of the name and else by the first bytes.

    Raises
    ------
    Invalid
        When it is no file, empty, not readable, packed or none of the three.
    """
    start = _start(path)
    known = _ENDINGS.get(path.suffix.lower())
    if known == "parquet" or (known is None and start.startswith(b"PAR1")):
        return "parquet"
    reason = _not_text(start)
    if reason:
        raise Place(path).invalid(reason)
    return known or ("ndjson" if start.lstrip().startswith(b"{") else "csv")


def _start(path: Path) -> bytes:
    place = Place(path)
    try:
        if path.is_dir():
            raise place.invalid("is a folder; name the files in it")
        if not path.exists():
            raise place.invalid("there is no such file")
        if not path.is_file():
            raise place.invalid("is not a regular file")
        with path.open("rb") as file:
            start = file.read(4096)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise place.invalid(f"cannot be read: {reason}") from error
    if not start:
        raise place.invalid("is empty")
    return start


def _not_text(start: bytes) -> str | None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16 text; save it as UTF-8"
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")):
        return "is packed; unpack it first"
    return "is not text: it holds bytes that no CSV or NDJSON file has" if b"\x00" in start else None
