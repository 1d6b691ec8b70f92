"""History: a tail of accepted batches in the database, and immutable blocks in the blob store.

A batch is one row of Arrow bytes, acknowledged once committed. Compaction turns scored batches into a sorted
Parquet block and swaps the manifest in one transaction; neighbouring blocks of like size are merged. The same
point twice is kept once, and the one that arrived last wins, wherever the two lie.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Broken, Stale
from atalaia.core.ids import new_id
from atalaia.core.points import NumberArray, Points
from atalaia.kit.arrow import (
    Footer,
    points_from_ipc,
    points_to_ipc,
    points_to_parquet,
    read_all,
    read_footer,
    read_series,
)
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.signals.rules import pick_merge
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import history as store

FOLDER = "history"
_FOOTERS = 256
_DAY_US = 86_400 * MICROS
Apply = Callable[[Session], dict[str, Any]]


class History:
    """The points of all series."""

    def __init__(self, database: Database, blobs: Blobs, settings: SignalsSettings) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings
        self._footers: OrderedDict[str, Footer] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, session: Session, points: Points) -> None:
        """Keep `points`; they are durable once the session's transaction has committed."""
        row = store.TailRow(
            received_at=now_us(),
            rows=len(points),
            first_ts=int(points.timestamps.min()),
            last_ts=int(points.timestamps.max()),
            scored=False,
            points=points_to_ipc(points),
        )
        session.add(row)

    def read(self, numbers: Sequence[int], start_us: int, end_us: int) -> Points:
        """Return the points of the series in [start, end), sorted by series and time, each once.

        Raises
        ------
        Broken
            When a block is damaged or gone.
        """
        wanted = np.unique(np.array(numbers, np.int32))
        gone: FileNotFoundError | None = None
        for _ in range(3):
            with self._database.read() as session:
                tail = store.tail_between(session, start_us, end_us)
                blocks = store.blocks_between(session, start_us, end_us)
            try:
                return self._merged(blocks, tail, wanted, start_us, end_us)
            except FileNotFoundError as error:  # a block was merged away meanwhile: read the new manifest
                gone = error
        raise Broken("bad_blob", f"a block of the history is gone: {gone}") from gone

    def newest_waiting(self, session: Session, numbers: Sequence[int]) -> int | None:
        """Return the newest time of the series in batches that are not scored yet, None without any."""
        wanted = np.array(numbers, np.int32)
        newest: int | None = None
        for batch in store.all_unscored(session):
            if newest is not None and batch.last_ts <= newest:
                break
            points = points_from_ipc(batch.points)
            stamps = points.timestamps[np.isin(points.series, wanted)]
            if len(stamps):
                newest = max(newest or 0, int(stamps.max()))
        return newest

    def compaction(self) -> Apply | None:
        """Write the next block from the tail; return what swaps the manifest, None when there is nothing to do."""
        with self._database.read() as session:
            batches = store.compactable(session, self._settings.block_max_points)
        if not batches:
            return None
        points = Points.concat([points_from_ipc(batch.points) for batch in batches]).latest()
        block = self._write(points, sequence=batches[-1].id)
        ids = [batch.id for batch in batches]

        def swap(session: Session) -> dict[str, Any]:
            store.remove_batches(session, ids)
            self._name(session, block)
            return {"batches": len(ids), "points": len(points), "bytes": block.size_bytes}

        return swap

    def merge(self) -> Apply | None:
        """Merge a run of blocks; return what swaps the manifest, None when there is nothing worth it."""
        with self._database.read() as session:
            blocks = store.all_blocks(session)
        run = self._mergeable(blocks)
        return None if run is None else self._rewrite(blocks[run], after_us=None)

    def expiry(self) -> Apply | None:
        """Drop what is older than the retention; return what swaps the manifest, None when nothing is.

        Blocks that are wholly too old go at once; one that is partly too old is rewritten once a day's worth
        of it has expired.
        """
        if self._settings.retention_days is None:
            return None
        horizon = now_us() - int(self._settings.retention_days * _DAY_US)
        with self._database.read() as session:
            blocks = store.all_blocks(session)
        old = [block for block in blocks if block.last_ts < horizon]
        partly = [block for block in blocks if block.last_ts >= horizon and block.first_ts < horizon - _DAY_US]
        swaps = [self._rewrite([block], after_us=horizon) for block in partly]
        if not old and not swaps:
            return None

        def swap(session: Session) -> dict[str, Any]:
            store.remove_blocks(session, [block.key for block in old])
            for step in swaps:
                step(session)
            return {"blocks_dropped": len(old), "blocks_rewritten": len(swaps)}

        return swap

    def sweep(self) -> int:
        """Delete stored blocks that the manifest does not name and that are old enough; return how many."""
        with self._database.read() as session:
            named = store.block_keys(session)
        before_s = now_us() / MICROS - self._settings.sweep_after_s
        stale = [
            blob.key for blob in self._blobs.list(FOLDER) if blob.key not in named and blob.modified_s < before_s
        ]
        for key in stale:
            self._blobs.delete(key)
        return len(stale)

    def damaged(self) -> list[str]:
        """Return the keys of the blocks that are gone, or whose bytes are not those that were written."""
        with self._database.read() as session:
            blocks = store.all_blocks(session)
        return [block.key for block in blocks if not self._is_whole(block)]

    def wants_compaction(self, session: Session) -> bool:
        """Say whether the tail is large or old enough for a compaction, or blocks are worth merging."""
        points, oldest = store.scored_tail(session)
        aged = oldest is not None and now_us() - oldest > self._settings.compact_after_s * MICROS
        full = points >= self._settings.compact_after_points
        return full or aged or self._mergeable(store.all_blocks(session)) is not None

    def _mergeable(self, blocks: Sequence[store.BlockRow]) -> slice | None:
        settings = self._settings
        rows = [block.rows for block in blocks]
        return pick_merge(rows, fan_in=settings.block_fan_in, max_rows=settings.block_max_points)

    def _is_whole(self, block: store.BlockRow) -> bool:
        try:
            self._blobs.get(block.key, block.sha256)
        except AtalaiaError:
            return False
        return True

    def _merged(
        self,
        blocks: Sequence[store.BlockRow],
        tail: Sequence[store.TailRow],
        wanted: NumberArray,
        start: int,
        end: int,
    ) -> Points:
        parts = [read_series(self._blobs.path(b.key), self._footer(b.key), wanted) for b in blocks]
        for batch in tail:
            points = points_from_ipc(batch.points)
            parts.append(points.take(np.isin(points.series, wanted)))
        points = Points.concat(parts)
        return points.take((points.timestamps >= start) & (points.timestamps < end)).latest()

    def _footer(self, key: str) -> Footer:
        with self._lock:
            footer = self._footers.get(key)
            if footer is not None:
                self._footers.move_to_end(key)
                return footer
        footer = read_footer(self._blobs.path(key))
        with self._lock:
            self._footers[key] = footer
            while len(self._footers) > _FOOTERS:
                self._footers.popitem(last=False)
        return footer

    def _rewrite(self, blocks: Sequence[store.BlockRow], after_us: int | None) -> Apply:
        points = Points.concat([self._read_whole(block.key) for block in blocks]).latest()
        if after_us is not None:
            points = points.take(points.timestamps >= after_us)
        block = self._write(points, sequence=blocks[-1].sequence) if len(points) else None
        keys = [block.key for block in blocks]

        def swap(session: Session) -> dict[str, Any]:
            store.remove_blocks(session, keys)
            if block is not None:
                self._name(session, block)
            return {"blocks": len(keys), "points": len(points)}

        return swap

    def _name(self, session: Session, block: store.BlockRow) -> None:
        """Put a block on the manifest, unless whoever wrote it slept so long that it was swept meanwhile."""
        if not self._blobs.path(block.key).is_file():
            raise Stale("lease_lost", f"the block {block.key} was swept before it was named")
        session.add(block)

    def _read_whole(self, key: str) -> Points:
        try:
            return read_all(self._blobs.path(key))
        except FileNotFoundError as error:
            raise Stale("lease_lost", f"the block {key} was rewritten meanwhile") from error

    def _write(self, points: Points, sequence: int) -> store.BlockRow:
        blob = self._blobs.put(f"{FOLDER}/{new_id('block')}.parquet", points_to_parquet(points))
        return store.BlockRow(
            key=blob.key,
            sequence=sequence,
            first_ts=int(points.timestamps.min()),
            last_ts=int(points.timestamps.max()),
            rows=len(points),
            size_bytes=blob.size_bytes,
            sha256=blob.sha256,
            created_at=now_us(),
        )
