"""Who is kept out, remembered in a file, so that a predictor can open its doors without the database.

A predictor writes the file when the list changes, and now and then to say that it still holds. It is read only by
one that starts while the database is down. Tokens that were revoked after the last predictor of the folder ended
are not in it: so a file that is too old is none.
"""

import time
from pathlib import Path

import msgspec
import structlog

from atalaia.core.clock import MICROS, now_us
from atalaia.kit.auth.store import Standing
from atalaia.kit.files import write_whole

_log = structlog.get_logger(__name__)
_GOOD_S = 24 * 3_600.0
_AGAIN_S = 600.0


class RememberedStanding:
    """The last list that a predictor of this data folder knew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: Standing | None = None
        self._again_at = 0.0

    def keep(self, standing: Standing) -> None:
        """Write what holds now, if the file says something else or has been there for a while."""
        if standing == self._kept and time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + _AGAIN_S
        try:
            write_whole(self._path, msgspec.json.encode(standing))
        except OSError as error:  # a full disk, say: what holds goes on holding
            _log.warning("standing_not_remembered", error=str(error)[:500])
            return
        self._kept = standing

    def read(self) -> Standing | None:
        """Return what was kept within the last day, or None."""
        try:
            age_s = now_us() / MICROS - self._path.stat().st_mtime
            found = msgspec.json.decode(self._path.read_bytes(), type=Standing)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.error("standing_not_read", path=str(self._path), error=str(error)[:500])
            return None
        if age_s > _GOOD_S:
            _log.error("standing_too_old", path=str(self._path), hours=round(age_s / 3_600))
            return None
        _log.warning("standing_remembered", path=str(self._path), seconds=round(age_s))
        return found
