"""Tables of known events: what they are, and a number that changes whenever they, or whom they cover, do."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, String, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import from_us
from atalaia.core.events import EventKind, EventScope, HolidayCalendar, KnownEvent, Recurs
from atalaia.kit.database import Table


class EventRow(Table):
    """One known event.

    `repeats` holds nothing, a rule (``rrule``, ``zone``) or a calendar (``country``, ``subdivision``, ``zone``).
    """

    __tablename__ = "known_events"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(200))
    scope: Mapped[dict[str, Any]] = mapped_column(JSON)
    repeats: Mapped[dict[str, Any]] = mapped_column(JSON)
    starts_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int | None] = mapped_column(BigInteger)
    until: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class RevisionRow(Table):
    """The one row whose number says whether anything changed; it is there once there was an event."""

    __tablename__ = "known_events_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


def revision(session: Session) -> int:
    """Return the number that changes whenever an event does; 0 while there never was one."""
    return session.scalar(select(RevisionRow.revision).where(RevisionRow.id == 1)) or 0


def touch(session: Session) -> None:
    """Note that the series changed that events cover."""
    session.execute(update(RevisionRow).where(RevisionRow.id == 1).values(revision=RevisionRow.revision + 1))


def changed(session: Session) -> None:
    """Note that an event changed."""
    if session.get(RevisionRow, 1) is None:
        session.add(RevisionRow(id=1, revision=1))
        session.flush()
    else:
        touch(session)


def page(session: Session, *, before: str | None, limit: int) -> list[EventRow]:
    """Return events, newest first, from behind one of them."""
    query = select(EventRow).order_by(EventRow.id.desc()).limit(limit)
    return list(session.scalars(query if before is None else query.where(EventRow.id < before)))


def every(session: Session) -> list[EventRow]:
    """Return all events, oldest first."""
    return list(session.scalars(select(EventRow).order_by(EventRow.id)))


def count(session: Session) -> int:
    """Return how many events there are."""
    return session.scalar(select(func.count()).select_from(EventRow)) or 0


def scope_columns(scope: EventScope) -> dict[str, Any]:
    """Return a scope for the table."""
    if scope.everything:
        return {"everything": True}
    if scope.fleet_id is not None:
        return {"fleet_id": scope.fleet_id}
    return {"labels": dict(scope.labels)} if scope.labels else {"numbers": sorted(scope.numbers)}


def scope_of(told: Mapping[str, Any]) -> EventScope:
    """Return the scope that a table keeps."""
    numbers: Sequence[int] = tuple(told.get("numbers", ()))
    return EventScope(bool(told.get("everything")), told.get("fleet_id"), numbers, told.get("labels", {}))


def event_of(row: EventRow) -> KnownEvent:
    """Return the event that a row keeps."""
    told = row.repeats
    return KnownEvent(
        event_id=row.id,
        kind=EventKind(row.kind),
        title=row.title,
        scope=scope_of(row.scope),
        starts_at=from_us(row.starts_at),
        ends_at=None if row.ends_at is None else from_us(row.ends_at),
        until=None if row.until is None else from_us(row.until),
        created_at=from_us(row.created_at),
        recurs=Recurs(told["rrule"], told["zone"]) if "rrule" in told else None,
        holidays=HolidayCalendar(told["country"], told["subdivision"], told["zone"]) if "country" in told else None,
    )
