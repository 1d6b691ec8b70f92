"""PostgreSQL and PgBouncer, real ones, from Debian's packages."""

import itertools
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT

import psycopg

from tests.journeys.servers import free_port
from tests.parts.processes import Part, owned, run

_USER = "postgres"
_NAMES = itertools.count()
_CONFIG = """
listen_addresses = '{host}'
unix_socket_directories = ''
max_connections = {connections}
shared_buffers = 128MB
log_min_messages = warning
"""


def program(name: str) -> Path:
    """Return where a program of PostgreSQL lies: Debian keeps most of them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else Path(shutil.which(name) or name)


class Postgres(Part):
    """A PostgreSQL server with a cluster of its own.

    Parameters
    ----------
    host
        Where it listens.
    within
        A command that runs the server somewhere else, in a network of its own say; it must be run by root.
    config
        Further lines of its configuration.
    wal
        Where the write-ahead log lies, in small files, when not with the data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        connections: int = 200,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
        config: str = "",
        wal: Path | None = None,
    ) -> None:
        self.port = free_port()
        self._host = host
        data = owned(folder, _USER) / "data"
        flags = ["-A", "trust", "-U", _USER, "-E", "UTF8", "--no-sync"]
        elsewhere: list[str | Path] = (
            ["--waldir", owned(wal, _USER) / "wal", "--wal-segsize=1"] if wal is not None else []
        )
        run([program("initdb"), "-D", data, *flags, *elsewhere], user=_USER)
        with (data / "postgresql.conf").open("a") as file:
            file.write(_CONFIG.format(connections=connections, host=host) + f"port = {self.port}\n{config}")
        with (data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {host}/24 trust\n")
        command: list[str | Path] = [program("postgres"), "-D", data]
        if within:
            rights = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
            command = [*within, *rights, *command]
        super().__init__(folder, command, self.answers, user=None if within else _USER, stop_by=SIGINT)

    def url(self, database: str = _USER) -> str:
        """Return where a database is, as SQLAlchemy wants it."""
        return f"postgresql+psycopg://{_USER}@{self._host}:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(_NAMES)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = _USER) -> None:
        """Run one statement as the owner of everything."""
        dsn = f"postgresql://{_USER}@{self._host}:{self.port}/{database}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def answers(self) -> bool:
        """Say whether it answers."""
        self.execute("SELECT 1")
        return True


class PgBouncer(Part):
    """A pool in transaction mode before a PostgreSQL server."""

    def __init__(self, folder: Path, server: Postgres, *, pool: int = 10) -> None:
        self.port = free_port()
        owned(folder, _USER)
        (folder / "users.txt").write_text(f'"{_USER}" ""\n')
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = trust\n"
            f"auth_file = {folder / 'users.txt'}\npool_mode = transaction\nmax_client_conn = 500\n"
            f"default_pool_size = {pool}\nserver_reset_query = DISCARD ALL\nignore_startup_parameters = options\n"
        )
        super().__init__(folder, ["pgbouncer", config], self.answers, user=_USER, stop_by=SIGINT)

    def url(self, url: str) -> str:
        """Return the URL of a database of the server, through the pool."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{url.rpartition('/')[2]}"

    def answers(self) -> bool:
        """Say whether it takes connections."""
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True
