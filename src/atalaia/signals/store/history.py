"""Tables of history: the tail of accepted batches, and the manifest of blocks."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.errors import Stale
from atalaia.kit.database import AutoId, Table, chunks


class TailRow(Table):
    """One accepted batch of points; the points themselves are a `TailPointsRow`.

    They are apart because a row is written anew when one of its columns changes, and marking a batch as scored must
    not write all its points once more.
    """

    __tablename__ = "tail"
    __table_args__ = (Index("tail_scored", "scored", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    received_at: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    first_ts: Mapped[int] = mapped_column(BigInteger)
    last_ts: Mapped[int] = mapped_column(BigInteger)
    scored: Mapped[bool] = mapped_column(Boolean, default=False)
    round: Mapped[int | None] = mapped_column(BigInteger)


class TailPointsRow(Table):
    """The points of one batch, as Arrow bytes."""

    __tablename__ = "tail_points"

    tail_id: Mapped[int] = mapped_column(ForeignKey("tail.id"), primary_key=True, autoincrement=False)
    points: Mapped[bytes] = mapped_column(LargeBinary)


class Batch(NamedTuple):
    """One accepted batch, whole."""

    id: int
    rows: int
    round: int | None
    points: bytes


class BlockRow(Table):
    """One immutable Parquet file. Where two blocks hold the same point, the higher `sequence` wins.

    `bucket` is `rules.WIDE` where the block may hold all series.
    """

    __tablename__ = "blocks"
    __table_args__ = (UniqueConstraint("bucket", "sequence"),)

    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    bucket: Mapped[int] = mapped_column(Integer)
    sequence: Mapped[int] = mapped_column(BigInteger)
    first_series: Mapped[int] = mapped_column(Integer)
    last_series: Mapped[int] = mapped_column(Integer)
    first_ts: Mapped[int] = mapped_column(BigInteger)
    last_ts: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Held(NamedTuple):
    """A block as the manifest names it."""

    key: str
    bucket: int
    sequence: int
    first_series: int
    last_series: int
    first_ts: int
    last_ts: int
    rows: int
    sha256: str


_HELD = tuple(getattr(BlockRow, name) for name in Held._fields)
_FEW = 16


def add_batch(session: Session, head: TailRow, points: bytes) -> None:
    """Add a batch to the tail."""
    session.add(head)
    session.flush()
    session.add(TailPointsRow(tail_id=head.id, points=points))


def unscored(session: Session, max_rows: int) -> list[Batch]:
    """Return the oldest batches that were not scored, at most `max_rows` points of them, but at least one."""
    heads = session.execute(
        select(TailRow.id, TailRow.rows).where(TailRow.scored.is_(False)).order_by(TailRow.id).limit(1_000)
    ).tuples()
    return _batches(session, _until(heads, max_rows))


def waiting_ids(session: Session, after_round: int) -> list[int]:
    """Return the batches that were not scored, or in a later round."""
    unscored_ids = session.scalars(select(TailRow.id).where(TailRow.scored.is_(False)))
    later = session.scalars(select(TailRow.id).where(TailRow.scored.is_(True), TailRow.round > after_round))
    return [*unscored_ids, *later]


def replayable(session: Session, after_round: int, max_rows: int) -> list[Batch]:
    """Return the batches of the next rounds of scoring in their order.

    Rounds stay whole: they hold at most `max_rows` points together, but at least one is returned.
    """
    later = (TailRow.scored.is_(True), TailRow.round > after_round)
    query = select(TailRow.round, TailRow.id, TailRow.rows).where(*later).order_by(TailRow.round, TailRow.id)
    ids: list[int] = []
    total = 0
    for _, of_round in groupby(session.execute(query).tuples(), key=lambda head: head[0]):
        heads = list(of_round)
        total += sum(rows for *_, rows in heads)
        if ids and total > max_rows:
            break
        ids += [tail_id for _, tail_id, _ in heads]
    return sorted(_batches(session, ids), key=lambda batch: (batch.round or 0, batch.id))


def compactable(session: Session, max_rows: int, upto_round: int | None = None) -> list[Batch]:
    """Return the oldest batches that were scored, at most `max_rows` points of them, but at least one."""
    query = select(TailRow.id, TailRow.rows).where(*_done(upto_round)).order_by(TailRow.id).limit(50_000)
    return _batches(session, _until(session.execute(query).tuples(), max_rows))


def mark_scored(session: Session, ids: Sequence[int], in_round: int = 0) -> None:
    """Mark batches as scored in a round.

    Raises
    ------
    Stale
        When another process was faster with one of them.
    """
    changed = 0
    for chunk in chunks(ids):
        waiting = (TailRow.id.in_(chunk), TailRow.scored.is_(False))
        changed += _rowcount(session.execute(update(TailRow).where(*waiting).values(scored=True, round=in_round)))
    if changed != len(ids):
        raise Stale("lease_lost", "another process scored these points")


def remove_batches(session: Session, ids: Sequence[int]) -> None:
    """Delete batches from the tail.

    Raises
    ------
    Stale
        When another process was faster with one of them.
    """
    gone = 0
    for chunk in chunks(ids):
        session.execute(delete(TailPointsRow).where(TailPointsRow.tail_id.in_(chunk)))
        gone += _rowcount(session.execute(delete(TailRow).where(TailRow.id.in_(chunk))))
    if gone != len(ids):
        raise Stale("lease_lost", "another process compacted these points")


def check_unchanged(session: Session, read: Sequence[Batch]) -> None:
    """Make sure that batches are as they were read: an erasure takes points out of them.

    Raises
    ------
    Stale
        When one of them is not.
    """
    rows: dict[int, int] = {}
    for chunk in chunks([batch.id for batch in read]):
        query = select(TailRow.id, TailRow.rows).where(TailRow.id.in_(chunk))
        rows.update(dict(session.execute(query).tuples().all()))
    if any(rows.get(batch.id) != batch.rows for batch in read):
        raise Stale("lease_lost", "another process took points out of these batches")


def replace_batch(session: Session, tail_id: int, rows: int, points: bytes | None) -> None:
    """Put other points in the place of a batch, or remove it."""
    if points is None:
        session.execute(delete(TailPointsRow).where(TailPointsRow.tail_id == tail_id))
        session.execute(delete(TailRow).where(TailRow.id == tail_id))
        return
    session.execute(update(TailPointsRow).where(TailPointsRow.tail_id == tail_id).values(points=points))
    session.execute(update(TailRow).where(TailRow.id == tail_id).values(rows=rows))


def remove_blocks(session: Session, keys: Sequence[str]) -> None:
    """Take blocks off the manifest.

    Raises
    ------
    Stale
        When another process was faster with one of them.
    """
    gone = sum(
        _rowcount(session.execute(delete(BlockRow).where(BlockRow.key.in_(chunk)))) for chunk in chunks(keys)
    )
    if gone != len(keys):
        raise Stale("lease_lost", "another process rewrote these blocks")


def tail_ids(session: Session, start_us: int, end_us: int) -> list[int]:
    """Return the batches that may hold points in [start, end), oldest first."""
    query = select(TailRow.id).where(TailRow.last_ts >= start_us, TailRow.first_ts < end_us)
    return list(session.scalars(query.order_by(TailRow.id)))


def batches(session: Session, ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the points of those batches that are there, a few in memory at a time."""
    for start in range(0, len(ids), _FEW):
        some = TailPointsRow.tail_id.in_(ids[start : start + _FEW])
        query = select(TailPointsRow.tail_id, TailPointsRow.points).where(some)
        yield from session.execute(query.order_by(TailPointsRow.tail_id)).tuples()


def blocks_between(
    session: Session, start_us: int, end_us: int, buckets: Iterable[int], first: int, last: int
) -> list[Held]:
    """Return the blocks of some buckets that may hold points of series `first` to `last` in [start, end)."""
    query = select(*_HELD).where(
        BlockRow.bucket.in_(buckets),
        BlockRow.last_ts >= start_us,
        BlockRow.first_ts < end_us,
        BlockRow.last_series >= first,
        BlockRow.first_series <= last,
    )
    return [Held(*row) for row in session.execute(query.order_by(BlockRow.sequence))]


def manifest(session: Session) -> list[Held]:
    """Return all blocks, oldest first."""
    return [Held(*row) for row in session.execute(select(*_HELD).order_by(BlockRow.sequence))]


def has_bucket(session: Session, bucket: int) -> bool:
    """Say whether there are blocks of a bucket."""
    return session.scalar(select(BlockRow.key).where(BlockRow.bucket == bucket).limit(1)) is not None


def all_blocks(session: Session) -> list[BlockRow]:
    """Return the manifest, oldest first."""
    return list(session.scalars(select(BlockRow).order_by(BlockRow.sequence)))


def block_keys(session: Session) -> set[str]:
    """Return the keys of all blocks of the manifest."""
    return set(session.scalars(select(BlockRow.key)))


def scored_tail(session: Session, upto_round: int | None = None) -> tuple[int, int, int | None]:
    """Return how many scored batches and points the tail holds, and when the oldest of them was received."""
    query = select(func.count(), func.coalesce(func.sum(TailRow.rows), 0), func.min(TailRow.received_at))
    count, points, oldest = session.execute(query.where(*_done(upto_round))).tuples().one()
    return count, int(points), oldest


def lag(session: Session) -> int:
    """Return how many batches wait to be scored."""
    return session.scalar(select(func.count()).select_from(TailRow).where(TailRow.scored.is_(False))) or 0


def _done(upto_round: int | None) -> list[Any]:
    """Return what says that a batch may become part of a block."""
    scored = TailRow.scored.is_(True)
    return [scored] if upto_round is None else [scored, TailRow.round <= upto_round]


def _until(heads: Any, max_rows: int) -> list[int]:
    ids: list[int] = []
    total = 0
    for tail_id, rows in heads:
        if ids and total + rows > max_rows:
            break
        ids.append(tail_id)
        total += rows
    return ids


def _batches(session: Session, ids: Sequence[int]) -> list[Batch]:
    query = select(TailRow.id, TailRow.rows, TailRow.round, TailPointsRow.points).join(
        TailPointsRow, TailPointsRow.tail_id == TailRow.id
    )
    return [
        Batch(*row)
        for chunk in chunks(ids)
        for row in session.execute(query.where(TailRow.id.in_(chunk)).order_by(TailRow.id)).tuples()
    ]


def _rowcount(result: Any) -> int:
    cursor: CursorResult[Any] = result
    return cursor.rowcount
