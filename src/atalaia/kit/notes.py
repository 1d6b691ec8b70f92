"""The trail: what people and jobs did, in a table that only grows, each event chained to the one before.

`note` says what was done in the transaction that does it: both are kept, or neither. The events of a transaction
are chained at its end, when all its other locks are held already, so that nobody waits for the head of the chain
while holding what another needs.

The hash of an event is the SHA-256 of the hash before it and of all its fields. Triggers of the database refuse to
change an event at all, and to delete one unless retention has left a tombstone first (see `prune`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Integer, String, Text, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import now_us
from atalaia.kit.acting import acting
from atalaia.kit.database import Table, before_commit

GENESIS = "0" * 64
"""The hash before the first event."""
PRUNED = "trail_pruned"
"""The tombstone of events that retention removed."""
_HEAD = 1
_MOST_NAME, _MOST_SUBJECT, _MOST_DETAIL = 256, 300, 20_000


class AuditEventRow(Table):
    """One event; `detail` is JSON, kept as the text that was hashed."""

    __tablename__ = "audit_events"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    actor: Mapped[str] = mapped_column(String(_MOST_NAME), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str] = mapped_column(String(_MOST_SUBJECT), index=True)
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Table):
    """The last event; its one row is also the lock that orders those who write.

    `pruned_to` is the last event that may be deleted, `exported_to` the last that was exported.
    """

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    pruned_to: Mapped[int] = mapped_column(BigInteger, default=0)
    exported_to: Mapped[int] = mapped_column(BigInteger, default=0)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody did, not chained yet."""

    at: int
    actor: str
    action: str
    subject: str
    detail: str

    @staticmethod
    def of(action: str, subject: str, detail: Mapping[str, Any], actor: str | None = None) -> "Event":
        """Return what happens now; by whoever acts here unless `actor` is given."""
        who = acting()
        told = {**who.detail, **detail} if actor is None else dict(detail)
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), default=str)
        if len(text) > _MOST_DETAIL:
            text = json.dumps({"cut": text[: _MOST_DETAIL // 2]}, separators=(",", ":"))
        name = _clean(who.actor if actor is None else actor, _MOST_NAME)
        return Event(now_us(), name, action, _clean(subject, _MOST_SUBJECT), text)


def note(session: Session, action: str, subject: str, *, actor: str | None = None, **detail: Any) -> None:
    """Note, in the transaction of `session`, that whoever acts here did `action` to `subject`."""
    before_commit(session, append, Event.of(action, subject, detail, actor))


def hash_of(previous: str, sequence: int, event: Event | AuditEventRow) -> str:
    """Return the hash of an event."""
    fields = [sequence, event.at, event.actor, event.action, event.subject, event.detail]
    return hashlib.sha256(bytes.fromhex(previous) + json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def append(session: Session, events: Sequence[Event]) -> AuditHeadRow:
    """Chain events to the trail, and hold its head until the transaction ends."""
    head = lock_head(session)
    rows: list[dict[str, Any]] = []
    for event in events:
        sequence, previous = head.sequence + 1, head.hash
        head.sequence, head.hash = sequence, hash_of(previous, sequence, event)
        rows.append(
            {
                "sequence": sequence,
                "at": event.at,
                "actor": event.actor,
                "action": event.action,
                "subject": event.subject,
                "detail": event.detail,
                "previous": previous,
                "hash": head.hash,
            }
        )
    session.execute(insert(AuditEventRow), rows)
    return head


def lock_head(session: Session) -> AuditHeadRow:
    """Return the head of the trail, and hold it until the transaction ends."""
    query = select(AuditHeadRow).where(AuditHeadRow.id == _HEAD).with_for_update()
    head = session.scalar(query.execution_options(populate_existing=True))
    if head is None:
        head = AuditHeadRow(id=_HEAD, sequence=0, hash=GENESIS, pruned_to=0, exported_to=0)
        session.add(head)
    return head


def head_of(session: Session) -> tuple[int, str]:
    """Return the sequence and the hash of the last event."""
    head = session.get(AuditHeadRow, _HEAD)
    return (0, GENESIS) if head is None else (head.sequence, head.hash)


def prune(session: Session, before_us: int) -> int:
    """Remove exported events from before a moment; return how many.

    A tombstone says up to where, and what the hash of the last of them was: the chain goes on from there.
    """
    head = lock_head(session)
    old = select(AuditEventRow).where(AuditEventRow.at < before_us, AuditEventRow.sequence <= head.exported_to)
    last = session.scalar(old.order_by(AuditEventRow.sequence.desc()).limit(1))
    if last is None or last.sequence <= head.pruned_to:
        return 0
    count = last.sequence - head.pruned_to
    append(session, [Event.of(PRUNED, "trail", {"up_to": last.sequence, "last_hash": last.hash, "count": count})])
    head.pruned_to = last.sequence
    session.flush()  # the triggers look at it
    session.execute(delete(AuditEventRow).where(AuditEventRow.sequence <= last.sequence))
    return count


def _clean(text: str, most: int) -> str:
    """Return a text that every database can keep."""
    plain = text.replace("\0", "").encode("utf-8", "replace").decode()
    return plain[:most]
