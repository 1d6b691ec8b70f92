"""The one door to pyarrow for points: Arrow bytes for the tail, Parquet for blocks.

pyarrow ships no types, so its objects stay inside this module.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atalaia.core.errors import Broken
from atalaia.core.points import NumberArray, Points

_SCHEMA: Any = pa.schema([("series", pa.int32()), ("timestamp", pa.int64()), ("value", pa.float64())])
_IPC: Any = pa.ipc.IpcWriteOptions(compression="lz4")
ROW_GROUP = 16_384
"""Rows that are read together; a series' share of a block is pruned to them."""
_NOTHING = (2**31 - 1, -1)
"""Smallest and largest series number of a row group without rows."""


def points_to_ipc(points: Points) -> bytes:
    """Return `points` as an Arrow IPC stream."""
    batch = pa.record_batch([points.series, points.timestamps, points.values], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA, options=_IPC) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def points_from_ipc(data: bytes) -> Points:
    """Return the points of an Arrow IPC stream made by `points_to_ipc`.

    Raises
    ------
    Broken
        When it is damaged.
    """
    with _checked("a batch of points"), pa.ipc.open_stream(data) as reader:
        return _points(reader.read_all())


def points_to_parquet(points: Points) -> bytes:
    """Return `points`, sorted by series and time, as a Parquet file with page checksums."""
    sink = BytesIO()
    pq.write_table(
        pa.table([points.series, points.timestamps, points.values], schema=_SCHEMA),
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        use_dictionary=cast("Any", ["series", "value"]),
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
        data_page_size=64 * 1024,
    )
    return sink.getvalue()


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet block says of its row groups.

    Attributes
    ----------
    metadata
        pyarrow's own footer, kept so that the file need not be asked again.
    first, last
        int32[g], smallest and largest series number of each row group.
    """

    metadata: Any
    first: NumberArray
    last: NumberArray


def read_footer(path: Path) -> Footer:
    """Return the footer of the Parquet file at `path`.

    Raises
    ------
    Broken
        When the file is not one, or cut short.
    """
    with _checked(f"the block {path.name}"):
        metadata = pq.read_metadata(path)
    statistics = [metadata.row_group(i).column(0).statistics for i in range(metadata.num_row_groups)]
    first = np.array([s.min if s else _NOTHING[0] for s in statistics], np.int32)
    return Footer(metadata, first, np.array([s.max if s else _NOTHING[1] for s in statistics], np.int32))


def read_series(path: Path, footer: Footer, numbers: NumberArray) -> Points:
    """Return the points of the series `numbers` (sorted), reading only the row groups that may hold them.

    Raises
    ------
    Broken
        When a page's checksum differs.
    """
    if not len(numbers):
        return Points.empty()
    position = np.searchsorted(numbers, footer.first)
    holds = (position < len(numbers)) & (numbers[np.minimum(position, len(numbers) - 1)] <= footer.last)
    groups: Sequence[int] = np.flatnonzero(holds).tolist()
    if not groups:
        return Points.empty()
    with (
        _checked(f"the block {path.name}"),
        pq.ParquetFile(path, metadata=footer.metadata, page_checksum_verification=True) as file,
    ):
        points = _points(file.read_row_groups(groups, use_threads=False))
    return points.take(np.isin(points.series, numbers))


def read_all(path: Path) -> Points:
    """Return all points of the Parquet file at `path`."""
    footer = read_footer(path)
    if not len(footer.first):
        return Points.empty()
    every = np.arange(int(footer.first.min()), int(footer.last.max()) + 1, dtype=np.int32)
    return read_series(path, footer, every)


@contextmanager
def _checked(what: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise Broken("bad_blob", f"{what} is damaged: {error}") from error


def _points(table: Any) -> Points:
    return Points(*(table.column(name).to_numpy() for name in ("series", "timestamp", "value")))
