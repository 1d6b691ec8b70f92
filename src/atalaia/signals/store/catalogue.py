"""Tables of series and fleets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Integer, String, bindparam, func, select, update
from sqlalchemy import Table as SqlTable
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


TABLE = cast("SqlTable", SeriesRow.__table__)


@dataclass(frozen=True, slots=True)
class Known:
    """The running statistics of a series, as plain values: the follower reads and writes thousands at a time."""

    number: int
    series_id: str
    received: int
    first_ts: int | None
    last_ts: int | None
    count: int
    mean: float
    m2: float
    last_value: float | None
    step_us: float | None


_KNOWN = tuple(field.name for field in fields(Known))


def numbers_of(session: Session, series_ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those of `series_ids` that are known."""
    found: dict[str, int] = {}
    for chunk in chunks(series_ids):
        query = select(SeriesRow.series_id, SeriesRow.number).where(SeriesRow.series_id.in_(chunk))
        found.update(dict(session.execute(query).tuples().all()))
    return found


def known_of_numbers(session: Session, numbers: Sequence[int]) -> list[Known]:
    """Return what is known of the series with the given numbers, in order of number."""
    columns = [TABLE.c[name] for name in _KNOWN]
    rows = [
        Known(*row)
        for part in chunks(numbers)
        for row in session.execute(select(*columns).where(SeriesRow.number.in_(part)))
    ]
    return sorted(rows, key=lambda known: known.number)


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
        # LIKE would ignore the case of letters on SQLite.
        query = query.where(func.substr(SeriesRow.series_id, 1, len(prefix)) == prefix)
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


def save_known(session: Session, known: Iterable[Known]) -> None:
    """Set the running statistics of series."""
    columns: dict[str, Any] = {name: bindparam(name) for name in _KNOWN if name not in ("number", "series_id")}
    statement = update(TABLE).where(TABLE.c.number == bindparam("at_number")).values(columns)
    rows = [{"at_number": one.number, **{name: getattr(one, name) for name in columns}} for one in known]
    session.connection().execute(statement, rows)


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
