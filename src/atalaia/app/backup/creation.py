"""Making a backup while the site goes on.

Objects never change under their key, but those that nothing names any more are swept. So most are copied before the
snapshot of the database is taken, and the few that it names beside them afterwards, at once; if one of these has
been swept in between, there is another snapshot. Then the dump is made, of the same snapshot, and the manifest.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from atalaia.app.backup.dumps import be_patient, copy_sqlite, dump
from atalaia.app.backup.manifest import DATABASE, FORMAT, KEPT, OBJECT, REGISTRY, SECRET, File, Manifest, Piece
from atalaia.app.backup.site import (
    KEPT_FILES,
    KEPT_FOLDERS,
    REGISTRY_DATABASE,
    SECRETS,
    Reference,
    Site,
    newest_received,
    references,
    revision,
)
from atalaia.app.backup.site import REGISTRY as REGISTRY_FOLDER
from atalaia.app.backup.target import Target
from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Broken, Busy, Conflict, Fault, Invalid, Missing
from atalaia.core.ids import new_id
from atalaia.kit.blobs import sha256_of
from atalaia.kit.database import Database
from atalaia.kit.leases import is_gone, owner_name

_log = structlog.get_logger(__name__)
_CHUNK = 4 * 2**20
"""A database is cut into pieces of this size: those that have not changed since are not copied again."""
_WHOLE = 64 * 2**20
"""Other files are a piece up to this size, so that an artefact is the same piece wherever it lies."""
_SNAPSHOTS = 5
_TEMPORARY = ".backup-"
_PRUNE_WAIT_S = 60.0
Report = Callable[[float], None]
"""Is told how much is done, 0 to 1."""


@dataclass
class _Copied:
    """What is in the target already, and what was added."""

    names: set[str]
    copied_bytes: int = 0
    files: dict[str, File] = field(default_factory=dict[str, File])
    lock: threading.Lock = field(default_factory=threading.Lock)


def unheard(done: float) -> None:
    """Tell nobody."""


def create(site: Site, target: Target, *, with_secrets: bool = False, report: Report = unheard) -> Manifest:
    """Make a backup, and return its manifest.

    Parameters
    ----------
    with_secrets
        Whether signing keys are in it although it is not sealed.

    Raises
    ------
    Missing
        When there is no site.
    Invalid
        When objects are sealed here, and the target is not.
    Busy
        When backups are being removed in the target, for longer than one waits for that.
    Unavailable
        When the site or the target cannot be used. Backups made before are as they were.
    """
    if site.is_empty():
        raise Missing("no_site", f"there is no site in {site.folder}; nothing was backed up")
    _check_apart(site, target)
    _check_sealed(site, target)
    _remove_leftovers(site.folder)
    with target.working("backup"):
        _await_prune(target)
        database = site.open_database()
        try:
            with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{owner_name()}-", dir=site.folder) as folder:
                maker = _Maker(site, target, database, Path(folder), report)
                return maker.make(with_secrets=with_secrets or target.sealer is not None)
        finally:
            database.close()


class _Maker:
    def __init__(self, site: Site, target: Target, database: Database, folder: Path, report: Report) -> None:
        self._site = site
        self._target = target
        self._database = database
        self._folder = folder
        self._report = report
        self._copied = _Copied(target.names())
        self._known = _known(target)

    def make(self, *, with_secrets: bool) -> Manifest:
        started_at, backup_id = now_us(), new_id("bak")
        with self._database.read() as session:
            ahead = references(session)
        self._copy_objects(ahead, 0.0, 0.7)
        files, facts = self._snapshot()
        for path in self._others(with_secrets=with_secrets):
            with suppress(FileNotFoundError):  # removed meanwhile
                files.append(self._copy_file(_kind_of(path), path.as_posix(), self._site.folder / path))
        if self._site.keeps_registry and (self._site.folder / REGISTRY_DATABASE).exists():
            copy_sqlite(self._site.folder / REGISTRY_DATABASE, self._folder / "registry")
            files.append(self._copy_file(REGISTRY, REGISTRY_DATABASE, self._folder / "registry", packed=True))
        self._report(0.97)
        root = (self._site.folder / REGISTRY_FOLDER).as_uri() if self._site.keeps_registry else ""
        manifest = Manifest(
            format=FORMAT,
            backup_id=backup_id,
            started_at=started_at,
            snapshot_at=facts.at,
            finished_at=now_us(),
            release=version("atalaia"),
            revision=facts.revision,
            database="sqlite" if self._database.is_sqlite else "postgresql",
            registry_root=root,
            settings_sha256=self._site.settings_sha256(),
            newest_received_at=facts.newest_received_at,
            sealed=self._target.sealer is not None,
            size_bytes=sum(file.size for file in files),
            copied_bytes=self._copied.copied_bytes,
            damaged=facts.damaged,
            files=files,
        )
        gone = manifest.names() - self._target.names()
        if gone:
            raise Broken("bad_backup", f"{len(gone)} pieces have vanished from {self._target.name} meanwhile")
        self._target.write(manifest)
        self._report(1.0)
        return manifest

    def _snapshot(self) -> "tuple[list[File], _Facts]":
        """Copy the database, and all that it names."""
        before: set[str] = set()
        for left in reversed(range(_SNAPSHOTS)):
            at = now_us()
            with self._database.read() as session:
                be_patient(session, self._database)
                wanted = references(session)
                lost = self._copy_objects(wanted, 0.7, 0.8)
                if lost and lost != before and left:
                    before = lost  # swept since: the next snapshot names others. Those lost twice are gone for good
                    _log.info("objects_moved", count=len(lost))
                    continue
                facts = _Facts(at, revision(session), newest_received(session), sorted(lost))
                self._dump(session)
            objects = [self._copied.files[one.key] for one in wanted if one.key not in lost]
            file = self._copy_file(DATABASE, "database", self._folder / "database", packed=True)
            if lost:
                _log.error("objects_not_backed_up", count=len(lost), first=sorted(lost)[0])
            return [file, *objects], facts
        raise AssertionError("unreachable")

    def _dump(self, session: Session) -> None:
        self._report(0.8)
        dump(session, self._database, self._folder / "database")
        self._report(0.85)

    def _copy_objects(self, wanted: Iterable[Reference], start: float, end: float) -> set[str]:
        """Copy objects that were not yet; return the keys of those that are gone or damaged."""
        missing = [one for one in wanted if one.key not in self._copied.files]
        lost: set[str] = set()
        with ThreadPoolExecutor(self._site.settings.backup.parallel, thread_name_prefix="atalaia-backup") as pool:
            try:
                for done, (one, is_whole) in enumerate(
                    zip(missing, pool.map(self._copy_object, missing), strict=True)
                ):
                    if not is_whole:
                        lost.add(one.key)
                    self._report(start + (end - start) * done / len(missing))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return lost

    def _copy_object(self, one: Reference) -> bool:
        name = self._target.name_of(one.sha256, packed=False)
        known = self._known.get(one.key)
        if known is not None and known.pieces[0].name == name and name in self._copied.names:
            with self._copied.lock:
                self._copied.files[one.key] = known
            return True
        try:
            data = self._site.blobs.get(one.key)
        except Missing:
            return False
        if sha256_of(data) != one.sha256:
            return False
        self._put(name, data)
        file = File(OBJECT, one.key, len(data), [Piece(name, one.sha256, len(data))])
        with self._copied.lock:
            self._copied.files[one.key] = file
        return True

    def _copy_file(self, kind: str, path: str, source: Path, *, packed: bool = False) -> File:
        pieces: list[Piece] = []
        with source.open("rb") as file:
            while data := file.read(_CHUNK if packed else _WHOLE):
                sha256 = sha256_of(data)
                piece = Piece(self._target.name_of(sha256, packed=packed), sha256, len(data))
                self._put(piece.name, data)
                pieces.append(piece)
                self._report(0.85)
        return File(kind, path, sum(piece.size for piece in pieces), pieces)

    def _put(self, name: str, data: bytes) -> None:
        if name in self._copied.names:
            return
        size = self._target.put(name, data)
        with self._copied.lock:
            self._copied.names.add(name)
            self._copied.copied_bytes += size

    def _others(self, *, with_secrets: bool) -> Iterator[Path]:
        """Yield the other files of the data folder, relative to it."""
        root = self._site.folder
        folders = [*KEPT_FOLDERS, *((SECRETS,) if with_secrets else ())]
        if self._site.keeps_registry:
            folders.append(f"{REGISTRY_FOLDER}/artifacts")
        for folder in folders:
            yield from (found.relative_to(root) for found in sorted((root / folder).rglob("*")) if found.is_file())
        yield from (Path(name) for name in KEPT_FILES if (root / name).is_file())


@dataclass(frozen=True, slots=True)
class _Facts:
    at: int
    revision: str
    newest_received_at: int | None
    damaged: list[str]


def _known(target: Target) -> dict[str, File]:
    """Return the objects of the newest backup: they need not be read again, under their key nothing changes."""
    for backup_id in target.ids()[-1:]:
        with suppress(AtalaiaError):
            return {file.path: file for file in target.read(backup_id).of_kind(OBJECT)}
    return {}


def _remove_leftovers(folder: Path) -> None:
    """Remove what backups have left whose process is gone."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        if is_gone(path.name.removeprefix(_TEMPORARY).rpartition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)


def _kind_of(path: Path) -> str:
    return {REGISTRY_FOLDER: REGISTRY, SECRETS: SECRET}.get(path.parts[0], KEPT)


def _check_apart(site: Site, target: Target) -> None:
    if "://" not in target.name and Path(target.name).absolute().is_relative_to(site.folder):
        raise Conflict("backup_inside", f"{target.name} lies in the data folder, and would be lost with it")


def _check_sealed(site: Site, target: Target) -> None:
    """Refuse to write what is sealed here where it can be read."""
    if site.settings.encryption.blobs and target.sealer is None:
        reason = (
            "objects are sealed here (encryption.blobs), so backups must be: set this, or backup.passphrase_file"
        )
        raise Invalid("invalid_settings", f"backup.key_file: {reason}", faults=[Fault("/backup/key_file", reason)])


def _await_prune(target: Target) -> None:
    deadline = time.monotonic() + _PRUNE_WAIT_S
    while target.at_work("prune"):
        if time.monotonic() > deadline:
            raise Busy("backups_in_use", f"old backups are being removed in {target.name}", retry_after_s=60)
        time.sleep(0.5)
