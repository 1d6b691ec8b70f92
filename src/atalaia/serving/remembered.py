"""What serves, remembered in a file beside the artefacts, so that a predictor can start without the database.

A predictor writes the file when the database tells of a change, whole or not at all. It is read only by a process
that starts while the database is down; one that runs knows more. What it names is loaded from the local copies of
the artefacts, each held against its SHA-256 as always.
"""

import threading
import time
from pathlib import Path

import msgspec
import structlog

from atalaia.core.errors import Unavailable
from atalaia.core.models import Deployment, ModelKey, Stage
from atalaia.kit.files import write_whole
from atalaia.serving.ports import Deployments

_log = structlog.get_logger(__name__)
_WRITE_SHARE = 0.05
"""Writing the file may take this share of the time."""


class RememberedDeployments:
    """The deployments of `source`, and those of the file where it cannot be asked for the first time.

    Parameters
    ----------
    path
        The file. Predictors that share a data folder share it: all write the same, sooner or later.

    Attributes
    ----------
    writes
        Whether this process keeps the file.
    """

    def __init__(self, source: Deployments, path: Path) -> None:
        self._source = source
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Deployment] = {}
        self._is_told = False
        self._is_stale = False
        self._write_at = 0.0
        self.writes = False

    @property
    def is_there(self) -> bool:
        """Whether there is a file to start from."""
        return self._path.is_file()

    def deployments(self, after_revision: int = 0) -> list[Deployment]:
        """Return the deployments that changed after a revision, oldest change first.

        Raises
        ------
        Unavailable
            When the database cannot be asked, and it or the file has told something before, or there is no file.
        """
        try:
            changed = self._source.deployments(after_revision)
        except Unavailable:
            with self._lock:
                found = [] if after_revision or self._is_told else self._read()
            if not found:
                raise
            _log.warning("deployments_remembered", count=len(found), path=str(self._path))
            return found
        with self._lock:
            if changed or not after_revision:
                before = dict(self._known)
                if not after_revision:
                    self._known.clear()
                self._learn(changed)
                self._is_stale = self._is_stale or self._known != before or not self._is_told
            self._is_told = True
            if self.writes and self._is_stale and time.monotonic() >= self._write_at:
                self._keep()
        return changed

    def removals(self) -> int:
        """Return how often models were removed."""
        return self._source.removals()

    def version(self, key: ModelKey, number: int) -> Deployment | None:
        """Return one version, wherever it stands, None when there is none."""
        try:
            return self._source.version(key, number)
        except Unavailable:
            with self._lock:
                known = [*self._known.values()]
            for deployment in known:
                if deployment.key == key and deployment.number == number:
                    return deployment
            raise

    def _learn(self, changed: list[Deployment]) -> None:
        for key in {str(deployment.key) for deployment in changed}:  # what is told of a model is all of it
            for stage in Stage:
                self._known.pop((key, stage.value), None)
        self._known.update({(str(d.key), d.stage.value): d for d in changed})

    def _keep(self) -> None:
        started = time.monotonic()
        try:
            write_whole(self._path, msgspec.json.encode(list(self._known.values())))
            self._is_stale = False
        except OSError as error:  # a full disk, say: what serves goes on serving
            _log.warning("deployments_not_remembered", error=str(error)[:500])
        now = time.monotonic()
        self._write_at = now + (now - started) / _WRITE_SHARE

    def _read(self) -> list[Deployment]:
        try:
            rows = msgspec.json.decode(self._path.read_bytes(), type=list[Deployment])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            _log.error("deployments_not_read", path=str(self._path), error=str(error)[:500])
            return []
        found = sorted(rows, key=lambda d: (d.revision, d.number))
        self._known = {(str(d.key), d.stage.value): d for d in found}
        self._is_told = True
        return found
