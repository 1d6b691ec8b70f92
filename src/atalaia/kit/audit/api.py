"""HTTP doors of the audit log."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from sqlalchemy import select

from atalaia.core.clock import isoformat
from atalaia.kit.auth.permissions import needs
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database
from atalaia.kit.notes import AuditEventRow
from atalaia.kit.web.wire import Cursor, From, Limit, Time, Wire, time_query

_EXAMPLE: dict[str, Any] = {
    "sequence": 41,
    "at": "2026-01-05T07:12:00Z",
    "actor": "ada",
    "action": "model_promoted",
    "subject": "fleet:pumps",
    "detail": {"version": "v2", "previous": "v1"},
    "previous": "9f2c1f0e6f1a7f8a4f3c2f0d1b6e5a4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a",
    "hash": "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
}


class AuditEventOut(Wire):
    """Something that somebody did."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    sequence: int
    at: str
    actor: str = Field(description="Who did it; `system` for what the service and its jobs do.")
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str = Field(description="Hash of the event before.")
    hash: str = Field(description="SHA-256 of `previous` and all other fields.")

    @staticmethod
    def of(row: AuditEventRow) -> "AuditEventOut":
        """Return a row for the wire."""
        return AuditEventOut(
            sequence=row.sequence,
            at=isoformat(row.at),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            detail=json.loads(row.detail),
            previous=row.previous,
            hash=row.hash,
        )


class AuditEventPage(Wire):
    """Events, newest first."""

    items: list[AuditEventOut]
    next: str | None


_Filter = Annotated[str | None, Query(max_length=300)]


def audit_router(database: Database) -> APIRouter:
    """Return the doors of the audit log."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get("/events")
    @needs("audit.read")
    def list_events(
        actor: _Filter = None,
        action: _Filter = None,
        subject: _Filter = None,
        start: From = None,
        to: Time = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> AuditEventPage:
        """List what people, jobs and the service did, newest first."""
        query = select(AuditEventRow).order_by(AuditEventRow.sequence.desc()).limit(limit + 1)
        from_us, to_us = time_query(start, "from"), time_query(to, "to")
        for wanted, condition in (
            (actor, AuditEventRow.actor == actor),
            (action, AuditEventRow.action == action),
            (subject, AuditEventRow.subject == subject),
            (from_us, AuditEventRow.at >= (from_us or 0)),
            (to_us, AuditEventRow.at < (to_us or 0)),
        ):
            query = query.where(condition) if wanted is not None else query
        if keys := decode_cursor(cursor, int):
            query = query.where(AuditEventRow.sequence < keys[0])
        with database.read() as session:
            rows = session.scalars(query).all()
        page, following = page_of(rows, limit, lambda row: encode_cursor(row.sequence))
        return AuditEventPage(items=[AuditEventOut.of(row) for row in page], next=following)

    return router
