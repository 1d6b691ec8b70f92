"""A site out of a backup.

Everything is fetched and checked beside the place where it will be, inside the data folder. Objects go to the blob
store first, where nothing names them yet; then the files are moved in; the database comes last. Whatever interrupts
a restore, there is no half site: without a database there is none, and the restore can be done again.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from atalaia.app.backup.creation import unheard
from atalaia.app.backup.dumps import load
from atalaia.app.backup.manifest import DATABASE, KEPT, OBJECT, REGISTRY, SECRET, File, Manifest
from atalaia.app.backup.site import OURS, REGISTRY_DATABASE, Site
from atalaia.app.backup.site import REGISTRY as REGISTRY_FOLDER
from atalaia.app.backup.target import Target
from atalaia.app.migrations import knows
from atalaia.core.clock import now_us
from atalaia.core.errors import Broken, Conflict
from atalaia.kit.database import Database
from atalaia.kit.jobs import JobStatus
from atalaia.kit.jobs.rows import JobRow
from atalaia.kit.leases import LeaseRow
from atalaia.signals.store.follower import FollowerRow

_STAGING = ".restoring-"
_BEFORE = ".before-"
Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done.

    Attributes
    ----------
    lost_s
        Age of the snapshot when the restore began: what was acknowledged later is lost (the RPO of this restore).
    before
        Where the files of the site lie that was here before, empty when there was none.
    """

    backup_id: str
    snapshot_at: int
    lost_s: float
    took_s: float
    objects: int
    size_bytes: int
    damaged: list[str]
    before: str


def check(site: Site, manifest: Manifest, *, force: bool) -> None:
    """Refuse what cannot be restored here.

    Raises
    ------
    Conflict
        When the backup is of a later release or for another database, or the place is taken.
    """
    if not knows(manifest.revision):
        detail = f"backup {manifest.backup_id} was made by a later release ({manifest.release}); install that one"
        raise Conflict("later_backup", detail)
    kind = "sqlite" if site.database_file is not None else "postgresql"
    if kind != manifest.database:
        detail = f"backup {manifest.backup_id} is of {manifest.database}, database_url names {kind}"
        raise Conflict("other_database", detail)
    if site.is_empty():
        return
    if not force:
        detail = f"there is a site in {site.folder} or its database; restore into an empty one, or use --force"
        raise Conflict("site_not_empty", detail)
    if site.runs():
        raise Conflict("site_runs", "the service still runs, or ended a moment ago; stop it and wait a minute")


def restore(
    site: Site, target: Target, manifest: Manifest, *, force: bool = False, report: Report = unheard
) -> Restored:
    """Make a site out of a backup.

    Raises
    ------
    Conflict
        See `check`.
    Broken
        When a piece of the backup is gone or damaged. There is no site then.
    Unavailable
        When something cannot be reached, or the disk is full. There is no site then.
    """
    check(site, manifest, force=force)
    began = now_us()
    site.folder.mkdir(parents=True, exist_ok=True)
    for path in site.folder.glob(f"{_STAGING}*"):  # of a restore that was interrupted
        shutil.rmtree(path)
    staging = site.folder / f"{_STAGING}{manifest.backup_id}"
    staging.mkdir()
    try:
        before = _restore(site, target, manifest, staging, report)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    report(1.0)
    return Restored(
        backup_id=manifest.backup_id,
        snapshot_at=manifest.snapshot_at,
        lost_s=max(0.0, (began - manifest.snapshot_at) / 1e6),
        took_s=(now_us() - began) / 1e6,
        objects=len(manifest.of_kind(OBJECT)),
        size_bytes=manifest.size_bytes,
        damaged=manifest.damaged,
        before=before,
    )


def _restore(site: Site, target: Target, manifest: Manifest, staging: Path, report: Report) -> str:
    kinds = [KEPT, SECRET, *([REGISTRY] if site.keeps_registry else [])]
    for file in manifest.of_kind(*kinds):
        _fetch(target, manifest, file, _inside(staging, file.path))
    dump = _only(manifest)
    _fetch(target, manifest, dump, staging / "database")
    _relocate(staging / REGISTRY_DATABASE, manifest.registry_root, (site.folder / REGISTRY_FOLDER).as_uri())
    if site.database_file is not None:
        _settle_file(staging / "database")
    report(0.2)
    _put_objects(site, target, manifest, report)
    was_there = not site.is_empty()
    before = _put_aside(site, manifest) if was_there else ""
    for found in sorted(staging.iterdir()):
        if found.name != "database":
            _move(found, site.folder / found.name)
    if site.database_file is not None:
        site.database_file.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / "database", site.database_file)
        return before
    load(site.settings.sqlalchemy_url, staging / "database", clean=was_there)
    database = site.open_database()
    try:
        settle(database)
    finally:
        database.close()
    return before


def settle(database: Database) -> None:
    """Let go of what the processes of the former site held: jobs that ran are waiting again, leases are free."""
    with database.write() as session:
        running = JobRow.status == JobStatus.PROCESSING
        freed = {"status": JobStatus.QUEUED, "lease": None, "lease_until": None, "run_at": now_us()}
        session.execute(update(JobRow).where(running).values(freed))
        session.execute(update(LeaseRow).values(until=0))
        session.execute(update(FollowerRow).values(until=0))


def _settle_file(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    try:
        settle(database)
    finally:
        database.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")  # so that it is one file when it is moved
        told = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if told != "ok":
        raise Broken("bad_backup", f"the database of the backup is damaged: {told}")


def _put_objects(site: Site, target: Target, manifest: Manifest, report: Report) -> None:
    objects = manifest.of_kind(OBJECT)

    def put(file: File) -> None:
        (piece,) = file.pieces
        if not site.blobs.is_whole(file.path, piece.sha256, file.size):
            site.blobs.put(file.path, target.get(piece, manifest.backup_id))

    with ThreadPoolExecutor(site.settings.backup.parallel, thread_name_prefix="atalaia-restore") as pool:
        try:
            for done, _ in enumerate(pool.map(put, objects)):
                report(0.2 + 0.7 * done / len(objects))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(target: Target, manifest: Manifest, file: File, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o600 if file.kind == SECRET else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        for piece in file.pieces:
            out.write(target.get(piece, manifest.backup_id))
        out.flush()
        os.fsync(out.fileno())


def _put_aside(site: Site, manifest: Manifest) -> str:
    """Move the files of the site that is here to a folder beside; its objects stay."""
    aside = site.folder / f"{_BEFORE}{manifest.backup_id}-{now_us()}"
    aside.mkdir()
    for name in OURS:
        if name != "blobs" and (site.folder / name).exists():
            os.replace(site.folder / name, aside / name)
    return str(aside)


def _move(found: Path, place: Path) -> None:
    """Move a file or folder to its place; what an interrupted restore has left there goes."""
    if place.is_dir():
        shutil.rmtree(place)
    os.replace(found, place)


def _relocate(registry: Path, before: str, now: str) -> None:
    """Tell the registry's tables where its artefacts lie now."""
    if not registry.exists() or not before or before == now:
        return
    columns = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
               ("model_versions", "storage_location"))  # fmt: skip
    with closing(sqlite3.connect(registry)) as connection, connection:
        for table, column in columns:
            told = f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ? || '%'"  # noqa: S608  # nosec B608
            connection.execute(told, (before, now, before))


def _only(manifest: Manifest) -> File:
    found = manifest.of_kind(DATABASE)
    if len(found) != 1:
        raise Broken("bad_backup", f"backup {manifest.backup_id} has {len(found)} databases")
    return found[0]


def _inside(folder: Path, path: str) -> Path:
    place = (folder / path).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise Broken("bad_backup", f"the backup names a file outside of the data folder: {path[:80]}")
    return place
