"""HTTP doors of known events."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from atalaia.core.events import KnownEvent
from atalaia.core.series import MAX_ID_CHARACTERS
from atalaia.kit.auth.permissions import needs
from atalaia.kit.idempotency import once
from atalaia.kit.web.wire import Cursor, IdempotencyKey, Limit, time_query
from atalaia.signals.event_schemas import KnownEventChange, KnownEventIn, KnownEventOut, KnownEventPage
from atalaia.signals.events import KnownEvents

_At = Annotated[
    str | None, Query(max_length=64, description="Only those that are active then; Unix s or RFC 3339.")
]
_Series = Annotated[
    str | None, Query(max_length=MAX_ID_CHARACTERS, description="Only those that cover this series.")
]


def events_router(events: KnownEvents) -> APIRouter:
    """Return the doors of known events."""
    router = APIRouter(prefix="/api/v1/known-events", tags=["known events"])
    _add_reading(router, events)
    _add_changes(router, events)
    return router


def _add_reading(router: APIRouter, events: KnownEvents) -> None:
    @router.get("")
    @needs("events.read")
    def list_events(
        active_at: _At = None, series_id: _Series = None, cursor: Cursor = None, limit: Limit = 100
    ) -> KnownEventPage:
        """List known events, newest first."""
        with events.database.read() as session:
            items, following = events.page(
                session,
                active_at_us=time_query(active_at, "active_at"),
                series_id=None if series_id is None else events.signals.privacy.series_id(series_id),
                cursor=cursor,
                limit=limit,
            )
            return KnownEventPage(items=_out(events, session, items), next=following)

    @router.get("/{event_id:id}")
    @needs("events.read")
    def get_event(event_id: str) -> KnownEventOut:
        """Show one known event."""
        with events.database.read() as session:
            return _out(events, session, [events.get(session, event_id)])[0]

    _ = list_events, get_event


def _add_changes(router: APIRouter, events: KnownEvents) -> None:
    @router.post("", status_code=201)
    @needs("events.write")
    def add_event(body: KnownEventIn, key: IdempotencyKey = None) -> KnownEventOut:
        """Say why series will be strange: they neither alarm nor teach meanwhile."""
        asked = body.asked()
        with events.database.write() as session:

            def act() -> dict[str, Any]:
                added = events.add(session, asked)
                return _out(events, session, [added])[0].model_dump(mode="json", by_alias=True)

            told = once(session, key, "POST /known-events", body.model_dump_json().encode(), act)
            return KnownEventOut.model_validate(told)

    @router.patch("/{event_id:id}")
    @needs("events.write")
    def change_event(event_id: str, body: KnownEventChange) -> KnownEventOut:
        """End an event, or call it something else."""
        with events.database.write() as session:
            changed = events.change(session, event_id, title=body.title, until_us=body.until_us())
            return _out(events, session, [changed])[0]

    @router.delete("/{event_id:id}", status_code=204)
    @needs("events.write")
    def delete_event(event_id: str) -> None:
        """Delete an event: the next training learns from its time. What it kept from alarming stays quiet."""
        with events.database.write() as session:
            events.remove(session, event_id)

    _ = add_event, change_event, delete_event


def _out(events: KnownEvents, session: Session, found: list[KnownEvent]) -> list[KnownEventOut]:
    names, active = events.names(session, found), events.is_active(session)
    return [KnownEventOut.of(event, names, is_active=event.event_id in active) for event in found]
