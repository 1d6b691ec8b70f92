"""Closed files of the journal, and old events of the trail, go to the blob store; the trail says what went there.

Of each journal the blob store gets the original, byte for byte (compressed), which can be verified, and the same
predictions as Parquet, which can be read. Files of processes that died are taken over by whoever finds them.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import structlog
from sqlalchemy import select

from atalaia.core.clock import MICROS, isoformat, now_us
from atalaia.core.errors import AtalaiaError
from atalaia.kit.audit.columns import NamesOf, parquet_of, parquet_of_events
from atalaia.kit.audit.frames import START, DamagedError, Frame, Kind, frames, opened
from atalaia.kit.audit.segments import EXPORTED, WAITING, claimed, mapped, segments
from atalaia.kit.audit.settings import AuditSettings
from atalaia.kit.audit.trail import Trail
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.kit.heap import give_back
from atalaia.kit.notes import AuditEventRow, AuditHeadRow, lock_head, note, prune

_log = structlog.get_logger(__name__)
JOURNALS, PREDICTIONS, EVENTS = "audit/journal", "audit/predictions", "audit/events"
_DAY_US = 86_400 * MICROS
_MOST_EVENTS = 50_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a journal holds: its frames up to where it is damaged, if it is."""

    frames: list[Frame]
    damage: DamagedError | None

    @property
    def count(self) -> int:
        """How many predictions."""
        return sum(frame.count for frame in self.frames)

    @property
    def last(self) -> str:
        """The hash of the last frame."""
        return (self.frames[-1].hash if self.frames else START).hex()

    @property
    def is_closed(self) -> bool:
        """Whether it ends as one that was closed does."""
        return bool(self.frames) and self.frames[-1].kind == Kind.CLOSED


def told_by(data: memoryview | bytes) -> Told:
    """Return what a journal holds."""
    found: list[Frame] = []
    try:
        for frame in frames(data):
            found.append(frame)
    except DamagedError as error:
        return Told(found, error)
    return Told(found, None)


class Exporter:
    """Brings journals and the trail to the blob store, and removes what was kept long enough."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        blobs: Blobs,
        trail: Trail,
        settings: AuditSettings,
        names_of: NamesOf,
    ) -> None:
        self._waiting, self._exported = folder / WAITING, folder / EXPORTED
        self._database = database
        self._blobs = blobs
        self._trail = trail
        self._settings = settings
        self._names_of = names_of

    def export_journals(self) -> int:
        """Export the files that nobody writes any more; return how many."""
        done = 0
        for path in segments(self._waiting):
            with claimed(path) as file:
                if file is None or not path.exists():
                    continue
                try:
                    done += self._export(path, file)
                except AtalaiaError as error:  # the blob store is down, say: later
                    _log.warning("journal_not_exported", segment=path.stem, code=error.code, detail=error.detail)
                except Exception:  # one that cannot be read may not hold up the others
                    _log.exception("journal_not_exported", segment=path.stem)
        if done:
            give_back()  # several times what a file takes
        return done

    def export_trail(self, *, all_of_it: bool = False) -> int:
        """Export the events that were not yet, once the oldest of them is a day old; return how many."""
        with self._database.read() as session:
            head = session.scalar(select(AuditHeadRow.exported_to)) or 0
            query = select(AuditEventRow).where(AuditEventRow.sequence > head)
            rows = session.scalars(query.order_by(AuditEventRow.sequence).limit(_MOST_EVENTS)).all()
        if not rows or (rows[0].at > now_us() - _DAY_US and not all_of_it):
            return 0
        first, last = rows[0], rows[-1]
        key = f"{EVENTS}/date={isoformat(first.at)[:10]}/{first.sequence:012d}-{last.sequence:012d}.parquet"
        names = [column.key for column in AuditEventRow.__table__.columns]
        blob = self._blobs.put(key, parquet_of_events([{n: getattr(row, n) for n in names} for row in rows]))
        with self._database.write() as session:
            held = lock_head(session)
            if held.exported_to != head:  # another process was faster, with the same events
                return 0
            held.exported_to = last.sequence
            ends: dict[str, Any] = {"first": first.sequence, "last": last.sequence}
            note(session, "trail_exported", key, **ends, hash=last.hash, sha256=blob.sha256)
        return len(rows)

    def tidy(self, *, with_shared: bool) -> None:
        """Remove what was kept long enough: local files, and with `with_shared` what all processes share."""
        before_s = now_us() / MICROS - self._settings.local_days * 86_400
        for path in segments(self._exported):
            with suppress(FileNotFoundError):  # another process was faster
                if path.stat().st_mtime < before_s:
                    path.unlink()
        if not with_shared:
            return
        before = now_us() - int(self._settings.keep_days * _DAY_US)
        self._remove_before(isoformat(max(before, 0))[:10])
        with self._database.write() as session:
            prune(session, before)

    def _remove_before(self, day: str) -> None:
        for folder in (JOURNALS, PREDICTIONS, EVENTS):
            old = [
                blob.key for blob in self._blobs.list(folder) if blob.key.split("/")[2].removeprefix("date=") < day
            ]
            for key in old:
                if folder == JOURNALS:
                    segment = Path(key).name.partition(".")[0]
                    self._trail.note("journal_removed", "system", segment, {"key": key})
                self._blobs.delete(key)

    def _export(self, path: Path, file: int) -> int:
        name = path.stem
        with mapped(path) as data:
            told = told_by(data)
            whole = len(data)
        damage = told.damage
        if damage is not None and damage.is_torn:  # its process died while it wrote; this was never acknowledged
            os.ftruncate(file, damage.offset)
            os.fsync(file)
            with mapped(path) as data:
                told = told_by(data)
        if not told.frames and damage is not None and damage.is_torn:
            path.unlink()
            self._trail.note("journal_empty", "system", name, {"torn_bytes": whole})
            return 0
        if not told.is_closed:
            torn = whole - damage.offset if damage is not None and damage.is_torn else 0
            self._trail.note("journal_recovered", "system", name, _summary(told) | {"torn_bytes": torn})
        if told.damage is not None:  # exported as it is: it is evidence
            _log.error("journal_damaged", segment=name, reason=str(told.damage))
            self._trail.note("journal_damaged", "system", name, {"reason": str(told.damage)})
        exported = self._put(path, told)
        self._trail.note("journal_exported", "system", name, _summary(told) | exported)
        if not self._trail.flush():
            return 0  # nobody knows of it yet: once more, later
        self._exported.mkdir(exist_ok=True)
        path.rename(self._exported / path.name)
        _log.info("journal_exported", segment=name, predictions=told.count)
        return 1

    def _put(self, path: Path, told: Told) -> dict[str, Any]:
        day = isoformat(opened(told.frames[0]).at)[:10] if told.frames else isoformat(now_us())[:10]
        with mapped(path) as raw:
            told_of = {"sha256": sha256_of(raw), "bytes": len(raw)}
            packed = bytes(cramjam.zstd.compress(raw))
        key = f"{JOURNALS}/date={day}/{path.name}.zst"
        self._blobs.put(key, packed)
        data, rows = parquet_of(told.frames, self._names_of)
        rows_key = f"{PREDICTIONS}/date={day}/{path.stem}.parquet"
        blob = self._blobs.put(rows_key, data)
        return {"journal": key, **told_of, "parquet": rows_key, "parquet_sha256": blob.sha256, "rows": rows}


def _summary(told: Told) -> dict[str, Any]:
    first = told.frames[0].hash.hex() if told.frames else ""
    return {"count": told.count, "frames": len(told.frames), "first": first, "last": told.last}
