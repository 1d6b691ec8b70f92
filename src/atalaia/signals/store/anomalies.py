"""Tables of anomalies and of what people said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.anomalies import Anomaly, AnomalyState, Feedback, FeedbackKind
from atalaia.core.clock import from_us
from atalaia.core.scores import BrokenRelation, Explanation, ModelRef
from atalaia.kit.database import AutoId, Table, chunks
from atalaia.signals.store.catalogue import SeriesRow

PENDING = "pending"
"""State of an interval with fewer strange points than open an anomaly; nobody sees it."""


class AnomalyRow(Table):
    """An interval of one series."""

    __tablename__ = "anomalies"
    __table_args__ = (
        Index("anomalies_of_series", "number", "opened_at"),
        Index("anomalies_by_time", "opened_at", "id"),
        Index("anomalies_by_state", "state", "number"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(ForeignKey("series.number"))
    series_id: Mapped[str] = mapped_column(String(256))
    state: Mapped[str] = mapped_column(String(8))
    opened_at: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[int] = mapped_column(BigInteger)
    peak_at: Mapped[int] = mapped_column(BigInteger)
    peak_score: Mapped[float] = mapped_column(Float)
    strange: Mapped[int] = mapped_column(Integer)
    quiet: Mapped[int] = mapped_column(Integer)
    seen: Mapped[float] = mapped_column(Float)
    expected: Mapped[float | None] = mapped_column(Float)
    lower: Mapped[float | None] = mapped_column(Float)
    upper: Mapped[float | None] = mapped_column(Float)
    part: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str] = mapped_column(String(300))
    model_version: Mapped[str] = mapped_column(String(16))
    algorithm: Mapped[str] = mapped_column(String(64))
    relations: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))


class FeedbackRow(Table):
    """One person's word on one anomaly."""

    __tablename__ = "feedback"

    id: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    anomaly_id: Mapped[str] = mapped_column(ForeignKey("anomalies.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)


LAPSES = ("missing", "flat")
"""Parts of anomalies that no point has opened: nothing that a model scores makes them grow, or closes them."""


class Lapse(NamedTuple):
    """An anomaly of a series that fell silent, or flat, and is so still."""

    id: str
    number: int
    series_id: str
    part: str
    opened_at: int
    peak_score: float


class Growing(NamedTuple):
    """An interval that is open or pending, as far as growing needs it."""

    id: str
    number: int
    series_id: str
    state: str
    opened_at: int
    last_at: int
    peak_at: int
    peak_score: float
    strange: int
    quiet: int


def growing(session: Session) -> dict[int, Growing]:
    """Return the open or pending interval of each series that has one, by the number of the series."""
    unfinished = AnomalyRow.state.in_((AnomalyState.OPEN.value, PENDING))
    columns = [getattr(AnomalyRow, name) for name in Growing._fields]
    query = select(*columns).where(unfinished, AnomalyRow.part.not_in(LAPSES))
    return {row[1]: Growing(*row) for row in session.execute(query).tuples()}


def lapses(session: Session) -> list[Lapse]:
    """Return the open anomalies of series that fell silent, or flat."""
    columns = [getattr(AnomalyRow, name) for name in Lapse._fields]
    query = select(*columns).where(AnomalyRow.state == AnomalyState.OPEN.value, AnomalyRow.part.in_(LAPSES))
    return [Lapse(*row) for row in session.execute(query).tuples()]


def save(
    session: Session, added: Sequence[Mapping[str, Any]], changed: Sequence[Mapping[str, Any]], gone: Sequence[str]
) -> None:
    """Add intervals, change columns of others (each mapping names its ``id``), and delete those that are gone."""
    table = cast("SqlTable", AnomalyRow.__table__)
    if added:
        session.connection().execute(insert(table), list(added))
    for names in {frozenset(row) for row in changed}:
        same = [{f"_{name}": value for name, value in row.items()} for row in changed if frozenset(row) == names]
        columns: dict[str, Any] = {name: bindparam(f"_{name}") for name in names if name != "id"}
        statement = update(table).where(table.c.id == bindparam("_id")).values(columns)
        session.connection().execute(statement, same)  # as rows: the session would look at each as an object
    for chunk in chunks(gone):
        session.execute(delete(AnomalyRow).where(AnomalyRow.id.in_(chunk)))


def anomalies_page(
    session: Session,
    *,
    number: int | None,
    from_us: int | None,
    to_us: int | None,
    state: AnomalyState | None,
    before: tuple[int, str] | None,
    limit: int,
) -> list[AnomalyRow]:
    """Return anomalies that overlap [from, to), newest first, from behind `before` (opened_at, id)."""
    query = select(AnomalyRow).where(AnomalyRow.state != PENDING)
    query = query.order_by(AnomalyRow.opened_at.desc(), AnomalyRow.id.desc()).limit(limit)
    if number is not None:
        query = query.where(AnomalyRow.number == number)
    if to_us is not None:
        query = query.where(AnomalyRow.opened_at < to_us)
    if from_us is not None:
        query = query.where(or_(AnomalyRow.last_at >= from_us, AnomalyRow.state == AnomalyState.OPEN.value))
    if state is not None:
        query = query.where(AnomalyRow.state == state.value)
    if before is not None:
        same = and_(AnomalyRow.opened_at == before[0], AnomalyRow.id < before[1])
        query = query.where(or_(AnomalyRow.opened_at < before[0], same))
    return list(session.scalars(query))


def judged(session: Session, numbers: Sequence[int], from_us: int, to_us: int) -> list[AnomalyRow]:
    """Return anomalies of series that overlap [from, to) and of which something was said, oldest first.

    Those that no point has opened are left out: no detector can be asked whether it finds them.
    """
    found: list[AnomalyRow] = []
    spoken = select(FeedbackRow.id).where(FeedbackRow.anomaly_id == AnomalyRow.id).exists()
    for chunk in chunks(numbers):
        query = select(AnomalyRow).where(AnomalyRow.number.in_(chunk), AnomalyRow.state != PENDING, spoken)
        query = query.where(AnomalyRow.opened_at < to_us, AnomalyRow.last_at >= from_us)
        query = query.where(AnomalyRow.part.not_in(LAPSES))
        found += session.scalars(query)
    return sorted(found, key=lambda row: (row.opened_at, row.id))


def overlapping(
    session: Session, from_us: int, to_us: int, *, other_than: int, limit: int
) -> list[tuple[AnomalyRow, dict[str, str]]]:
    """Return anomalies of other series that were open in [from, to], newest first, each with its series' labels."""
    still = or_(AnomalyRow.last_at >= from_us, AnomalyRow.state == AnomalyState.OPEN.value)
    query = select(AnomalyRow, SeriesRow.labels).join(SeriesRow, SeriesRow.number == AnomalyRow.number)
    query = query.where(
        AnomalyRow.state != PENDING, AnomalyRow.opened_at <= to_us, still, AnomalyRow.number != other_than
    )
    query = query.order_by(AnomalyRow.opened_at.desc(), AnomalyRow.id.desc()).limit(limit)
    return list(session.execute(query).tuples())


def episodes(session: Session, numbers: Sequence[int], before_us: int, *, limit: int) -> list[AnomalyRow]:
    """Return anomalies of some series that opened before a moment, newest first."""
    if not numbers:
        return []
    query = select(AnomalyRow).where(AnomalyRow.number.in_(numbers), AnomalyRow.state != PENDING)
    query = query.where(AnomalyRow.opened_at < before_us)
    return list(session.scalars(query.order_by(AnomalyRow.opened_at.desc(), AnomalyRow.id.desc()).limit(limit)))


def holding(session: Session, number: int, moment_us: int) -> AnomalyRow | None:
    """Return the newest interval of a series that had opened by a moment, pending ones included."""
    query = select(AnomalyRow).where(AnomalyRow.number == number, AnomalyRow.opened_at <= moment_us)
    return session.scalars(query.order_by(AnomalyRow.opened_at.desc(), AnomalyRow.id.desc()).limit(1)).first()


def feedback_of(session: Session, anomaly_ids: Sequence[str]) -> Mapping[str, tuple[Feedback, ...]]:
    """Return what was said of each of the anomalies, oldest first."""
    found: dict[str, tuple[Feedback, ...]] = {}
    for chunk in chunks(anomaly_ids):
        query = select(FeedbackRow).where(FeedbackRow.anomaly_id.in_(chunk)).order_by(FeedbackRow.id)
        for row in session.scalars(query):
            said = Feedback(FeedbackKind(row.kind), row.note, from_us(row.created_at))
            found[row.anomaly_id] = (*found.get(row.anomaly_id, ()), said)
    return found


def anomaly_of(row: AnomalyRow, feedback: tuple[Feedback, ...] = ()) -> Anomaly:
    """Return the anomaly that `row` keeps."""
    closed = row.state == AnomalyState.CLOSED
    return Anomaly(
        anomaly_id=row.id,
        series_id=row.series_id,
        state=AnomalyState(row.state),
        opened_at=from_us(row.opened_at),
        last_at=from_us(row.last_at),
        closed_at=from_us(row.last_at) if closed else None,
        peak_at=from_us(row.peak_at),
        peak_score=row.peak_score,
        points=row.strange,
        seen=row.seen,
        explanation=Explanation(row.expected, row.lower, row.upper, row.part, row.text),
        model=ModelRef(row.model_id, row.model_version, row.algorithm),
        feedback=feedback,
        relations=tuple(BrokenRelation(**one) for one in row.relations or ()),
    )


def forget(session: Session, older_than_us: int) -> int:
    """Delete anomalies that closed before the given moment, and what was said of them; return how many."""
    old = (AnomalyRow.state == AnomalyState.CLOSED.value, AnomalyRow.last_at < older_than_us)
    ids = list(session.scalars(select(AnomalyRow.id).where(*old)))
    for chunk in chunks(ids):
        session.execute(delete(FeedbackRow).where(FeedbackRow.anomaly_id.in_(chunk)))
        session.execute(delete(AnomalyRow).where(AnomalyRow.id.in_(chunk)))
    return len(ids)


def columns_of_peak(
    explanation: Explanation, model: ModelRef, seen: float, relations: Sequence[BrokenRelation] = ()
) -> dict[str, Any]:
    """Return what a row says of the peak: seen, expected, why, which model, and which relations broke."""
    return {
        "seen": seen,
        "expected": explanation.expected,
        "lower": explanation.lower,
        "upper": explanation.upper,
        "part": explanation.part,
        "text": explanation.text,
        "model_id": model.model_id,
        "model_version": model.version,
        "algorithm": model.algorithm,
        "relations": [asdict(one) for one in relations] or None,
    }
