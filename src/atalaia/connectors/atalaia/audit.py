"""The calls about the audit log."""

from datetime import datetime
from typing import Any

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer, Page
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import Moment, query


class AuditEvent(Answer, frozen=True, kw_only=True):
    """Something that somebody did."""

    sequence: int
    at: datetime | None = None
    actor: str = ""
    action: str = ""
    subject: str = ""
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    previous: str = ""
    hash: str = ""


class AuditCalls:
    """``/audit``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def events(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        from_: Moment | None = None,
        to: Moment | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AuditEvent]:
        """Return what was done, newest first."""
        params = query(actor=actor, action=action, subject=subject, from_=from_, to=to, limit=limit, cursor=cursor)
        return self._connection.get("/audit/events", Page[AuditEvent], params)
