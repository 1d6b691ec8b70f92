"""Tables of series and fleets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Integer, String, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import from_us
from atalaia.core.series import Fleet, Series, Statistics
from atalaia.kit.database import AutoId, Table

_CHUNK = 500


class FleetRow(Table):
    """Series that are trained together."""

    __tablename__ = "fleets"

    fleet_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    source: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[int] = mapped_column(BigInteger)


class SeriesRow(Table):
    """A series and its running statistics (the fields of `algorithms.running.Running`)."""

    __tablename__ = "series"
    __table_args__ = {"sqlite_autoincrement": True}

    number: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    series_id: Mapped[str] = mapped_column(String(256), unique=True)
    fleet_id: Mapped[str | None] = mapped_column(ForeignKey("fleets.fleet_id"), index=True)
    labels: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    first_ts: Mapped[int | None] = mapped_column(BigInteger)
    last_ts: Mapped[int | None] = mapped_column(BigInteger)
    count: Mapped[int] = mapped_column(Integer, default=0)
    mean: Mapped[float] = mapped_column(Float, default=0.0)
    m2: Mapped[float] = mapped_column(Float, default=0.0)
    last_value: Mapped[float | None] = mapped_column(Float)
    step_us: Mapped[float | None] = mapped_column(Float)


def numbers_of(session: Session, series_ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those of `series_ids` that are known."""
    found: dict[str, int] = {}
    for chunk in chunks(series_ids):
        query = select(SeriesRow.series_id, SeriesRow.number).where(SeriesRow.series_id.in_(chunk))
        found.update(dict(session.execute(query).tuples().all()))
    return found


def rows_of_numbers(session: Session, numbers: Sequence[int]) -> list[SeriesRow]:
    """Return the rows of the given numbers, in order of number."""
    rows = [
        row
        for part in chunks(numbers)
        for row in session.scalars(select(SeriesRow).where(SeriesRow.number.in_(part)))
    ]
    return sorted(rows, key=lambda row: row.number)


def members_of(session: Session, fleet_id: str) -> list[str]:
    """Return the ids of the series of a fleet, sorted."""
    query = select(SeriesRow.series_id).where(SeriesRow.fleet_id == fleet_id).order_by(SeriesRow.series_id)
    return list(session.scalars(query))


def series_page(
    session: Session, *, after: str | None, limit: int, fleet_id: str | None, prefix: str | None
) -> list[SeriesRow]:
    """Return series in order of id, from behind `after`."""
    query = select(SeriesRow).order_by(SeriesRow.series_id).limit(limit)
    if after is not None:
        query = query.where(SeriesRow.series_id > after)
    if fleet_id is not None:
        query = query.where(SeriesRow.fleet_id == fleet_id)
    if prefix:
        query = query.where(
            func.substr(SeriesRow.series_id, 1, len(prefix)) == prefix
        )  # LIKE ignores case on SQLite
    return list(session.scalars(query))


def fleets_page(session: Session, *, after: str | None, limit: int) -> list[Fleet]:
    """Return fleets in order of id, from behind `after`."""
    count = func.count(SeriesRow.number)
    query = select(FleetRow.fleet_id, FleetRow.source, count).outerjoin(SeriesRow).group_by(FleetRow.fleet_id)
    query = query.order_by(FleetRow.fleet_id).limit(limit)
    if after is not None:
        query = query.where(FleetRow.fleet_id > after)
    return [Fleet(*row) for row in session.execute(query).tuples()]


def fleet_sizes(session: Session) -> dict[str, int]:
    """Return how many series each fleet holds."""
    query = select(SeriesRow.fleet_id, func.count()).group_by(SeriesRow.fleet_id)
    return {fleet: size for fleet, size in session.execute(query).tuples() if fleet is not None}


def assign(session: Session, fleet_id: str, series_ids: Sequence[str]) -> None:
    """Make exactly `series_ids` the members of a fleet."""
    session.execute(update(SeriesRow).where(SeriesRow.fleet_id == fleet_id).values(fleet_id=None))
    for chunk in chunks(series_ids):
        session.execute(update(SeriesRow).where(SeriesRow.series_id.in_(chunk)).values(fleet_id=fleet_id))


def save_rows(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Set columns of series, each row naming its `number`."""
    session.execute(update(SeriesRow), list(rows))


def series_of(row: SeriesRow) -> Series:
    """Return the series that `row` keeps."""
    std = float(np.sqrt(row.m2 / (row.count - 1))) if row.count > 1 else 0.0
    return Series(
        series_id=row.series_id,
        number=row.number,
        fleet_id=row.fleet_id,
        first_at=None if row.first_ts is None else from_us(row.first_ts),
        last_at=None if row.last_ts is None else from_us(row.last_ts),
        received=row.received,
        step_s=row.step_us / 1e6 if row.step_us else None,
        statistics=Statistics(row.count, row.mean, std, row.last_value),
        labels=row.labels,
    )


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yield parts of `items` that fit into one IN clause on every database."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
