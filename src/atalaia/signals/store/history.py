"""Tables of history: the tail of accepted batches, and the manifest of blocks."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, String, delete, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, load_only, mapped_column

from atalaia.core.errors import Stale
from atalaia.kit.database import AutoId, Table
from atalaia.signals.store.catalogue import chunks


class TailRow(Table):
    """One accepted batch of points, as Arrow bytes."""

    __tablename__ = "tail"
    __table_args__ = (Index("tail_scored", "scored", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    received_at: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    first_ts: Mapped[int] = mapped_column(BigInteger)
    last_ts: Mapped[int] = mapped_column(BigInteger)
    scored: Mapped[bool] = mapped_column(Boolean, default=False)
    points: Mapped[bytes] = mapped_column(LargeBinary)


class BlockRow(Table):
    """One immutable Parquet file. Where two blocks hold the same point, the higher `sequence` wins."""

    __tablename__ = "blocks"

    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, unique=True)
    first_ts: Mapped[int] = mapped_column(BigInteger)
    last_ts: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


def unscored(session: Session, max_rows: int) -> list[TailRow]:
    """Return the oldest batches that were not scored, at most `max_rows` points of them, but at least one."""
    heads = session.execute(
        select(TailRow.id, TailRow.rows).where(TailRow.scored.is_(False)).order_by(TailRow.id).limit(1_000)
    ).tuples()
    return _batches(session, _until(heads, max_rows))


def all_unscored(session: Session) -> Iterator[TailRow]:
    """Yield the batches that were not scored, the one that reaches furthest first."""
    query = select(TailRow).where(TailRow.scored.is_(False)).order_by(TailRow.last_ts.desc())
    yield from session.scalars(query.execution_options(yield_per=50))


def compactable(session: Session, max_rows: int) -> list[TailRow]:
    """Return the oldest batches that were scored, at most `max_rows` points of them, but at least one."""
    heads = session.execute(
        select(TailRow.id, TailRow.rows).where(TailRow.scored.is_(True)).order_by(TailRow.id).limit(50_000)
    ).tuples()
    return _batches(session, _until(heads, max_rows))


def mark_scored(session: Session, ids: Sequence[int]) -> None:
    """Mark batches as scored.

    Raises
    ------
    Stale
        When another process was faster with one of them.
    """
    changed = 0
    for chunk in chunks(ids):
        waiting = (TailRow.id.in_(chunk), TailRow.scored.is_(False))
        changed += _rowcount(session.execute(update(TailRow).where(*waiting).values(scored=True)))
    if changed != len(ids):
        raise Stale("lease_lost", "another process scored these points")


def remove_batches(session: Session, ids: Sequence[int]) -> None:
    """Delete batches from the tail.

    Raises
    ------
    Stale
        When another process was faster with one of them.
    """
    gone = sum(_rowcount(session.execute(delete(TailRow).where(TailRow.id.in_(chunk)))) for chunk in chunks(ids))
    if gone != len(ids):
        raise Stale("lease_lost", "another process compacted these points")


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


def tail_between(session: Session, start_us: int, end_us: int) -> list[TailRow]:
    """Return the batches that may hold points in [start, end), oldest first."""
    query = select(TailRow).where(TailRow.last_ts >= start_us, TailRow.first_ts < end_us)
    return list(session.scalars(query.order_by(TailRow.id)))


def blocks_between(session: Session, start_us: int, end_us: int) -> list[BlockRow]:
    """Return the blocks that may hold points in [start, end), oldest first."""
    query = select(BlockRow).where(BlockRow.last_ts >= start_us, BlockRow.first_ts < end_us)
    return list(session.scalars(query.order_by(BlockRow.sequence)))


def all_blocks(session: Session) -> list[BlockRow]:
    """Return the manifest, oldest first."""
    return list(session.scalars(select(BlockRow).order_by(BlockRow.sequence)))


def block_keys(session: Session) -> set[str]:
    """Return the keys of all blocks of the manifest."""
    return set(session.scalars(select(BlockRow.key)))


def scored_tail(session: Session) -> tuple[int, int | None]:
    """Return how many scored points the tail holds, and when the oldest of them was received."""
    query = select(func.coalesce(func.sum(TailRow.rows), 0), func.min(TailRow.received_at))
    points, oldest = session.execute(query.where(TailRow.scored.is_(True))).tuples().one()
    return int(points), oldest


def lag(session: Session) -> int:
    """Return how many batches wait to be scored."""
    return session.scalar(select(func.count()).select_from(TailRow).where(TailRow.scored.is_(False))) or 0


def _until(heads: Any, max_rows: int) -> list[int]:
    ids: list[int] = []
    total = 0
    for tail_id, rows in heads:
        if ids and total + rows > max_rows:
            break
        ids.append(tail_id)
        total += rows
    return ids


def _batches(session: Session, ids: Sequence[int]) -> list[TailRow]:
    every = load_only(TailRow.id, TailRow.rows, TailRow.points, TailRow.received_at)
    return [
        row
        for chunk in chunks(ids)
        for row in session.scalars(select(TailRow).options(every).where(TailRow.id.in_(chunk)).order_by(TailRow.id))
    ]


def _rowcount(result: Any) -> int:
    cursor: CursorResult[Any] = result
    return cursor.rowcount
