"""MLflow without a server: a SQLite file and a folder of artefacts."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import fcntl
import itertools
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import structlog

from atalaia.connectors.mlflow.publishing import EXPERIMENT, FILE, Publisher
from atalaia.kit.logs import take_over

_log = structlog.get_logger(__name__)
_OPENINGS = itertools.count()
"""Of any registry in this process, see `MlflowRegistry._open`."""


class MlflowRegistry(Publisher):
    """A registry in a folder of its own, which may be removed, damaged or put back between calls."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = folder

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run, straight from MLflow's folder of artefacts: no import, no query."""
        try:
            return self._artefact(run_id).read_bytes()
        except OSError as error:
            _log.warning("registry_failed", call="fetch", error=str(error)[:500])
            raise self._unavailable(error) from error

    def _check(self, client: Any) -> None:
        super()._check(client)
        told = _ask(self._folder / "mlflow.db", "PRAGMA quick_check(1)")
        if told != "ok":
            raise sqlite3.DatabaseError(told)

    def _keep(self, run: Any, data: bytes) -> None:
        target = self._artefact(run.info.run_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def _remove(self, client: Any, run: Any) -> None:
        run_id: str = run.info.run_id
        if run.info.lifecycle_stage != "deleted":
            client.delete_run(run_id)
        client._tracking_client.store._hard_delete_run(run_id)  # what `mlflow gc` does
        shutil.rmtree(self._artefact(run_id).parents[1], ignore_errors=True)

    def _removed(self) -> str:
        with closing(sqlite3.connect(self._folder / "mlflow.db", timeout=30)) as connection:
            connection.execute("VACUUM")
        return ""

    def _source(self, run: Any) -> str:
        return self._artefact(run.info.run_id).as_uri()

    def _artefact(self, run_id: str) -> Path:
        return self._folder / "artifacts" / run_id / "artifacts" / FILE

    def _open(self) -> Any:
        database = self._folder / "mlflow.db"
        if self._client is not None and database.exists():
            return self._client
        from mlflow.tracking import MlflowClient

        take_over("mlflow", "alembic", "huey", "sqlalchemy.engine")
        (self._folder / "artifacts").mkdir(parents=True, exist_ok=True)
        with _alone(self._folder / "opening"):
            return self._opened(MlflowClient, database)

    def _opened(self, make_client: Any, database: Path) -> Any:
        _ask(database, "PRAGMA schema_version")  # MLflow would try for minutes to open what cannot be opened
        # MLflow keeps one engine for each URI for good; a timeout longer by nothing makes it open the file anew.
        uri = f"sqlite:///{database}?timeout={30 + next(_OPENINGS) / 1e6:.6f}"
        client = make_client(uri, uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        location = (self._folder / "artifacts").as_uri()
        self._experiment = (
            experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, location)
        )
        self._client = client
        return client


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Let one process at a time in: two that make the tables of a new file at once both fail."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ask(database: Path, question: str) -> Any:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchone()[0]
