"""Tables of what moves thresholds: budgets of fleets, and changes for single series."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Integer, String, case, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from atalaia.core.anomalies import FeedbackKind
from atalaia.kit.database import AutoId, Table, chunks, insert_missing
from atalaia.signals.store.anomalies import LAPSES, PENDING, AnomalyRow, FeedbackRow
from atalaia.signals.store.catalogue import SeriesRow


class BudgetRow(Table):
    """How many false alarms a fleet may give: a number a day, or a sensitivity; one of both is set.

    `correction` is by how much all thresholds of the fleet are moved beside that, since `corrected_at`: the alarms
    that people really got were too many or too few.
    """

    __tablename__ = "alarm_budgets"

    fleet_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    per_day: Mapped[float | None] = mapped_column(Float)
    sensitivity: Mapped[float | None] = mapped_column(Float)
    since: Mapped[int] = mapped_column(BigInteger)
    correction: Mapped[float] = mapped_column(Float)
    corrected_at: Mapped[int] = mapped_column(BigInteger)


class ChangeRow(Table):
    """By which factor the threshold of a series was moved, and why."""

    __tablename__ = "threshold_changes"

    id: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    number: Mapped[int] = mapped_column(ForeignKey("series.number"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    factor: Mapped[float] = mapped_column(Float)
    anomaly_id: Mapped[str | None] = mapped_column(String(32))
    at: Mapped[int] = mapped_column(BigInteger)
    undone_at: Mapped[int | None] = mapped_column(BigInteger)


class RevisionRow(Table):
    """Counts all changes of both tables, so that a look at one row says whether there is anything new."""

    __tablename__ = "threshold_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


def revision(session: Session) -> int:
    """Return how often budgets and thresholds were changed."""
    return session.scalar(select(RevisionRow.value).where(RevisionRow.id == 1)) or 0


def changed(session: Session) -> None:
    """Count a change, in the transaction that makes it: others that change something wait for its end."""
    insert_missing(session, RevisionRow, [{"id": 1, "value": 0}], ("id",))
    session.execute(update(RevisionRow).where(RevisionRow.id == 1).values(value=RevisionRow.value + 1))


def budgets(session: Session) -> list[BudgetRow]:
    """Return all budgets, in order of fleet."""
    return list(session.scalars(select(BudgetRow).order_by(BudgetRow.fleet_id)))


def changes_of(session: Session, number: int) -> list[ChangeRow]:
    """Return the changes of one series, oldest first, undone ones among them."""
    return list(session.scalars(select(ChangeRow).where(ChangeRow.number == number).order_by(ChangeRow.id)))


def all_changes(session: Session) -> list[tuple[int, float]]:
    """Return number and factor of all changes that hold, oldest first."""
    query = select(ChangeRow.number, ChangeRow.factor).where(ChangeRow.undone_at.is_(None)).order_by(ChangeRow.id)
    return list(session.execute(query).tuples())


def numbers_in(session: Session, fleet_id: str) -> list[int]:
    """Return the numbers of the series of a fleet, sorted."""
    query = select(SeriesRow.number).where(SeriesRow.fleet_id == fleet_id).order_by(SeriesRow.number)
    return list(session.scalars(query))


def opened_by_day(session: Session, fleet_id: str, ends: Sequence[int]) -> list[int]:
    """Return how many anomalies of a fleet opened between each two of some moments, in order of time.

    Those that people found useful are left out: they were no false alarms; and those of series that fell silent or
    flat, which have no threshold. What is counted is the time at which a point was measured.
    """
    said = aliased(FeedbackRow)
    last = select(func.max(said.id)).where(said.anomaly_id == FeedbackRow.anomaly_id).scalar_subquery()
    is_useful = select(FeedbackRow.id).where(
        FeedbackRow.anomaly_id == AnomalyRow.id,
        FeedbackRow.id == last,
        FeedbackRow.kind == FeedbackKind.USEFUL.value,
    )
    sums = [
        func.sum(case(((AnomalyRow.opened_at >= start) & (AnomalyRow.opened_at < end), 1), else_=0))
        for start, end in zip(ends, ends[1:], strict=False)
    ]
    query = select(*sums).join(SeriesRow, SeriesRow.number == AnomalyRow.number)
    query = query.where(
        SeriesRow.fleet_id == fleet_id,
        AnomalyRow.state != PENDING,
        AnomalyRow.part.not_in(LAPSES),
        AnomalyRow.opened_at >= ends[0],
        AnomalyRow.opened_at < ends[-1],
        ~is_useful.exists(),
    )
    return [int(count or 0) for count in session.execute(query).one()]


def erase(session: Session, numbers: Sequence[int], fleet_ids: Sequence[str]) -> int:
    """Delete what was changed for some series, and budgets of fleets that are no more; return how many rows."""
    count = 0
    for chunk in chunks(numbers):
        gone: Any = session.execute(delete(ChangeRow).where(ChangeRow.number.in_(chunk)))
        count += gone.rowcount
    for chunk in chunks(fleet_ids):
        gone = session.execute(delete(BudgetRow).where(BudgetRow.fleet_id.in_(chunk)))
        count += gone.rowcount
    if count:
        changed(session)
    return count
