"""MLflow as the model registry: runs with parameters, metrics and artefact; versions; stages as aliases and tags.

One registered model a series or fleet, one version a training, one artefact (house decision 2). MLflow is imported
when it is first used: that takes a second, and most processes never do.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import fcntl
import itertools
import sqlite3
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import structlog

from atalaia.core.errors import Unavailable
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.kit.logs import take_over

_log = structlog.get_logger(__name__)
_FILE = "model.npz"
_ALIASES = {Stage.PRODUCTION: "champion", Stage.STAGING: "candidate"}
_PARAMETER_CHARACTERS = 500
_OPENINGS = itertools.count()
"""Of any registry in this process, see `MlflowRegistry._open`."""
T = TypeVar("T")


class Artefact(Protocol):
    """What is published, as lifecycle has it."""

    @property
    def key(self) -> ModelKey:
        """Return what the model is of."""
        ...

    @property
    def job_id(self) -> str:
        """Return the training that made it."""
        ...

    @property
    def data(self) -> bytes:
        """Return the artefact."""
        ...

    @property
    def sha256(self) -> str:
        """Return its checksum."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Return what else to note of it: its signature."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Return what it was trained with."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return what its training measured."""
        ...


def registered_name(key: ModelKey) -> str:
    """Return what MLflow calls the model: ``anomaly-detector-<series>``, ``anomaly-detectors-<fleet>``."""
    plural = "s" if key.scope is Scope.FLEET else ""
    return f"anomaly-detector{plural}-{quote(key.name, safe=' ')}"


class MlflowRegistry:
    """A registry in a folder of its own: a SQLite file and a folder of artefacts, no server.

    Whatever MLflow raises becomes `Unavailable`, and the next call starts over with a new client: the folder
    may have been removed, damaged or put back meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._client: Any = None
        self._experiment = ""

    def publish(self, artefact: Artefact) -> str:
        """Log a training and register its version; return the run. Twice for the same job is once.

        Raises
        ------
        Unavailable
            When MLflow cannot be used.
        """
        return self._call("publish", lambda client: self._publish(client, artefact))

    def set_stage(self, key: ModelKey, run_id: str, number: int, stage: Stage) -> None:
        """Note where a version stands: aliases ``champion`` and ``candidate``, tags ``stage`` and ``version``.

        Raises
        ------
        Unavailable
            When MLflow cannot be used.
        """
        self._call("set_stage", lambda client: self._set_stage(client, key, run_id, number, stage))

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run, straight from MLflow's folder of artefacts: no import, no query.

        Raises
        ------
        Unavailable
            When it is not there.
        """
        try:
            return self._artefact(run_id).read_bytes()
        except OSError as error:
            _log.warning("registry_failed", call="fetch", error=str(error)[:500])
            raise self._unavailable(error) from error

    def check(self) -> None:
        """Raise `Unavailable` unless MLflow answers and its file is sound."""
        self._call("check", self._check)

    def _check(self, client: Any) -> None:
        client.search_registered_models(max_results=1)
        told = _ask(self._folder / "mlflow.db", "PRAGMA quick_check(1)")
        if told != "ok":
            raise sqlite3.DatabaseError(told)

    def _publish(self, client: Any, artefact: Artefact) -> str:
        name = registered_name(artefact.key)
        filters = f"tags.job_id = '{artefact.job_id}'"
        known = client.search_runs([self._experiment], filters, max_results=1)
        run_id = known[0].info.run_id if known else self._log_run(client, name, artefact)
        for tag, value in artefact.tags.items() if known else ():  # another attempt signed another statement
            client.set_tag(run_id, tag, value)
        if not client.search_model_versions(f"run_id = '{run_id}'", max_results=1):
            self._register(client, name, run_id, artefact)
        return run_id

    def _log_run(self, client: Any, name: str, artefact: Artefact) -> str:
        from mlflow.entities import Metric, Param

        tags = {"model": str(artefact.key), "job_id": "", "sha256": artefact.sha256, **artefact.tags}
        run_id = client.create_run(self._experiment, run_name=name[:200], tags=tags).info.run_id
        params = [Param(k, str(v)[:_PARAMETER_CHARACTERS]) for k, v in artefact.parameters.items()]
        metrics = [Metric(k, float(v), 0, 0) for k, v in artefact.metrics.items()]
        client.log_batch(run_id, params=params, metrics=metrics)
        target = self._artefact(run_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(artefact.data)
        client.set_terminated(run_id)
        # the job's tag comes last: a run that carries it is complete
        client.set_tag(run_id, "job_id", artefact.job_id)
        return run_id

    def _register(self, client: Any, name: str, run_id: str, artefact: Artefact) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name, tags={"model": str(artefact.key)})
        tags = {"sha256": artefact.sha256, "stage": Stage.NONE.value, **artefact.tags}
        client.create_model_version(name, self._artefact(run_id).as_uri(), run_id=run_id, tags=tags)

    def _set_stage(self, client: Any, key: ModelKey, run_id: str, number: int, stage: Stage) -> None:
        name = registered_name(key)
        found = client.search_model_versions(f"run_id = '{run_id}'", max_results=1)
        if not found:
            _log.warning("version_not_in_registry", model=str(key), version=number)
            return
        version = found[0].version
        client.set_model_version_tag(name, version, "stage", stage.value)
        client.set_model_version_tag(name, version, "version", f"v{number}")
        aliases = client.get_registered_model(name).aliases
        for owner, alias in _ALIASES.items():
            if owner is stage:
                client.set_registered_model_alias(name, alias, version)
            elif str(aliases.get(alias)) == str(version):
                client.delete_registered_model_alias(name, alias)

    def _artefact(self, run_id: str) -> Path:
        return self._folder / "artifacts" / run_id / "artifacts" / _FILE

    def _call(self, what: str, act: Callable[[Any], T]) -> T:
        with self._lock:
            try:
                return act(self._open())
            except Exception as error:
                self._client = None
                _log.warning("registry_failed", call=what, error=f"{type(error).__name__}: {error}"[:500])
                raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        detail = f"the model registry in {self._folder} cannot be used ({type(error).__name__})"
        return Unavailable("registry_unavailable", detail, retry_after_s=10)

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
        experiment = client.get_experiment_by_name("atalaia")
        location = (self._folder / "artifacts").as_uri()
        self._experiment = experiment.experiment_id if experiment else client.create_experiment("atalaia", location)
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
