"""The parts as fixtures, one of each for a process of tests, started when first asked for.

A test that stops a part starts it again before it ends, or starts one of its own.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket

from tests.journeys.conftest import log_plainly
from tests.parts import stores
from tests.parts.buckets import rent
from tests.parts.mlflow_server import MlflowService
from tests.parts.postgres import PgBouncer, Postgres
from tests.parts.rabbitmq import RabbitMq
from tests.parts.redis import Redis


@pytest.fixture(scope="session")
def parts_folder() -> Iterator[Path]:
    """Yield where the parts keep what is theirs.

    Not below pytest's own folder: each run of pytest that begins closes that to all other users, and so to the
    servers of a run that goes on.
    """
    pytest_socket.enable_socket()
    with tempfile.TemporaryDirectory(prefix="atalaia-parts-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def plainly() -> Iterator[None]:
    """Log without coloured tracebacks, which take seconds each."""
    with log_plainly():
        yield


@pytest.fixture(scope="session")
def postgres(parts_folder: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL server."""
    with Postgres(parts_folder / "postgres") as part:
        yield part


@pytest.fixture(scope="session")
def pgbouncer(parts_folder: Path, postgres: Postgres) -> Iterator[PgBouncer]:
    """Run a pool in transaction mode before it."""
    with PgBouncer(parts_folder / "pgbouncer", postgres) as part:
        yield part


@pytest.fixture(scope="session")
def redis_server(parts_folder: Path) -> Iterator[Redis]:
    """Run a Redis server."""
    with Redis(parts_folder / "redis") as part:
        yield part


@pytest.fixture(scope="session")
def rabbitmq(parts_folder: Path) -> Iterator[RabbitMq]:
    """Run a RabbitMQ broker."""
    with RabbitMq(parts_folder / "rabbitmq") as part:
        yield part
        part.close()


@pytest.fixture(scope="session")
def moto(parts_folder: Path) -> Iterator[stores.Store]:
    """Run S3, in Python."""
    with stores.moto(parts_folder / "moto") as part:
        yield part


@pytest.fixture(scope="session")
def rclone(parts_folder: Path) -> Iterator[stores.Store]:
    """Run S3, in Go."""
    with stores.rclone(parts_folder / "rclone") as part:
        yield part


@pytest.fixture(scope="session")
def azurite(parts_folder: Path) -> Iterator[stores.Store]:
    """Run Azure Blob Storage."""
    with stores.azurite(parts_folder / "azurite") as part:
        yield part


@pytest.fixture(scope="session")
def google(parts_folder: Path) -> Iterator[stores.Store]:
    """Run Google Cloud Storage."""
    with stores.google(parts_folder / "google") as part:
        yield part


@pytest.fixture(scope="session")
def mlflow_server(parts_folder: Path, postgres: Postgres, moto: stores.Store) -> Iterator[MlflowService]:
    """Run an MLflow server that serves artefacts, on PostgreSQL and S3."""
    with MlflowService(parts_folder / "mlflow", postgres, rent("moto", moto)) as part:
        yield part
