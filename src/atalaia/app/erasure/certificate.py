"""What a certificate of erasure says: what was asked, what went, what stays and why, and what is left to do."""

from typing import Any

from atalaia import __version__
from atalaia.app.erasure.search import UNREAD
from atalaia.app.settings import Settings
from atalaia.core.clock import isoformat
from atalaia.kit.erasures import STATEMENT, ErasureRow

COUNTED = (
    "series_blanked",
    "tail_points_erased",
    "tail_batches_rewritten",
    "block_points_erased",
    "blocks_rewritten",
    "anomalies_erased",
    "feedback_erased",
    "hours_of_counts_erased",
    "fleets_removed",
    "models_removed",
    "versions_removed",
    "versions_rewritten",
    "versions_unread",
    "facts_erased",
    "jobs_erased",
    "answers_erased",
    "objects_deleted",
)
_EVIDENCE = (
    "It is the record of who did and who was answered what, kept to meet legal duties and to establish, exercise or"
    " defend claims (GDPR Art. 17(3)(b) and (e), LGPD Art. 16 I). It is chained: without one part, none could be"
    " proved any more."
)
_OTHERS = "It names the subject without being of it: the id, a label or the fleet of another series, say."
_SEALED = "No key of the site opens it (`atalaia doctor` tells of it), so that nobody knows what it holds."
_EVIDENT = frozenset(
    {"audit_events", "audit", "copies/audit", "audit/journal", "audit/predictions", "audit/events"}
)
_TABLES = {"rows": "table", "files": "data folder", "objects": "object store"}
_FILE = "atalaia.db"


def certificate_of(row: ErasureRow, settings: Settings) -> dict[str, Any]:
    """Return the certificate of an erasure that is done."""
    told = row.told
    counts = {name: int(told.get(name, 0)) for name in COUNTED}
    found: dict[str, Any] = told.get("search") or {}
    return {
        "type": STATEMENT,
        "certificate_id": row.id,
        "subject": {"kind": row.subject_kind, "hash": f"hmac-sha256:{row.subject_hash}"},
        "asked_by": row.asked_by,
        "asked_at": isoformat(row.asked_at),
        "job_id": row.job_id,
        "done_at": isoformat(row.finished_at or 0),
        "release": __version__,
        "counts": counts,
        "search": found,
        "remains": _remains(told, found, settings),
        "to_do": _to_do(told, settings),
    }


def _remains(told: dict[str, Any], found: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Return what stays, each with the reason."""
    remains: list[dict[str, Any]] = []
    has_evidence = bool(found.get("rows", {}).get("audit_events"))
    until = f"{settings.audit.keep_days:g} days after it was written (audit.keep_days)"
    for kind, places in ((kind, found.get(kind, {})) for kind in _TABLES):
        for place, count in places.items():
            is_evidence = place in _EVIDENT or (has_evidence and kind == "files" and place.startswith(_FILE))
            why = _EVIDENCE if is_evidence else _SEALED if place == UNREAD else _OTHERS
            remains.append(
                {
                    "where": f"{_TABLES[kind]}: {place}",
                    "count": count,
                    "why": why,
                    "until": until if is_evidence else "",
                }
            )
    for version in told.get("unread", ()):
        why = "Its artefact could be read nowhere, so that nobody knows whether it holds the subject."
        remains.append({"where": f"model: {version}", "count": 1, "why": why, "until": "it is trained anew"})
    if told.get("registry_keeps"):
        remains.append({"where": "model registry", "count": 0, "why": told["registry_keeps"], "until": ""})
    return remains


def _to_do(told: dict[str, Any], settings: Settings) -> list[str]:
    """Return what only people can do."""
    kept = f"{settings.backup.keep_days:g} days (backup.keep_days)"
    todo = [
        f"Backups from before hold the data until they are removed, after {kept}; restored, ask again.",
        "Logs, metrics and traces that were collected elsewhere are for whoever keeps them.",
        "Other processes have names in memory until they are started anew.",
    ]
    if settings.database_url is not None and not settings.database_url.startswith("sqlite"):
        todo.append("The log, replicas and backups of PostgreSQL keep deleted rows for as long as they are set to.")
    if settings.blobs_url is not None:
        todo.append("Versions of deleted objects in the bucket, if it keeps them, and copies on other machines.")
    if told.get("registry_keeps"):
        todo.append("Run `mlflow gc` on the MLflow server.")
    return todo
