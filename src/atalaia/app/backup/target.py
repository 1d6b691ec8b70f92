"""Where backups lie: a folder or a bucket.

::

    manifests/<backup>.json     one backup; sealed ones end with .sealed
    blobs/ab/<name>             pieces, shared by all backups
    running/<what>-<id>.json    who works here right now
"""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cramjam

from atalaia.app.backup.manifest import Manifest, Piece, damaged, decode, encode
from atalaia.app.backup_settings import BackupSettings
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Broken, Denied, Missing, Unavailable
from atalaia.core.ids import new_id
from atalaia.kit.blobs import Blobs, BlobsSettings, Bucket, Listed, Store, sha256_of
from atalaia.kit.leases import is_gone, owner_name
from atalaia.kit.sealing import Sealer, sealer_of

_PACKED = ".zst"
_PART = ".part"
_STALE_US = 24 * 3600 * MICROS
"""How long a mark of work counts whose process cannot be asked: no backup takes a day."""


class FolderStore:
    """A folder as a store of objects."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        with _reached(self.name):
            self._blobs = Blobs(root)

    def put(self, key: str, data: bytes) -> None:
        """Store an object, whole or not at all."""
        with _reached(self.name):
            self._blobs.put(key, data)

    def get(self, key: str) -> bytes:
        """Return an object, or raise `Missing`."""
        with _reached(self.name):
            return self._blobs.get(key)

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of an object, or raise `Missing`."""
        with _reached(self.name):
            return self._blobs.begin(key, length)

    def size(self, key: str) -> int | None:
        """Return the size of an object, None when there is none."""
        try:
            return self._blobs.path(key).stat().st_size
        except OSError:
            return None

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        with _reached(self.name):
            self._blobs.delete(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder in order, unfinished ones left out."""
        with _reached(self.name):
            yield from (found for found in self._blobs.list(prefix) if not found.key.endswith(_PART))


class Target:
    """A place for backups.

    Parameters
    ----------
    sealer
        Seals everything that is written; None leaves it readable.
    """

    def __init__(self, store: Store, sealer: Sealer | None) -> None:
        self._store = store
        self.sealer = sealer
        self.name = store.name

    def names(self) -> set[str]:
        """Return the names of all pieces that are here."""
        return {found.key.rpartition("/")[2] for found in self._store.list("blobs")}

    def name_of(self, sha256: str, *, packed: bool) -> str:
        """Return the name of the piece with this checksum, compressed or as it is."""
        name = sha256 if self.sealer is None else self.sealer.name(sha256)
        return name + (_PACKED if packed else "")

    def put(self, name: str, data: bytes) -> int:
        """Store a piece and return how many bytes that took."""
        if name.endswith(_PACKED):
            data = bytes(cramjam.zstd.compress(data, 3))
        if self.sealer is not None:
            data = self.sealer.seal(data, name.encode())
        self._store.put(_key(name), data)
        return len(data)

    def get(self, piece: Piece, backup_id: str) -> bytes:
        """Return a piece, checked.

        Raises
        ------
        Broken
            When it is gone or damaged.
        """
        try:
            data = self._store.get(_key(piece.name))
            if self.sealer is not None:
                data = self.sealer.open(data, piece.name.encode())
            if piece.name.endswith(_PACKED):
                data = bytes(cramjam.zstd.decompress(data, output_len=piece.size))
        except Missing as error:
            raise damaged(backup_id, f"the piece {piece.name} is gone") from error
        except (Broken, Denied) as error:
            raise damaged(backup_id, f"the piece {piece.name}: {error.detail}") from error
        except (cramjam.DecompressionError, ValueError) as error:
            raise damaged(backup_id, f"the piece {piece.name} cannot be decompressed") from error
        if len(data) != piece.size or sha256_of(data) != piece.sha256:
            raise damaged(backup_id, f"the checksum of the piece {piece.name} differs")
        return data

    def delete(self, name: str) -> None:
        """Remove a piece."""
        self._store.delete(_key(name))

    def ids(self) -> list[str]:
        """Return the ids of all backups, the oldest first."""
        return sorted(found.key.rpartition("/")[2].partition(".")[0] for found in self._store.list("manifests"))

    def write(self, manifest: Manifest) -> None:
        """Store a manifest: from now on the backup is one."""
        data, key = encode(manifest), self._manifest_key(manifest.backup_id, sealed=manifest.sealed)
        self._store.put(key, self.sealer.seal(data, key.encode()) if self.sealer is not None else data)

    def read(self, backup_id: str) -> Manifest:
        """Return a manifest.

        Raises
        ------
        Missing, Broken, Denied, Conflict
            When there is none, it is damaged, sealed with another key, or of a later release.
        """
        key = self._manifest_key(backup_id, sealed=False)
        with suppress(Missing):
            return decode(self._store.get(key), backup_id)
        key = self._manifest_key(backup_id, sealed=True)
        try:
            data = self._store.get(key)
        except Missing as error:
            raise Missing("unknown_backup", f"there is no backup {backup_id} in {self.name}") from error
        if self.sealer is None:
            detail = f"backup {backup_id} is sealed; name its key in backup.passphrase_file or backup.key_file"
            raise Denied("wrong_key", detail)
        try:
            return decode(self.sealer.open(data, key.encode()), backup_id)
        except Denied as error:
            detail = f"backup {backup_id} was sealed with another key, or the beginning of its manifest is damaged"
            raise Denied("wrong_key", detail) from error
        except Broken as error:
            raise damaged(backup_id, "its manifest was changed") from error

    def remove(self, backup_id: str) -> None:
        """Remove a manifest: from now on the backup is none."""
        for sealed in (False, True):
            self._store.delete(self._manifest_key(backup_id, sealed=sealed))

    @contextmanager
    def working(self, what: str) -> Generator[None]:
        """Let others see that somebody works here while the block runs."""
        key = f"running/{what}-{new_id('run')}.json"
        self._store.put(key, json.dumps({"owner": owner_name(), "since": now_us()}).encode())
        try:
            yield
        finally:
            with suppress(AtalaiaError):  # it counts for a day at most
                self._store.delete(key)

    def at_work(self, what: str) -> bool:
        """Say whether anybody does this here right now."""
        for found in self._store.list("running"):
            if not found.key.startswith(f"running/{what}-"):
                continue
            try:
                mark = json.loads(self._store.get(found.key))
                if now_us() - int(mark["since"]) < _STALE_US and not is_gone(str(mark["owner"])):
                    return True
            except (Missing, ValueError, KeyError, TypeError):
                continue
            self._store.delete(found.key)
        return False

    @staticmethod
    def _manifest_key(backup_id: str, *, sealed: bool) -> str:
        return f"manifests/{backup_id}.{'sealed' if sealed else 'json'}"


def open_target(url: str, settings: BackupSettings, bucket: BlobsSettings) -> Target:
    """Return the target at a path or URL.

    Parameters
    ----------
    bucket
        How to reach buckets, where `settings` does not say.

    Raises
    ------
    Invalid, Unavailable
        When it cannot be used.
    """
    sealer = sealer_of(settings.passphrase_file, settings.key_file, "backup")
    store: Store = Bucket(url, settings.bucket or bucket) if "://" in url else FolderStore(Path(url))
    target = Target(store, sealer)
    for backup_id in target.ids()[-1:]:
        if sealer is not None:
            with suppress(AtalaiaError):  # so that pieces have the names that they have there
                target.read(backup_id)
    return target


@contextmanager
def _reached(name: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        detail = f"the folder of backups {name} cannot be used ({error.strerror or error})"
        raise Unavailable("blobs_unavailable", detail, retry_after_s=60) from error


def _key(name: str) -> str:
    return f"blobs/{name[:2]}/{name}"
