"""What an erasure needs of a site."""

from collections.abc import Callable
from dataclasses import dataclass

from atalaia.app.settings import Settings
from atalaia.kit.blobs import Blobs
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.jobs import JobQueue
from atalaia.kit.privacy import Privacy
from atalaia.kit.signatures import Signatures
from atalaia.lifecycle.erasure import ModelErasure
from atalaia.signals.erasure import SeriesErasure
from atalaia.signals.service import Signals


@dataclass(frozen=True, slots=True)
class Parts:
    """The site, as far as erasures touch it."""

    settings: Settings
    database: Database
    blobs: Blobs
    outbox: Outbox
    queue: JobQueue
    privacy: Privacy
    signatures: Signatures
    signals: Signals
    series: SeriesErasure
    models: ModelErasure
    refresh: Callable[[], object]
    """Lets this process load what serves now."""
