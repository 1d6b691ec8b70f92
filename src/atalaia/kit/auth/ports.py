"""What authentication needs of others."""

from collections.abc import Mapping
from typing import Any, Protocol

import structlog

_log = structlog.get_logger("atalaia.audit")


class AuditSink(Protocol):
    """Keeps what was done about access."""

    def note(self, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Keep that `actor` did `action` to `subject`."""
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
