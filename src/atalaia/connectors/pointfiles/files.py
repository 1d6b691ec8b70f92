"""From chunks of a file to batches of points."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atalaia.connectors.pointfiles.columns import names, timestamps, values
from atalaia.connectors.pointfiles.formats import READERS, Chunk, format_of
from atalaia.connectors.pointfiles.moments import Clock
from atalaia.connectors.pointfiles.reading import Place, Reading, Roles, Shape, roles_of, settled
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray, IntArray
from atalaia.core.series import check_id


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of a file, in the order of the file.

    Attributes
    ----------
    series_ids
        n names.
    timestamps
        int64[n], microseconds since the epoch.
    values
        float64[n], finite.
    missing
        Cells without a value that were skipped on the way to here.
    """

    series_ids: list[str]
    timestamps: IntArray
    values: FloatArray
    missing: int = 0

    def __len__(self) -> int:
        return len(self.values)


def read(
    path: Path, reading: Reading | None = None, on_bytes: Callable[[int], None] = lambda done: None
) -> Iterator[Batch]:
    """Yield the points of a CSV, Parquet or NDJSON file in batches of `Reading.batch` points at most.

    Parameters
    ----------
    on_bytes
        Called with the bytes read so far, after each batch was taken.

    Raises
    ------
    Invalid
        ``invalid_file``, with file, row and reason, when the batches before that row have been yielded.
    """
    reading = reading or Reading()
    if reading.batch < 1:
        raise Invalid("invalid_batch", f"a batch of {reading.batch} points cannot be sent; take 1 or more")
    file_format = format_of(path)
    place = Place(path, "line" if file_format == "ndjson" else "row")
    clock = Clock(reading.unit, reading.tzinfo(), place, reading.timestamp_column)
    chooser = _Chooser(reading, place)
    for chunk in READERS[file_format](place, chooser.choose, chooser.chunk_rows):
        yield from _batches(chunk, reading, clock)
        on_bytes(chunk.done_bytes)


class _Chooser:
    """Decides once for a file what its columns are; later chunks may bring further series, no other shape."""

    def __init__(self, reading: Reading, place: Place) -> None:
        self._reading, self._place = reading, place

    def choose(self, columns: Sequence[str]) -> Roles:
        roles = roles_of(columns, self._reading, self._place)
        self._reading = settled(self._reading, roles)
        return roles

    def chunk_rows(self, roles: Roles) -> int:
        return max(1, self._reading.batch // len(roles.values))


def _batches(chunk: Chunk, reading: Reading, clock: Clock) -> Iterator[Batch]:
    """Yield the points of a chunk: a wide row as many points of the same time."""
    roles, rows = chunk.roles, chunk.rows
    at = timestamps(chunk.cells[roles.timestamp], clock, rows)
    cells = [values(chunk.cells[name], clock.place, name, rows) for name in roles.values]
    table = np.stack(cells, axis=1)
    within = _within(at, reading)
    keep = (~np.isnan(table) & within[:, None]).ravel()
    missing = int(np.count_nonzero(np.isnan(table) & within[:, None]))
    whole = Batch(
        _kept(_series(chunk, reading, clock.place), keep),
        np.repeat(at, len(roles.values))[keep],
        table.ravel()[keep],
        missing,
    )
    yield from _split(whole, reading.batch)


def _within(at: IntArray, reading: Reading) -> NDArray[np.bool_]:
    within = np.ones(len(at), dtype=np.bool_)
    if reading.from_us is not None:
        within &= at >= reading.from_us
    if reading.to_us is not None:
        within &= at < reading.to_us
    return within


def _series(chunk: Chunk, reading: Reading, place: Place) -> list[str]:
    """Return the name of the series of each cell of the chunk, row by row."""
    roles, rows = chunk.roles, chunk.rows
    if roles.shape is Shape.WIDE:
        once = [_checked(reading.prefix + name, place) for name in roles.values]
        return once * len(rows)
    if roles.series is None:
        only = reading.series if reading.series is not None else reading.prefix + place.path.stem
        return [_checked(only, place)] * len(rows)
    found = [reading.prefix + name for name in names(chunk.cells[roles.series], place, roles.series, rows)]
    for name in dict.fromkeys(found):
        _checked(name, place, rows[found.index(name)], roles.series)
    return found


def _checked(name: str, place: Place, row: int | None = None, column: str | None = None) -> str:
    try:
        return check_id(name)
    except Invalid as error:
        raise place.invalid(f"{name[:40]!r} is {error.detail}", row, column) from error


def _kept(series: list[str], keep: NDArray[np.bool_]) -> list[str]:
    if keep.all():
        return series
    return [series[position] for position in np.flatnonzero(keep).tolist()]


def _split(whole: Batch, size: int) -> Iterator[Batch]:
    if not len(whole) and whole.missing:
        yield whole
    for start in range(0, len(whole), size):
        part = slice(start, start + size)
        missing = whole.missing if start == 0 else 0
        yield Batch(whole.series_ids[part], whole.timestamps[part], whole.values[part], missing)
