"""History: a tail of accepted batches in the database, and immutable blocks in the blob store.

A batch is one row of Arrow bytes, acknowledged once committed. Compaction turns scored batches into a sorted
Parquet block and swaps the manifest in one transaction. While all series fit into one bucket, its block belongs
to that bucket; else it is wide, and wide blocks are divided into buckets when they hold enough. Neighbouring
blocks of like size in one bucket are merged. The same point twice is kept once, and the one that arrived last
wins, wherever the two lie.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Broken, Stale
from atalaia.core.points import FloatArray, NumberArray, Points
from atalaia.kit.arrow import Span, points_from_ipc, points_to_ipc
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database, after_commit, serialize
from atalaia.signals.blocks import FOLDER, Blocks, Report, unheard
from atalaia.signals.rules import BUCKET_SERIES, WIDE, Shape, bucket_for, pick_merges, pick_split
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import history as store
from atalaia.signals.tail import Tail

_DAY_US = 86_400 * MICROS
_FOR_EVER = 1 << 62
_MANY_BATCHES = 1_000
"""Scored batches that are worth a compaction, however small: each costs every reader a few microseconds."""
Apply = Callable[[Session], dict[str, Any]]
_Result = TypeVar("_Result")


class History:
    """The points of all series.

    Attributes
    ----------
    horizon
        Says up to which round of scoring batches may become blocks; None stands for all that are scored.
    """

    horizon: Callable[[Session], int | None]

    def __init__(self, database: Database, blobs: Blobs, settings: SignalsSettings) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings
        self._tail = Tail(settings.tail_cache_mib << 20)
        self._blocks = Blocks(blobs, footers_bytes=settings.footer_cache_mib << 20)
        self.horizon = lambda session: None

    def append(self, session: Session, points: Points) -> None:
        """Keep `points`; they are durable once the session's transaction has committed."""
        head = store.TailRow(
            received_at=now_us(),
            rows=len(points),
            first_ts=int(points.timestamps.min()),
            last_ts=int(points.timestamps.max()),
            scored=False,
        )
        serialize(
            session, "tail"
        )  # batches become visible in order of their ids, as later ones overrule earlier ones
        store.add_batch(session, head, points_to_ipc(points))

    def read(self, numbers: Sequence[int], start_us: int, end_us: int) -> Points:
        """Return the points of the series in [start, end), sorted by series and time, each once.

        Raises
        ------
        Broken
            When a block is damaged or gone.
        """
        return self._read(np.unique(np.array(numbers, np.int32)), (start_us, end_us), with_tail=True)

    def parts(
        self, numbers: Sequence[int], start_us: int, end_us: int, max_points: int, *, blocks_only: bool = False
    ) -> Iterator[Points]:
        """Yield the points of the series in [start, end) in parts, series after series in order of number.

        Each part is as `read` returns it, and holds all points of its series, so that one series with more than
        `max_points` is a larger part. Sizes are estimated (see `Blocks.estimate`): a part may hold somewhat more
        than `max_points`. Working on a part takes about 100 bytes of memory for each of its points. With
        `blocks_only`, the tail is left out.
        """
        wanted = np.unique(np.array(numbers, np.int32))
        span, with_tail = (start_us, end_us), not blocks_only
        until = np.cumsum(_while_blocks_move(lambda: self._estimate(wanted, span, with_tail=with_tail)))
        first = 0
        while first < len(wanted):
            before = until[first - 1] if first else 0.0
            last = max(first + 1, int(np.searchsorted(until, before + max_points, side="right")))
            yield self._read(wanted[first:last], span, with_tail=with_tail)
            first = last

    def about(self, numbers: Sequence[int], start_us: int, end_us: int) -> float:
        """Return about how many points of the series in [start, end) are in blocks, see `Blocks.estimate`."""
        wanted = np.unique(np.array(numbers, np.int32))
        counts = _while_blocks_move(lambda: self._estimate(wanted, (start_us, end_us), with_tail=False))
        return float(counts.sum())

    def newest_waiting(self, session: Session, numbers: Sequence[int], covered: int = 0) -> int | None:
        """Return the newest time of the series in batches that are not scored yet, or after the round `covered`.

        It may be that of a batch which is covered by now: then the statistics of the series know one as new.
        """
        return self._tail.newest_waiting(session, numbers, covered)

    def compaction(self) -> Apply | None:
        """Write the next block from the tail; return what swaps the manifest, None when there is nothing to do."""
        with self._database.read() as session:
            horizon = self.horizon(session)
            batches = store.compactable(session, self._settings.block_max_points, horizon)
            is_wide = store.has_bucket(session, WIDE)  # a bucket's block may not overrule an older wide one
        if not batches:
            return None
        points = Points.concat([points_from_ipc(batch.points) for batch in batches]).latest()
        bucket = WIDE if is_wide else bucket_for(int(points.series[0]), int(points.series[-1]))
        block = self._blocks.write(points, bucket, batches[-1].id)
        ids = [batch.id for batch in batches]

        def swap(session: Session) -> dict[str, Any]:
            serialize(session, "tail to blocks")
            store.check_unchanged(session, batches)
            if horizon is not None and (self.horizon(session) or 0) < horizon:
                raise Stale("lease_lost", "these batches are needed in the tail again")
            store.remove_batches(session, ids)
            self._name(session, [block])
            return {"batches": len(ids), "points": len(points), "bytes": block.size_bytes}

        return swap

    def merge(self, report: Report = unheard) -> Apply | None:
        """Merge runs of blocks; return what swaps the manifest, None when there is nothing worth it."""
        with self._database.read() as session:
            blocks = store.manifest(session)
        runs = self._mergeable(blocks)
        if not runs:
            return None
        merged: list[store.BlockRow] = []
        for done, run in enumerate(runs):
            report(done / len(runs))
            block = self._blocks.merged([blocks[position] for position in run])
            merged += [block] if block else []
        return self._swap([blocks[position] for run in runs for position in run], merged)

    def division(self, report: Report = unheard) -> Apply | None:
        """Divide wide blocks into buckets; return what swaps the manifest, None when they hold too little."""
        with self._database.read() as session:
            blocks = store.manifest(session)
        chosen = [blocks[position] for position in self._divisible(blocks)]
        if not chosen:
            return None
        return self._swap(chosen, self._blocks.divided(chosen, self._settings.block_max_points, report))

    def expiry(self, report: Report = unheard) -> Apply | None:
        """Drop what is older than the retention; return what swaps the manifest, None when nothing is.

        Blocks that are wholly too old go at once; one that is partly too old is rewritten once a day's worth
        of it has expired.
        """
        if self._settings.retention_days is None:
            return None
        horizon = now_us() - int(self._settings.retention_days * _DAY_US)
        with self._database.read() as session:
            blocks = store.manifest(session)
        old = [block for block in blocks if block.last_ts < horizon]
        partly = [block for block in blocks if block.last_ts >= horizon and block.first_ts < horizon - _DAY_US]
        if not old and not partly:
            return None
        written: list[store.BlockRow] = []
        for done, block in enumerate(partly):
            report(done / len(partly))
            rest = self._blocks.merged([block], after_us=horizon)
            written += [rest] if rest else []
        swap_all = self._swap([*old, *partly], written)

        def swap(session: Session) -> dict[str, Any]:
            swap_all(session)
            return {"blocks_dropped": len(old), "blocks_rewritten": len(partly)}

        return swap

    def erasure(self, numbers: Sequence[int], report: Report = unheard) -> Apply | None:
        """Write the blocks that hold points of some series without those; return what swaps the manifest.

        None when no block holds any. The blocks that are replaced are deleted once the swap is committed; points in
        the tail stay where they are until they are in a block.
        """
        wanted = np.unique(np.array(numbers, np.int32))
        if not len(wanted):
            return None
        with self._database.read() as session:
            blocks = self._blocks_of(session, wanted, (0, _FOR_EVER))
        old: list[store.Held] = []
        written: list[store.BlockRow] = []
        points = 0
        for done, block in enumerate(blocks):
            report(done / len(blocks))
            gone, rest = self._blocks.without(block, wanted)
            points += gone
            old += [block] if gone else []
            written += [rest] if rest else []
        if not old:
            return None
        swap_all = self._swap(old, written)

        def swap(session: Session) -> dict[str, Any]:
            told = swap_all(session)
            for block in old:
                after_commit(session, partial(self._blobs.delete, block.key))
            return {**told, "points_erased": points, "blobs_erased": [block.key for block in old]}

        return swap

    def strip(self, session: Session, numbers: Sequence[int]) -> dict[str, Any]:
        """Take the points of some series out of the tail; a compaction that has read them will not commit."""
        wanted = np.array(numbers, np.int32)
        serialize(session, "tail to blocks")
        serialize(session, "tail")
        points = batches = 0
        for tail_id, data in store.batches(session, store.tail_ids(session, 0, _FOR_EVER)):
            held = points_from_ipc(data)
            rest = held.take(~np.isin(held.series, wanted))
            if len(rest) < len(held):
                points, batches = points + len(held) - len(rest), batches + 1
                store.replace_batch(session, tail_id, len(rest), points_to_ipc(rest) if len(rest) else None)
        return {"tail_points_erased": points, "tail_batches_rewritten": batches}

    def strays(self, numbers: Sequence[int]) -> list[str]:
        """Return stored blocks that the manifest does not name, and that hold points of some series.

        Those of whoever was overtaken while writing them; what they were made of is gone, so nobody will name them.
        """
        wanted = np.unique(np.array(numbers, np.int32))
        with self._database.read() as session:
            named = store.block_keys(session)
        keys = [blob.key for blob in self._blobs.list(FOLDER) if blob.key not in named]
        return [key for key in keys if self._blocks.holds(key, wanted)]

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
        return [b.key for b in blocks if not self._blobs.is_whole(b.key, b.sha256, b.size_bytes)]

    def wants_compaction(self, session: Session) -> bool:
        """Say whether the tail is large or old enough for a compaction, or blocks are worth rewriting."""
        batches, points, oldest = store.scored_tail(session, self.horizon(session))
        aged = oldest is not None and now_us() - oldest > self._settings.compact_after_s * MICROS
        if aged or points >= self._settings.compact_after_points or batches >= _MANY_BATCHES:
            return True
        blocks = store.manifest(session)
        return bool(self._mergeable(blocks) or self._divisible(blocks))

    def _read(self, wanted: NumberArray, span: Span, *, with_tail: bool) -> Points:
        def once() -> Points:
            with self._database.read() as session:
                # The tail first: what becomes a block in between is then seen twice, not never.
                tail = self._tail.read(session, wanted, *span) if with_tail else []
                blocks = self._blocks_of(session, wanted, span)
            self._blocks.prefetch(blocks)
            return Points.concat([*(self._blocks.read(b, wanted, span) for b in blocks), *tail]).latest()

        return _while_blocks_move(once) if len(wanted) else Points.empty()

    def _estimate(self, wanted: NumberArray, span: Span, *, with_tail: bool) -> FloatArray:
        """Return about how many points each of the series has in a range."""
        counts = np.zeros(len(wanted))
        if not len(wanted):
            return counts
        with self._database.read() as session:
            if with_tail:
                counts += self._tail.counts(session, wanted, *span)
            blocks = self._blocks_of(session, wanted, span)
        for block in blocks:
            counts += self._blocks.estimate(block, wanted, span)
        return counts

    def _blocks_of(self, session: Session, wanted: NumberArray, span: Span) -> list[store.Held]:
        buckets = [WIDE, *np.unique(wanted // BUCKET_SERIES).tolist()]
        return store.blocks_between(session, *span, buckets, int(wanted[0]), int(wanted[-1]))

    def _mergeable(self, blocks: Sequence[store.Held]) -> list[list[int]]:
        settings = self._settings
        return pick_merges(
            _shapes(blocks),
            fan_in=settings.block_fan_in,
            max_rows=settings.block_max_points,
            enough_rows=settings.block_max_points,
        )

    def _divisible(self, blocks: Sequence[store.Held]) -> list[int]:
        return pick_split(_shapes(blocks), at_rows=self._settings.divide_after_points)

    def _swap(self, old: Sequence[store.Held], new: Sequence[store.BlockRow]) -> Apply:
        keys = [block.key for block in old]

        def swap(session: Session) -> dict[str, Any]:
            store.remove_blocks(session, keys)
            self._name(session, new)
            return {"blocks_rewritten": len(keys), "points_rewritten": sum(block.rows for block in new)}

        return swap

    def _name(self, session: Session, blocks: Sequence[store.BlockRow]) -> None:
        """Put blocks on the manifest, unless whoever wrote them slept so long that they were swept meanwhile."""
        young_us = now_us() - int(self._settings.sweep_after_s * MICROS / 2)
        for block in blocks:  # nobody sweeps young ones: a store far away need not be asked within a transaction
            if block.created_at < young_us and not self._blobs.exists(block.key):
                raise Stale("lease_lost", f"the block {block.key} was swept before it was named")
        session.add_all(blocks)


def _shapes(blocks: Sequence[store.Held]) -> list[Shape]:
    return [Shape(block.bucket, block.sequence, block.rows) for block in blocks]


def _while_blocks_move(read: Callable[[], _Result]) -> _Result:
    """Read with the newest manifest; blocks may be merged away, and swept, between the two."""
    gone: FileNotFoundError | None = None
    for _ in range(3):
        try:
            return read()
        except FileNotFoundError as error:
            gone = error
    raise Broken("bad_blob", f"a block of the history is gone: {gone}") from gone
