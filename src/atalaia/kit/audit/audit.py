"""The audit log of one process: its trail, its journal, and what brings both to the blob store."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from atalaia import __version__
from atalaia.core.errors import AtalaiaError
from atalaia.kit.acting import SYSTEM
from atalaia.kit.audit.columns import NamesOf
from atalaia.kit.audit.export import Exporter
from atalaia.kit.audit.journal import Forward, Journal
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.audit.trail import Trail
from atalaia.kit.audit.verify import Verifier
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
FOLDER = "audit"


class Audit:
    """Keeps what was done and what was answered.

    Parameters
    ----------
    names_of
        Tells the ids of series by their numbers, for exports.
    forward
        Is given single predictions too, see `Journal`.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        blobs: Blobs,
        settings: AuditSettings,
        telemetry: Telemetry,
        *,
        names_of: NamesOf,
        forward: Forward | None = None,
    ) -> None:
        self.settings = settings
        self.trail = trail = Trail(database, telemetry)
        self.journal = Journal(
            folder / FOLDER, settings, telemetry, tell=trail.later, head=lambda: trail.known, forward=forward
        )
        self.exporter = Exporter(folder / FOLDER, database, blobs, trail, settings, names_of)
        self.verifier = lambda: Verifier(folder / FOLDER, database, blobs)
        telemetry.gauge("audit_events_waiting", lambda: trail.waiting)
        self._roles: frozenset[str] = frozenset()
        self._loops = (
            Loop("audit", self._write, every_s=1.0),
            Loop("audit-export", self._export, every_s=settings.export_every_s),
        )

    def start(self, roles: Iterable[str], settings: Any) -> None:
        """Note that roles begin, under which settings, and take predictions where they are answered."""
        self._roles = frozenset(roles)
        told = {"release": __version__, "settings_sha256": digest_of(settings)}
        self.trail.note("started", SYSTEM, ",".join(sorted(self._roles)), told)
        self.trail.look()
        if "predictor" in self._roles and self.settings.predictions != "off":
            self.journal.start()
            self.trail.flush()
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Write everything that was noted and taken. Nothing may be answered any more."""
        if not self._roles:
            return
        for loop in self._loops:
            loop.stop()
        self.journal.stop()
        self.trail.note("stopped", SYSTEM, ",".join(sorted(self._roles)), {})
        self.trail.flush(with_sums=True)
        self._roles = frozenset()

    def _write(self) -> bool:
        self.trail.flush()
        return False

    def _export(self) -> bool:
        self.exporter.export_journals()
        is_first = "scheduler" in self._roles
        if is_first:
            self.exporter.export_trail()
        try:
            self.exporter.tidy(with_shared=is_first)
        except AtalaiaError as error:
            _log.warning("audit_not_tidied", code=error.code, detail=error.detail)
        return False


def digest_of(settings: Any) -> str:
    """Return a digest of settings that tells whether they changed, and no secret."""
    told = settings.model_dump(mode="json", exclude={"database_url"})  # others are masked by their type
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
