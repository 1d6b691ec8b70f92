"""What authentication needs of others."""

from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from sqlalchemy.orm import Session

from atalaia.kit.database import after_commit

_log = structlog.get_logger("atalaia.audit")


class AuditSink(Protocol):
    """Keeps what was done about access."""

    def note(self, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep that `actor` did `action` to `subject`."""
        ...

    def write(self, session: Session, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep it in the transaction of `session`, so that nothing is done unseen."""
        ...


class Documents(Protocol):
    """Reads JSON documents of the issuer of foreign tokens."""

    def get(self, url: str) -> Mapping[str, Any]:
        """Return the document at `url`; Unavailable when it cannot be had."""
        ...


class LoggedAudit:
    """An audit sink that writes lines to the log, and keeps nothing."""

    def note(self, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Log it."""
        _log.info("audit", action=action, actor=actor, subject=subject, **detail)

    def write(self, session: Session, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Log it once it is done."""
        after_commit(session, lambda: self.note(action, actor, subject, detail))
