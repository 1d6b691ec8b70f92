"""Looking after backups: are they whole, and which are too old."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from atalaia.app.backup.creation import unheard
from atalaia.app.backup.manifest import Manifest
from atalaia.app.backup.target import Target
from atalaia.app.backup_settings import BackupSettings
from atalaia.core.clock import MICROS, now_us, to_us
from atalaia.core.errors import AtalaiaError, Broken, Busy, Invalid, Missing

_DAY_US = 86_400 * MICROS


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: ids of backups, and how many pieces."""

    backups: list[str]
    pieces: int
    kept: int


def chosen(target: Target, at: str | None) -> Manifest:
    """Return the manifest of a backup by its id, of the newest one before a moment, or of the newest.

    Raises
    ------
    Missing, Broken, Denied, Conflict
        When there is none, or it cannot be read.
    """
    if at is not None and at.startswith("bak_"):
        return target.read(at)
    before_us = None if at is None else _moment(at)
    for backup_id in reversed(target.ids()):
        manifest = target.read(backup_id)
        if before_us is None or manifest.snapshot_at <= before_us:
            return manifest
    before = f" of {at} or before" if at else ""
    raise Missing("unknown_backup", f"there is no backup{before} in {target.name}")


def _moment(text: str) -> int:
    try:
        return to_us(datetime.fromisoformat(text))
    except ValueError as error:
        detail = f"{text[:40]!r} is neither the id of a backup nor a time with its zone, like 2026-01-31T12:00:00Z"
        raise Invalid("invalid_time", detail) from error


def verify(target: Target, manifest: Manifest, report: Callable[[float], None] = unheard) -> int:
    """Read a backup from end to end; return how many bytes that are.

    Raises
    ------
    Broken
        When a piece is gone or damaged.
    """
    pieces = {piece.name: piece for file in manifest.files for piece in file.pieces}
    for done, piece in enumerate(pieces.values()):
        target.get(piece, manifest.backup_id)
        report(done / len(pieces))
    return sum(piece.size for piece in pieces.values())


def prune(target: Target, settings: BackupSettings, *, dry_run: bool = False) -> Pruned:
    """Remove backups that are too old, and pieces that are of no backup any more.

    The newest ones stay however old they are. A manifest that cannot be read keeps everything: its pieces are not
    known.

    Raises
    ------
    Busy
        When a backup is being made: it may rely on pieces that no manifest names yet.
    Broken, Denied, Conflict
        When a manifest cannot be read. Nothing was removed.
    """
    if dry_run:
        return _prune(target, settings, dry_run=True)
    with target.working("prune"):
        if target.at_work("backup"):
            raise Busy("backups_in_use", f"a backup is being made in {target.name}", retry_after_s=300)
        return _prune(target, settings, dry_run=False)


def _prune(target: Target, settings: BackupSettings, *, dry_run: bool) -> Pruned:
    manifests = _all_read(target)
    horizon = now_us() - int(settings.keep_days * _DAY_US)
    old = [one for one in manifests[: -settings.keep_newest] if one.snapshot_at < horizon]
    kept = manifests[len(old) :] if old else manifests
    named = set[str]().union(*(one.names() for one in kept))
    stale = sorted(target.names() - named)
    if not dry_run:
        for one in old:  # first, so that no backup is ever without a piece
            target.remove(one.backup_id)
        for name in stale:
            target.delete(name)
    return Pruned([one.backup_id for one in old], len(stale), len(kept))


def _all_read(target: Target) -> Sequence[Manifest]:
    found: list[Manifest] = []
    for backup_id in target.ids():
        try:
            found.append(target.read(backup_id))
        except AtalaiaError as error:
            if isinstance(error, Broken):
                detail = f"{error.detail}. Nothing was removed; remove this manifest by hand if you can do without"
                raise Broken("bad_backup", detail) from error
            raise
    return found
