"""What was scored of each series, by the hour: for warm loading, and for how a model does.

The counts of 4,096 series are one row: at 285,000 series an hour is 70 rows.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Integer, LargeBinary, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.kit.database import Table, serialize, upsert

HOUR_US = 3_600_000_000
PAGE = 4_096
"""Series, by number, that share a row."""
Counts = NDArray[np.int64]
"""int64[PAGE, 2]: points scored, and those of them over the threshold."""


class ScoredRow(Table):
    """Counts of one hour, of the series of one page."""

    __tablename__ = "scored_hours"

    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, index=True)
    counts: Mapped[bytes] = mapped_column(LargeBinary)


def add_counts(session: Session, fresh: Mapping[tuple[int, int], Counts]) -> None:
    """Add to the counts of each (page, hour)."""
    serialize(session, "scored hours")
    known: dict[tuple[int, int], Counts] = {}
    for hour in {hour for _, hour in fresh}:
        pages = [page for page, of_hour in fresh if of_hour == hour]
        query = select(ScoredRow.page, ScoredRow.counts).where(ScoredRow.hour == hour, ScoredRow.page.in_(pages))
        for page, packed in session.execute(query).tuples():
            known[page, hour] = _unpacked(packed)
    rows: list[dict[str, int | bytes]] = []
    for (page, hour), counts in fresh.items():
        total = counts + known.get((page, hour), 0)
        rows.append({"page": page, "hour": hour, "counts": zlib.compress(total.tobytes(), 1)})
    upsert(session, ScoredRow, rows, ("page", "hour"))


def counts_since(session: Session, number: int, since_us: int) -> tuple[int, int]:
    """Return how many points of a series were scored in the hours since then, and how many were anomalous."""
    query = select(ScoredRow.counts).where(ScoredRow.page == number // PAGE, ScoredRow.hour > since_us - HOUR_US)
    sums = np.zeros(2, np.int64)
    for packed in session.scalars(query):
        sums += _unpacked(packed)[number % PAGE]
    return int(sums[0]), int(sums[1])


def scored_since(session: Session, since_us: int) -> dict[int, Counts]:
    """Return the counts of each page in the hours since then."""
    found: dict[int, Counts] = {}
    query = select(ScoredRow.page, ScoredRow.counts).where(ScoredRow.hour > since_us - HOUR_US)
    for page, packed in session.execute(query).tuples():
        found[page] = _unpacked(packed) + found.get(page, 0)
    return found


def erase_counts(session: Session, numbers: Sequence[int]) -> int:
    """Set what was scored of some series to nothing; return how many hours had anything."""
    serialize(session, "scored hours")
    rows: list[dict[str, int | bytes]] = []
    for page in sorted({number // PAGE for number in numbers}):
        places = [number % PAGE for number in numbers if number // PAGE == page]
        query = select(ScoredRow.hour, ScoredRow.counts).where(ScoredRow.page == page)
        for hour, packed in session.execute(query).tuples():
            counts = _unpacked(packed).copy()
            if counts[places].any():
                counts[places] = 0
                rows.append({"page": page, "hour": hour, "counts": zlib.compress(counts.tobytes(), 1)})
    upsert(session, ScoredRow, rows, ("page", "hour"))
    return len(rows)


def forget_counts(session: Session, older_than_us: int) -> None:
    """Delete the counts of hours before the given moment."""
    session.execute(delete(ScoredRow).where(ScoredRow.hour < older_than_us))


def _unpacked(packed: bytes) -> Counts:
    return np.frombuffer(zlib.decompress(packed), np.int64).reshape(PAGE, 2)
