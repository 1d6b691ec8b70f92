"""The outbox: facts are written with the change that they tell of, and delivered after its commit.

Delivery is at least once and in order. A handler that has acted on a fact leaves a receipt and is not called for
it again, unless the process dies between the two. A handler that fails is tried again after a pause that grows,
and holds back nobody else.

Of several processes one delivers, whoever holds the lease; the others look again a moment later. So each handler is
called in one process, not in each, and every process must have subscribed the same handlers: `build` sees to that.
What each process must learn by itself it looks up, as serving does with promotions; `on_publish` only makes that
sooner. A handler that takes longer than the lease may meet itself in another process.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError
from atalaia.core.facts import FACTS, Fact
from atalaia.kit.database import AutoId, Database, Table, after_commit, chunks, insert_missing
from atalaia.kit.leases import Lease
from atalaia.kit.mentions import Mentions

_log = structlog.get_logger(__name__)
_BATCH = 200
_FIRST_PAUSE_S = 5
_LONGEST_PAUSE_S = 600

Handler = Callable[[Fact, int], None]


class OutboxRow(Table):
    """One fact, delivered or waiting."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(AutoId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    delivered_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
    retry_at: Mapped[int] = mapped_column(BigInteger, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)


class ReceiptRow(Table):
    """A handler has acted on a fact."""

    __tablename__ = "receipts"

    fact_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True)
    handler: Mapped[str] = mapped_column(String(128), primary_key=True)


class Outbox:
    """Takes facts in, hands them to the handlers of this process while it holds the lease.

    Parameters
    ----------
    lease_s
        How long others wait for a process that has fallen silent while it delivered.
    owner
        Who delivers; by default this process.
    """

    def __init__(self, database: Database, *, lease_s: float = 15.0, owner: str | None = None) -> None:
        self._database = database
        self._lease = Lease(database, "facts", lease_s=lease_s, owner=owner)
        self._handlers: dict[str, list[tuple[str, Handler]]] = {}
        self._wakers: dict[str, list[Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._hand_over: Callable[[], object] = self.deliver

    def deliver_by(self, wake: Callable[[], object]) -> None:
        """Call `wake` after a commit from now on; what it wakes calls `deliver`, so that no writer waits for it."""
        self._hand_over = wake

    def subscribe(self, fact: type[Fact], name: str, handler: Handler) -> None:
        """Call ``handler(fact, fact_id)`` for each fact of this type; `name` identifies it for good."""
        self._handlers.setdefault(fact.name, []).append((name, handler))

    def on_publish(self, fact: type[Fact], wake: Callable[[], object]) -> None:
        """Call `wake` as soon as this process has committed such a fact, before its delivery.

        For what must not wait behind slow handlers, such as a cache that is stale from now on. It may not be called
        at all when the process dies, and is not called for the facts of other processes.
        """
        self._wakers.setdefault(fact.name, []).append(wake)

    def publish(self, session: Session, *facts: Fact) -> None:
        """Write `facts` into the transaction of `session`; they are delivered once it has committed."""
        for fact in facts:
            row = OutboxRow(name=fact.name, payload=asdict(fact), created_at=now_us(), delivered_at=None)
            session.add(row)
            for wake in self._wakers.get(fact.name, []):
                after_commit(session, wake)
        if facts:
            after_commit(session, self._hand_over)

    def deliver(self) -> int:
        """Hand waiting facts to their handlers; return how many were settled. Never raises."""
        settled = 0
        self._asked.set()
        while self._asked.is_set() and self._lock.acquire(blocking=False):  # whoever holds it looks again
            try:
                self._asked.clear()
                settled += self._deliver()
            except AtalaiaError as error:  # the database is down, say
                _log.warning("facts_not_delivered", code=error.code, detail=error.detail)
            except Exception:
                _log.exception("facts_not_delivered")
            finally:
                self._lock.release()
        return settled

    def release(self) -> None:
        """Let another process deliver at once."""
        self._lease.release()

    def erase(self, session: Session, names: Sequence[str]) -> int:
        """Delete the facts that name one of `names`, whether they were delivered or not; return how many."""
        ids = [key[0] for key in Mentions(names).rows(session, (OutboxRow.id,), (OutboxRow.payload,))]
        for some in chunks(ids):
            session.execute(delete(ReceiptRow).where(ReceiptRow.fact_id.in_(some)))
            session.execute(delete(OutboxRow).where(OutboxRow.id.in_(some)))
        return len(ids)

    def forget(self, session: Session, older_than_us: int) -> None:
        """Delete delivered facts older than the given moment, with their receipts."""
        old = select(OutboxRow.id).where(OutboxRow.delivered_at < older_than_us)
        session.execute(delete(ReceiptRow).where(ReceiptRow.fact_id.in_(old)))
        session.execute(delete(OutboxRow).where(OutboxRow.delivered_at < older_than_us))

    def _deliver(self) -> int:
        settled = 0
        if not self._waiting():  # the usual case costs no lease
            return settled
        while self._lease.held() and (rows := self._waiting()):  # read after it was taken: no other delivers them
            done: list[OutboxRow] = []
            failed: list[OutboxRow] = []
            for row in rows:
                if not self._lease.held():
                    break
                (done if self._handle(row) else failed).append(row)
            self._settle(done, failed)
            settled += len(done)
        return settled

    def _waiting(self) -> list[OutboxRow]:
        with self._database.read() as session:
            waiting = select(OutboxRow).where(OutboxRow.delivered_at.is_(None), OutboxRow.retry_at <= now_us())
            return list(session.scalars(waiting.order_by(OutboxRow.id).limit(_BATCH)))

    def _handle(self, row: OutboxRow) -> bool:
        handlers = self._handlers.get(row.name, [])
        try:
            fact = FACTS[row.name](**row.payload)
        except (KeyError, TypeError):  # written by another release: it must not hold back the others
            _log.exception("fact_not_understood", fact=row.name, payload=json.dumps(row.payload))
            return False
        heard = [self._call(name, handler, fact, row) for name, handler in handlers]  # each, whatever the others do
        return all(heard)

    def _settle(self, done: list[OutboxRow], failed: list[OutboxRow]) -> None:
        with self._database.write() as session:
            chosen = OutboxRow.id.in_([row.id for row in done])
            session.execute(update(OutboxRow).where(chosen).values(delivered_at=now_us()))
            for row in failed:
                again = {"attempts": row.attempts + 1, "retry_at": now_us() + _pause_us(row.attempts)}
                session.execute(update(OutboxRow).where(OutboxRow.id == row.id).values(again))

    def _call(self, name: str, handler: Handler, fact: Fact, row: OutboxRow) -> bool:
        with self._database.read() as session:
            if session.get(ReceiptRow, (row.id, name)) is not None:
                return True
        try:
            handler(fact, row.id)
        except Exception:
            _log.exception("fact_handler_failed", handler=name, fact=row.name, payload=json.dumps(row.payload))
            return False
        with self._database.write() as session:
            insert_missing(session, ReceiptRow, [{"fact_id": row.id, "handler": name}], ("fact_id", "handler"))
        return True


def _pause_us(failures: int) -> int:
    """Return how long to wait after a failure that `failures` others came before: 5 s, doubling up to 10 min."""
    return min(_FIRST_PAUSE_S * 2 ** min(failures, 10), _LONGEST_PAUSE_S) * MICROS
