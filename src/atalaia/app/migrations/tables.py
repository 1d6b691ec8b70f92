"""All tables of all slices: the schema as the code has it."""

from atalaia.kit import erasures, facts, idempotency, leases, notes
from atalaia.kit.auth import store as auth
from atalaia.kit.database import Table
from atalaia.kit.jobs import queue
from atalaia.lifecycle import store as lifecycle
from atalaia.serving import store as serving
from atalaia.signals.store import anomalies, catalogue, events, follower, history, thresholds

WHERE_TABLES_ARE = (
    erasures,
    facts,
    idempotency,
    leases,
    notes,
    auth,
    queue,
    lifecycle,
    serving,
    anomalies,
    catalogue,
    events,
    follower,
    history,
    thresholds,
)
"""Importing these fills the metadata."""
METADATA = Table.metadata
