"""The site that is backed up or restored: its settings, its database, its objects."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from atalaia.app.entrance import database_of
from atalaia.app.settings import Settings
from atalaia.core.clock import now_us
from atalaia.core.models import artefact_key
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.kit.leases import LeaseRow, is_gone
from atalaia.lifecycle.store import VersionRow
from atalaia.signals.store.follower import FollowerRow, PartRow
from atalaia.signals.store.history import BlockRow, TailRow

KEPT_FOLDERS = ("audit",)
KEPT_FILES = ("deployments.json",)
SECRETS = "secrets"
REGISTRY = "mlflow"
REGISTRY_DATABASE = f"{REGISTRY}/mlflow.db"
_DATABASE_FILES = ("atalaia.db", "atalaia.db-wal", "atalaia.db-shm")
OURS = (*_DATABASE_FILES, "blobs", REGISTRY, SECRETS, "standing.json", *KEPT_FOLDERS, *KEPT_FILES)
"""What of a data folder makes a site; copies of objects and temporary files are not among it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that the database names."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Site:
    """A site, whether its service runs or not."""

    settings: Settings
    blobs: Blobs

    @property
    def folder(self) -> Path:
        """Return its data folder."""
        return self.settings.data_dir.absolute()

    @property
    def database_file(self) -> Path | None:
        """Return the file of its database, None when a server keeps it."""
        url = self.settings.sqlalchemy_url
        return Path(url.partition("///")[2]) if url.startswith("sqlite") else None

    @property
    def keeps_registry(self) -> bool:
        """Return whether the registry lies in the data folder."""
        return self.settings.registry_url is None

    def open_database(self) -> Database:
        """Return its database."""
        return database_of(self.settings)

    def settings_sha256(self) -> str:
        """Return the checksum of the settings, secrets left out."""
        return sha256_of(self.settings.model_dump_json().encode())

    def is_empty(self) -> bool:
        """Say whether nothing of a site is here.

        Raises
        ------
        Unavailable
            When the database cannot be reached.
        """
        if self.database_file is not None:
            return not self.database_file.exists() and not (self.folder / "atalaia.db").exists()
        database = self.open_database()
        try:
            with database.read() as session:
                return not inspect(session.connection()).has_table("alembic_version")
        finally:
            database.close()

    def runs(self) -> bool:
        """Say whether a service seems to run here: somebody holds a lease that has not ended."""
        if self.is_empty():
            return False
        database = self.open_database()
        try:
            with database.read() as session:
                now = now_us()
                held = [*session.execute(select(LeaseRow.owner, LeaseRow.until)).tuples()]
                held += session.execute(select(FollowerRow.owner, FollowerRow.until)).tuples()
            return any(owner and until > now and not is_gone(owner) for owner, until in held)
        except SQLAlchemyError:
            return False  # tables of another shape, or damaged: nothing of ours runs on that
        finally:
            database.close()


def references(session: Session) -> list[Reference]:
    """Return all objects that the database names, those that are replaced soonest first."""
    parts = session.execute(select(PartRow.key, PartRow.sha256)).tuples()
    blocks = session.execute(select(BlockRow.key, BlockRow.sha256).order_by(BlockRow.created_at)).tuples()
    models = session.scalars(select(VersionRow.sha256))
    found = {key: Reference(key, sha256) for key, sha256 in (*parts, *blocks)}
    found.update({artefact_key(sha256): Reference(artefact_key(sha256), sha256) for sha256 in models})
    return list(found.values())


def revision(session: Session) -> str:
    """Return the revision of the schema."""
    return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def newest_received(session: Session) -> int | None:
    """Return when the newest batch in the tail was acknowledged."""
    return session.scalar(select(TailRow.received_at).order_by(TailRow.id.desc()).limit(1))
