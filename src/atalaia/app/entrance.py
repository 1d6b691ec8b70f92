"""Who may come in, put together from the settings: tokens, users, limits, and the gate."""

from collections.abc import Generator
from contextlib import contextmanager

from atalaia.app.migrations import migrate
from atalaia.app.settings import Settings
from atalaia.connectors.oidc import ProviderDocuments
from atalaia.kit.audit.trail import Trail
from atalaia.kit.auth.access import Access
from atalaia.kit.auth.gate import Gate, check_networks
from atalaia.kit.auth.users import Users
from atalaia.kit.database import Database
from atalaia.kit.keyring import Keyring
from atalaia.kit.limits import RateLimits
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.vault import keyring_in


class Entrance:
    """All that stands between callers and doors.

    Parameters
    ----------
    audit
        Is told of logins, of every change of access, and of callers who may not.
    keyring
        What secrets are sealed with.
    """

    def __init__(
        self, database: Database, settings: Settings, telemetry: Telemetry, audit: Trail, keyring: Keyring
    ) -> None:
        check_networks(settings.trusted_proxies)
        self.is_on = settings.auth.mode == "on"
        is_limited = settings.limits.mode == "on" or (settings.limits.mode == "auto" and self.is_on)
        documents = ProviderDocuments()
        self.access = Access(database, settings.auth, settings.data_dir, telemetry, documents, keyring)
        self.users = Users(database, self.access, audit, telemetry)
        self.limits = RateLimits(settings.limits, telemetry) if is_limited else None
        self.is_guarded = self.is_on or is_limited
        access = self.access if self.is_on else None
        self.gate = Gate(access, self.limits, telemetry, settings.trusted_proxies, audit.refused)

    def start(self, *, may_remember: bool = False) -> None:
        """Begin to watch who is kept out, and to share counts; see `Access.start`."""
        if self.is_on:
            self.access.start(may_remember=may_remember)
        if self.limits is not None:
            self.limits.start()

    def stop(self) -> None:
        """Stop both."""
        self.access.stop()
        if self.limits is not None:
            self.limits.stop()


def database_of(settings: Settings) -> Database:
    """Return the database that the settings name."""
    return Database(settings.sqlalchemy_url, busy_timeout_s=settings.busy_timeout_s, settings=settings.database)


@contextmanager
def migrated(settings: Settings) -> Generator[Database]:
    """Open the database of `settings`, for whoever may write it; no service needs to run."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = database_of(settings)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


@contextmanager
def local_users(settings: Settings) -> Generator[Users]:
    """Open the users in the database of `settings`."""
    with migrated(settings) as database:
        keyring = keyring_in(settings.data_dir, settings.encryption)
        yield Entrance(database, settings, Telemetry(), Trail(database), keyring).users
