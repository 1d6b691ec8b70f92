"""`Idempotency-Key`: a POST sent twice is done once, and answered the same.

The key, a fingerprint of the body and the answer are kept for a day, written in the transaction of the change
itself. (After the IETF draft draft-ietf-httpapi-idempotency-key-header-07.)
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import now_us
from atalaia.core.errors import Fault, Invalid
from atalaia.kit.database import Table, serialize
from atalaia.kit.mentions import Mentions


class IdempotencyRow(Table):
    """An answer that was given under a key."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    route: Mapped[str] = mapped_column(String(512), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger, index=True)


def once(
    session: Session, key: str | None, route: str, body: bytes | memoryview, act: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what ``act()`` answers, or what it answered when this key was used before.

    Raises
    ------
    Invalid
        When the key was used on the same route with another body.
    """
    if not key:
        return act()
    fingerprint = hashlib.sha256(body).hexdigest()
    serialize(
        session, f"idempotency {key} {route}"
    )  # the same request at the same time waits for this one's answer
    known = session.get(IdempotencyRow, (key, route))
    if known is not None:
        if known.fingerprint != fingerprint:
            fault = Fault("/headers/idempotency-key", "already used with another body")
            raise Invalid("idempotency_mismatch", "use a new Idempotency-Key for a new request", faults=[fault])
        return known.answer
    answer = act()
    row = IdempotencyRow(key=key, route=route, fingerprint=fingerprint, answer=answer, created_at=now_us())
    session.add(row)
    return answer


def erase_keys(session: Session, names: Sequence[str]) -> int:
    """Delete the answers that name one of `names`; return how many."""
    key = (IdempotencyRow.key, IdempotencyRow.route)
    found = Mentions(names).rows(session, key, (*key, IdempotencyRow.answer))
    for used, route in found:
        same = (IdempotencyRow.key == used, IdempotencyRow.route == route)
        session.execute(delete(IdempotencyRow).where(*same))
    return len(found)


def forget_keys(session: Session, older_than_us: int) -> None:
    """Delete the keys that were used before the given moment."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < older_than_us))
