"""The one door to pyarrow for points: Arrow bytes for the tail, Parquet for blocks.

In a block, the values of series with few decimals are whole numbers (columns `whole` and `decimals`, see
`kit.decimals`), all others are floats (column `value`); a column that no series of the block needs is left out.
pyarrow ships no types, so its objects stay inside this module.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atalaia.core.errors import Broken
from atalaia.core.points import IntArray, NumberArray, Points
from atalaia.kit.decimals import RAW, Scaled, scale, unscale
from atalaia.kit.envelopes import SealedFile
from atalaia.kit.narrow import UNITS, Narrow, narrow, widen

ROW_GROUP = 16_384
"""Rows that are read together; a series' share of a block is pruned to them."""
_NOTHING = (2**31 - 1, -1)
"""Smallest and largest series number of a row group without rows."""
_SCALED_POINTS = 4
"""Points of a series, on average, from which its values are kept as whole numbers."""
Span = tuple[int, int]
"""A range of time in microseconds; it holds its start, but not its end."""
Source = Path | SealedFile
"""A file, or what is in one that is sealed."""


def points_to_ipc(points: Points) -> bytes:
    """Return `points` as an Arrow IPC stream.

    Series and times take as few bytes as they need (see `kit.narrow`); how they did it stands in the metadata.
    """
    columns: dict[str, Any] = {"value": points.values}
    how: dict[str, str] = {}
    for name, packed in (("series", narrow(points.series)), ("timestamp", narrow(points.timestamps, UNITS))):
        how[name] = f"{packed.smallest} {packed.unit}"
        if packed.multiples is not None:
            columns[name] = packed.multiples
    batch = pa.record_batch(columns, metadata=how)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def points_from_ipc(data: bytes) -> Points:
    """Return the points of an Arrow IPC stream made by `points_to_ipc`, of this release or of the first.

    Raises
    ------
    Broken
        When it is damaged.
    """
    with _checked("a batch of points"), pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
        if table.schema.metadata is None:
            return _points(table)
        values = table.column("value").to_numpy()
        series = _widened(table, "series", len(values), np.int32)
        return Points(series, _widened(table, "timestamp", len(values), np.int64), values)


def _widened(table: Any, name: str, size: int, kind: type[Any]) -> Any:
    smallest, unit = map(int, table.schema.metadata[name.encode()].split())
    multiples = table.column(name).to_numpy() if name in table.column_names else None
    return widen(Narrow(smallest, unit, multiples), size, kind)


def points_to_parquet(points: Points) -> bytes:
    """Return `points`, sorted by series and time, as a Parquet file with page checksums.

    Minus zero becomes zero in a series of few decimals; the two are equal.
    """
    columns = {"series": points.series, "timestamp": points.timestamps, **_values(points)}
    deltas = [name for name in ("timestamp", "whole") if name in columns]
    sink = BytesIO()
    pq.write_table(
        pa.table(columns),
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        use_dictionary=cast("Any", [name for name in ("series", "decimals") if name in columns]),
        column_encoding=dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
        write_statistics=cast("Any", ["series", "timestamp"]),
        write_page_checksum=True,
        data_page_size=64 * 1024,
    )
    return sink.getvalue()


def _values(points: Points) -> dict[str, Any]:
    """Return the columns that hold the values."""
    if len(points) < _SCALED_POINTS * (1 + np.count_nonzero(points.series[1:] != points.series[:-1])):
        return {"value": points.values}  # to look at each series costs more than it saves: they are merged soon
    scaled = scale(points.series, points.values)
    raw = scaled.decimals == RAW
    if bool(raw.all()):
        return {"value": points.values}
    columns: dict[str, Any] = {"decimals": scaled.decimals, "whole": scaled.whole}
    return {**columns, "value": np.where(raw, points.values, 0.0)} if bool(raw.any()) else columns


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet block says of its row groups.

    Attributes
    ----------
    metadata
        pyarrow's own footer, kept so that the file need not be asked again.
    first, last
        int32[g], smallest and largest series number of each row group.
    rows
        int64[g], rows of each row group.
    """

    metadata: Any
    first: NumberArray
    last: NumberArray
    rows: IntArray

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        return 3 * int(self.metadata.serialized_size)


def read_footer(path: Source) -> Footer:
    """Return the footer of the Parquet file at `path`.

    Raises
    ------
    Broken
        When the file is not one, or cut short.
    """
    with _checked(f"the block {path.name}"):
        metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    statistics = [group.column(0).statistics for group in groups]
    first = np.array([s.min if s else _NOTHING[0] for s in statistics], np.int32)
    last = np.array([s.max if s else _NOTHING[1] for s in statistics], np.int32)
    return Footer(metadata, first, last, np.array([group.num_rows for group in groups], np.int64))


def read_series(path: Source, footer: Footer, numbers: NumberArray, span: Span | None = None) -> Points:
    """Return the points of the series `numbers` (sorted) in a range, from the row groups that may hold them.

    Raises
    ------
    Broken
        When a page's checksum differs.
    """
    groups = _groups(footer, numbers, span)
    if not groups:
        return Points.empty()
    with (
        _checked(f"the block {path.name}"),
        pq.ParquetFile(path, metadata=footer.metadata, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        points = _points_of_block(file.read_row_groups(groups, use_threads=False))
    return part_of(points, numbers, span)


def read_all(path: Source) -> Points:
    """Return all points of the Parquet file at `path`."""
    footer = read_footer(path)
    if not len(footer.first):
        return Points.empty()
    every = np.arange(int(footer.first.min()), int(footer.last.max()) + 1, dtype=np.int32)
    return read_series(path, footer, every)


def part_of(points: Points, numbers: NumberArray, span: Span | None) -> Points:
    """Return the points of the series `numbers` (sorted) in a range; `points` are sorted by series and time."""
    if not len(numbers):
        return Points.empty()
    first = int(np.searchsorted(points.series, numbers[0]))
    last = int(np.searchsorted(points.series, numbers[-1], side="right"))
    points = _slice(points, first, last)
    if len(numbers) == 1:  # then time alone is the order
        if span is None:
            return points
        low, high = np.searchsorted(points.timestamps, span).tolist()
        return _slice(points, low, high)
    if int(numbers[-1]) - int(numbers[0]) >= len(numbers):
        points = points.take(np.isin(points.series, numbers))
    if span is None:
        return points
    return points.take((points.timestamps >= span[0]) & (points.timestamps < span[1]))


def _slice(points: Points, first: int, last: int) -> Points:
    return Points(points.series[first:last], points.timestamps[first:last], points.values[first:last])


def _groups(footer: Footer, numbers: NumberArray, span: Span | None) -> list[int]:
    """Return the row groups that may hold points of the series in the range."""
    if not len(numbers):
        return []
    position = np.searchsorted(numbers, footer.first)
    holds = (position < len(numbers)) & (numbers[np.minimum(position, len(numbers) - 1)] <= footer.last)
    groups: list[int] = np.flatnonzero(holds).tolist()
    if span is None or len(groups) <= 2:  # asking for the times would cost more than reading two row groups
        return groups
    return [group for group in groups if _overlaps(footer.metadata, group, span)]


def _overlaps(metadata: Any, group: int, span: Span) -> bool:
    times = metadata.row_group(group).column(1).statistics
    return times is None or (times.max >= span[0] and times.min < span[1])


@contextmanager
def _checked(what: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise Broken("bad_blob", f"{what} is damaged: {error}") from error


def _points(table: Any) -> Points:
    return Points(*(table.column(name).to_numpy() for name in ("series", "timestamp", "value")))


def _points_of_block(table: Any) -> Points:
    names = table.column_names
    if "whole" not in names:
        return _points(table)
    scaled = Scaled(table.column("whole").to_numpy(), table.column("decimals").to_numpy())
    values = unscale(scaled, table.column("value").to_numpy() if "value" in names else None)
    return Points(table.column("series").to_numpy(), table.column("timestamp").to_numpy(), values)
