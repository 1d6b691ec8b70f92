"""Blocks: immutable Parquet objects in the blob store, sorted by series and time, and how they are rewritten."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Broken, Stale
from atalaia.core.ids import new_id
from atalaia.core.points import FloatArray, NumberArray, Points
from atalaia.kit.arrow import Footer, Source, Span, points_to_parquet, read_all, read_footer, read_series
from atalaia.kit.blobs import Blobs
from atalaia.signals.rules import BUCKET_SERIES
from atalaia.signals.store.history import BlockRow, Held

FOLDER = "history"
Report = Callable[[float], object]
_Result = TypeVar("_Result")


def unheard(progress: float) -> None:
    """Take no notice of the progress."""


class Blocks:
    """Reads and writes the objects; what they are for stands in the manifest.

    Parameters
    ----------
    footers_bytes
        How much memory the footers of blocks may take, which say where in a block a series lies.
    """

    def __init__(self, blobs: Blobs, *, footers_bytes: int) -> None:
        self._blobs = blobs
        self._footers_bytes = footers_bytes
        self._footers: OrderedDict[str, Footer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, block: Held, numbers: NumberArray, span: Span | None) -> Points:
        """Return the points of the series `numbers` (sorted) in a range.

        Raises
        ------
        FileNotFoundError
            When the block was rewritten, and swept since.
        """
        return self._sound(block, lambda path: read_series(path, self._footer(block), numbers, span))

    def prefetch(self, blocks: Sequence[Held]) -> None:
        """Bring blocks that lie elsewhere to this machine, several at a time."""
        self._blobs.prefetch((block.key, block.sha256) for block in blocks)

    def estimate(self, block: Held, numbers: NumberArray, span: Span) -> FloatArray:
        """Return about how many points each of the series `numbers` (sorted) has in a range.

        A row group's points count as spread evenly over the series from its first to its last, and a block's over
        the time from its first to its last.
        """
        footer = self._footer(block)
        density = footer.rows / (footer.last - footer.first + 1.0)
        change = np.zeros(len(numbers) + 1)
        np.add.at(change, np.searchsorted(numbers, footer.first), density)
        np.subtract.at(change, np.searchsorted(numbers, footer.last, side="right"), density)
        lasts = block.last_ts - block.first_ts + 1
        overlap = min(span[1], block.last_ts + 1) - max(span[0], block.first_ts)
        return np.cumsum(change[:-1]) * (overlap / lasts)

    def write(self, points: Points, bucket: int, sequence: int) -> BlockRow:
        """Store sorted points; the block is part of the history once the manifest names it."""
        blob = self._blobs.put(f"{FOLDER}/{new_id('block')}.parquet", points_to_parquet(points))
        return BlockRow(
            key=blob.key,
            bucket=bucket,
            sequence=sequence,
            first_series=int(points.series[0]),
            last_series=int(points.series[-1]),
            first_ts=int(points.timestamps.min()),
            last_ts=int(points.timestamps.max()),
            rows=len(points),
            size_bytes=blob.size_bytes,
            sha256=blob.sha256,
            created_at=now_us(),
        )

    def merged(self, blocks: Sequence[Held], after_us: int | None = None) -> BlockRow | None:
        """Write one block in the place of several of one bucket; None when none of their points is wanted.

        Raises
        ------
        Stale
            When one of them was rewritten meanwhile.
        """
        points = Points.concat([self._whole(block) for block in blocks]).latest()
        if after_us is not None:
            points = points.take(points.timestamps >= after_us)
        return self.write(points, blocks[-1].bucket, blocks[-1].sequence) if len(points) else None

    def without(self, block: Held, numbers: NumberArray) -> tuple[int, BlockRow | None]:
        """Return how many points of the series a block holds, and what was written in its place if anything was.

        Raises
        ------
        Stale
            When it was rewritten meanwhile.
        """
        points = self._whole(block)
        rest = points.take(~np.isin(points.series, numbers))
        gone = len(points) - len(rest)
        return gone, self.write(rest, block.bucket, block.sequence) if gone and len(rest) else None

    def holds(self, key: str, numbers: NumberArray) -> bool:
        """Say whether a stored object, named by the manifest or not, holds points of the series."""
        try:
            return bool(np.isin(read_all(self._blobs.local(key)).series, numbers).any())
        except (FileNotFoundError, AtalaiaError):  # swept meanwhile, or not whole: then it is no block
            return False

    def divided(self, blocks: Sequence[Held], max_rows: int, report: Report = unheard) -> list[BlockRow]:
        """Write the points of wide blocks (oldest first) bucket by bucket, so that memory holds few of them.

        Raises
        ------
        Stale
            When one of them was rewritten meanwhile.
        """
        written: list[BlockRow] = []
        buckets = self._buckets(blocks)
        for done, bucket in enumerate(buckets):
            report(done / len(buckets))
            shares = self._shares(blocks, bucket, max_rows)
            written += [self.write(points, bucket, sequence) for sequence, points in shares]
        return written

    def _buckets(self, blocks: Sequence[Held]) -> list[int]:
        """Return the buckets that the blocks reach into."""
        buckets: set[int] = set()
        for block in blocks:
            with _rewritten_if_gone(block.key):
                footer = self._footer(block)
            spans = zip(
                (footer.first // BUCKET_SERIES).tolist(), (footer.last // BUCKET_SERIES).tolist(), strict=True
            )
            buckets.update(bucket for first, last in spans for bucket in range(first, last + 1))
        return sorted(buckets)

    def _shares(self, blocks: Sequence[Held], bucket: int, max_rows: int) -> Iterator[tuple[int, Points]]:
        """Yield a bucket's points in at most `max_rows` (or what one block holds), and the sequence of the last."""
        numbers = np.arange(bucket * BUCKET_SERIES, (bucket + 1) * BUCKET_SERIES, dtype=np.int32)
        parts: list[Points] = []
        rows, sequence = 0, 0
        for block in blocks:
            part = self._share(block, numbers)
            if parts and rows + len(part) > max_rows:
                yield sequence, Points.concat(parts).latest()
                parts, rows = [], 0
            if len(part):
                parts.append(part)
                rows, sequence = rows + len(part), block.sequence
        if parts:
            yield sequence, Points.concat(parts).latest()

    def _share(self, block: Held, numbers: NumberArray) -> Points:
        with _rewritten_if_gone(block.key):
            return self.read(block, numbers, None)

    def _whole(self, block: Held) -> Points:
        with _rewritten_if_gone(block.key):
            return self._sound(block, read_all)

    def _sound(self, block: Held, read: Callable[[Source], _Result]) -> _Result:
        """Read a block; what is a copy of one that lies elsewhere is fetched anew when it is damaged."""
        try:
            return read(self._blobs.local(block.key, block.sha256))
        except Broken:
            if not self._blobs.discard(block.key):
                raise
        return read(self._blobs.local(block.key, block.sha256))

    def _footer(self, block: Held) -> Footer:
        key = block.key
        with self._lock:
            footer = self._footers.get(key)
            if footer is not None:
                self._footers.move_to_end(key)
                return footer
        footer = self._sound(block, read_footer)
        with self._lock:
            if key not in self._footers:
                self._footers[key] = footer
                self._bytes += footer.memory_bytes
            while self._bytes > self._footers_bytes:
                self._bytes -= self._footers.popitem(last=False)[1].memory_bytes
        return footer


@contextmanager
def _rewritten_if_gone(key: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Stale("lease_lost", f"the block {key} was rewritten meanwhile") from error
