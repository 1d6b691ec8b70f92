"""Tables of series and fleets."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    case,
    cast,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import from_us
from atalaia.core.series import Fleet, Series, Statistics
from atalaia.kit.database import AutoId, Table, chunks
from atalaia.signals.statistics import SeriesStatistics

_BLANK = "erased IS NOT NULL"


class FleetRow(Table):
    """Series that are trained together."""

    __tablename__ = "fleets"

    fleet_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    source: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[int] = mapped_column(BigInteger)


class SeriesRow(Table):
    """A series, its labels and its fleet.

    One that was erased is a blank row: its number stays taken, because other processes may still know it. `erased`
    counts erasures, so that they can ask for those since they last did.
    """

    __tablename__ = "series"
    __table_args__ = (
        Index("series_erased", "erased", sqlite_where=text(_BLANK), postgresql_where=text(_BLANK)),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    series_id: Mapped[str] = mapped_column(String(256), unique=True)
    fleet_id: Mapped[str | None] = mapped_column(ForeignKey("fleets.fleet_id"), index=True)
    labels: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger)
    erased: Mapped[int | None] = mapped_column(BigInteger)


_IS_THERE = SeriesRow.erased.is_(None)


def numbers_of(session: Session, series_ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those of `series_ids` that are known."""
    found: dict[str, int] = {}
    for chunk in chunks(series_ids):
        query = select(SeriesRow.series_id, SeriesRow.number).where(SeriesRow.series_id.in_(chunk), _IS_THERE)
        found.update(dict(session.execute(query).tuples().all()))
    return found


def labels_of(session: Session, series_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the labels of those of `series_ids` that are known."""
    found: dict[str, dict[str, str]] = {}
    for chunk in chunks(series_ids):
        query = select(SeriesRow.series_id, SeriesRow.labels).where(SeriesRow.series_id.in_(chunk), _IS_THERE)
        found.update(dict(session.execute(query).tuples().all()))
    return found


def label_counts(session: Session, labels: Sequence[tuple[str, str]]) -> tuple[list[int], int]:
    """Return how many series have each of the labels, and how many series there are, in one pass over all."""
    columns = [func.coalesce(func.sum(case((_has(*label), 1), else_=0)), 0) for label in labels]
    total, *counts = session.execute(select(func.count(), *columns).select_from(SeriesRow).where(_IS_THERE)).one()
    return [int(count) for count in counts], int(total)


def labelled(session: Session, name: str, value: str, limit: int) -> list[int]:
    """Return the numbers of the first series that have a label."""
    query = select(SeriesRow.number).where(_has(name, value), _IS_THERE).order_by(SeriesRow.number)
    return list(session.scalars(query.limit(limit)))


def numbers_where(session: Session, *, fleet_id: str | None, labels: Mapping[str, str]) -> list[int]:
    """Return the numbers of the series of a fleet, or of those that have all of some labels."""
    query = select(SeriesRow.number).where(_IS_THERE, *(_has(*label) for label in labels.items()))
    return list(session.scalars(query if fleet_id is None else query.where(SeriesRow.fleet_id == fleet_id)))


def values_of(session: Session, name: str) -> dict[str, int]:
    """Return the values of a label, and how many series have each; series without it are not read."""
    written = cast(SeriesRow.labels, Text)
    is_there = func.replace(written, f"{json.dumps(name)}: ", "") != written
    query = select(SeriesRow.labels).where(is_there, _IS_THERE).execution_options(yield_per=5_000)
    return dict(Counter(value for labels in session.scalars(query) if (value := labels.get(name)) is not None))


def _has(name: str, value: str) -> ColumnElement[bool]:
    """Return the condition that a series has a label.

    Both databases keep the text that was written, in which a name and its value stand nowhere but as a label:
    inside a text the quotes would be escaped. A path into the JSON is slower, and on SQLite finds not every name.
    """
    written = cast(SeriesRow.labels, Text)
    return func.replace(written, json.dumps({name: value})[1:-1], "") != written


def each_number(session: Session) -> Iterator[tuple[str, int]]:
    """Yield the id and the number of each series; a few thousand are in memory at a time."""
    query = select(SeriesRow.series_id, SeriesRow.number).where(_IS_THERE).execution_options(yield_per=5_000)
    for row in session.execute(query):
        yield row[0], row[1]


def highest_number(session: Session) -> int:
    """Return the highest number that any series has, 0 without any."""
    return session.scalar(select(func.max(SeriesRow.number))) or 0


def names_of(session: Session, numbers: Sequence[int]) -> dict[int, str]:
    """Return the ids of the series with the given numbers."""
    found: dict[int, str] = {}
    for chunk in chunks(numbers):
        query = select(SeriesRow.number, SeriesRow.series_id).where(SeriesRow.number.in_(chunk), _IS_THERE)
        found.update(dict(session.execute(query).tuples().all()))
    return found


def members_of(session: Session, fleet_id: str) -> list[str]:
    """Return the ids of the series of a fleet, sorted."""
    query = select(SeriesRow.series_id).where(SeriesRow.fleet_id == fleet_id).order_by(SeriesRow.series_id)
    return list(session.scalars(query))


def joined(session: Session, after: int, last: int, fleet_id: str | None) -> list[tuple[int, str, str]]:
    """Return number, id and fleet of the series with numbers in (after, last] that have a fleet, or that one."""
    columns = select(SeriesRow.number, SeriesRow.series_id, SeriesRow.fleet_id)
    query = columns.where(SeriesRow.number > after, SeriesRow.number <= last, _IS_THERE)
    query = query.where(SeriesRow.fleet_id == fleet_id if fleet_id is not None else SeriesRow.fleet_id.is_not(None))
    found = session.execute(query.order_by(SeriesRow.number)).tuples()
    return [(number, series_id, fleet or "") for number, series_id, fleet in found]


def series_page(
    session: Session, *, after: str | None, limit: int, fleet_id: str | None, prefix: str | None
) -> list[SeriesRow]:
    """Return series in order of id, from behind `after`."""
    query = select(SeriesRow).where(_IS_THERE).order_by(SeriesRow.series_id).limit(limit)
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


def fleetless_parts(session: Session, width: int) -> list[int]:
    """Return which ranges of `width` numbers hold series without a fleet."""
    part = SeriesRow.number // width
    return list(
        session.scalars(select(part).where(SeriesRow.fleet_id.is_(None), _IS_THERE).distinct().order_by(part))
    )


def assign_range(session: Session, fleet_id: str, first: int, end: int) -> None:
    """Put the series with numbers in [first, end) that have no fleet into one."""
    alone = (SeriesRow.fleet_id.is_(None), _IS_THERE, SeriesRow.number >= first, SeriesRow.number < end)
    session.execute(update(SeriesRow).where(*alone).values(fleet_id=fleet_id))


def fleet_ids(session: Session) -> list[str]:
    """Return the fleets that have members, in order."""
    query = select(SeriesRow.fleet_id).where(SeriesRow.fleet_id.is_not(None)).distinct()
    return sorted(fleet for fleet in session.scalars(query) if fleet is not None)


def erased_since(session: Session, erasure: int) -> list[tuple[int, int]]:
    """Return the numbers of series that became blank after an erasure, each with the erasure in which it did."""
    query = select(SeriesRow.number, SeriesRow.erased).where(SeriesRow.erased > erasure)
    return [(number, counted or 0) for number, counted in session.execute(query).tuples()]


def blank(session: Session, numbers: Sequence[int]) -> None:
    """Leave nothing of series but their numbers; whoever calls this holds the catalogue."""
    erasure = (session.scalar(select(func.max(SeriesRow.erased)).where(SeriesRow.erased.is_not(None))) or 0) + 1
    for number in numbers:  # the name is one that no sender can give: control characters are refused
        nothing: dict[str, Any] = {"series_id": f"\x7f{number}", "fleet_id": None, "labels": {}, "created_at": 0}
        session.execute(update(SeriesRow).where(SeriesRow.number == number).values(**nothing, erased=erasure))


def remove_empty_fleets(session: Session, fleet_ids: Iterable[str]) -> list[str]:
    """Remove those of the fleets that have no member; return them."""
    gone = [one for one in fleet_ids if not members_of(session, one)]
    for chunk in chunks(gone):
        session.execute(delete(FleetRow).where(FleetRow.fleet_id.in_(chunk)))
    return gone


def series_of(row: SeriesRow, known: SeriesStatistics) -> Series:
    """Return the series that `row` keeps, with what is known of its points."""
    return Series(
        series_id=row.series_id,
        number=row.number,
        fleet_id=row.fleet_id,
        first_at=None if known.first_ts is None else from_us(known.first_ts),
        last_at=None if known.last_ts is None else from_us(known.last_ts),
        received=known.received,
        step_s=known.step_us / 1e6 if known.step_us else None,
        statistics=Statistics(known.count, known.mean, known.std, known.last_value),
        labels=row.labels,
    )
