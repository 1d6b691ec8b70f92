"""What is published in MLflow, and how: runs with parameters, metrics and artefact; versions; stages.

One registered model a series or fleet, one version a training, one artefact (house decision 2). MLflow is imported
when it is first used: that takes a second, and most processes never do.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import structlog

from atalaia.core.errors import Unavailable
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.kit.blobs import sha256_of

_log = structlog.get_logger(__name__)
FILE = "model.npz"
"""What the artefact of a run is called."""
EXPERIMENT = "atalaia"
_ALIASES = {Stage.PRODUCTION: "champion", Stage.STAGING: "candidate"}
_PARAMETER_CHARACTERS = 500
_NAME_CHARACTERS = 256
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
    """Return what MLflow calls the model.

    That is ``anomaly-detector-<series>``, ``anomaly-detectors-<fleet>`` or ``asset-anomaly-detector-<asset>``.

    On PostgreSQL a name has room for 256 characters: the end of a longer one is its checksum.
    """
    kind = {Scope.SERIES: "anomaly-detector", Scope.FLEET: "anomaly-detectors"}.get(
        key.scope, "asset-anomaly-detector"
    )
    name = f"{kind}-{quote(key.name, safe=' ')}"
    return (
        name
        if len(name) <= _NAME_CHARACTERS
        else f"{name[: _NAME_CHARACTERS - 33]}-{sha256_of(name.encode())[:32]}"
    )


class Publisher(ABC):
    """A registry in MLflow, wherever that is.

    Whatever MLflow raises becomes `Unavailable`, and the next call starts over with a new client.

    Parameters
    ----------
    place
        Where it is, for people.
    """

    def __init__(self, place: str) -> None:
        self._place = place
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

    def erase(self, key: ModelKey, run_ids: Sequence[str]) -> str:
        """Remove a model, its runs and their artefacts; say what stays nevertheless. Twice is as good as once.

        Raises
        ------
        Unavailable
            When MLflow cannot be used.
        """
        return self._call("erase", lambda client: self._erase(client, key, run_ids))

    def replace(self, run_id: str, data: bytes, sha256: str, tags: Mapping[str, str]) -> None:
        """Put another artefact in the place of that of a run.

        Raises
        ------
        Unavailable
            When MLflow cannot be used, or does not know the run.
        """
        self._call("replace", lambda client: self._replace(client, run_id, data, {"sha256": sha256, **tags}))

    @abstractmethod
    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run; MLflow is not imported for that.

        Raises
        ------
        Unavailable
            When it is not there, or MLflow cannot be used.
        """

    def check(self) -> None:
        """Raise `Unavailable` unless MLflow answers and is sound."""
        self._call("check", self._check)

    @abstractmethod
    def _open(self) -> Any:
        """Return a client of MLflow, and know the experiment."""

    @abstractmethod
    def _keep(self, run: Any, data: bytes) -> None:
        """Store the artefact of a run."""

    @abstractmethod
    def _remove(self, client: Any, run: Any) -> None:
        """Remove a run and its artefact, as far as that can be done."""

    @abstractmethod
    def _removed(self) -> str:
        """Leave nothing legible of what was removed; say what stays."""

    @abstractmethod
    def _source(self, run: Any) -> str:
        """Return the URI of the artefact of a run."""

    def _erase(self, client: Any, key: ModelKey, run_ids: Sequence[str]) -> str:
        from mlflow.exceptions import MlflowException

        name = registered_name(key)
        with suppress(MlflowException):  # it is not there any more
            client.delete_registered_model(name)
        filters = f"attributes.run_name = '{name[:200]}'"
        named = [run for run in client.search_runs([self._experiment], filters) if _is_of(run, key)]
        others = [run_id for run_id in run_ids if all(run.info.run_id != run_id for run in named)]
        for run_id in others:
            with suppress(MlflowException):
                named.append(client.get_run(run_id))
        for run in named:
            self._remove(client, run)
        return self._removed()

    def _replace(self, client: Any, run_id: str, data: bytes, tags: Mapping[str, str]) -> None:
        self._keep(client.get_run(run_id), data)
        for tag, value in tags.items():
            client.set_tag(run_id, tag, value)
        for found in client.search_model_versions(f"run_id = '{run_id}'", max_results=1):
            for tag, value in tags.items():
                client.set_model_version_tag(found.name, found.version, tag, value)

    def _check(self, client: Any) -> None:
        client.search_registered_models(max_results=1)

    def _publish(self, client: Any, artefact: Artefact) -> str:
        name = registered_name(artefact.key)
        filters = f"tags.job_id = '{artefact.job_id}'"
        known = client.search_runs([self._experiment], filters, max_results=1)
        run = known[0] if known else self._log_run(client, name, artefact)
        run_id: str = run.info.run_id
        for tag, value in artefact.tags.items() if known else ():  # another attempt signed another statement
            client.set_tag(run_id, tag, value)
        if not client.search_model_versions(f"run_id = '{run_id}'", max_results=1):
            self._register(client, name, run, artefact)
        return run_id

    def _log_run(self, client: Any, name: str, artefact: Artefact) -> Any:
        from mlflow.entities import Metric, Param

        tags = {"model": str(artefact.key), "job_id": "", "sha256": artefact.sha256, **artefact.tags}
        run = client.create_run(self._experiment, run_name=name[:200], tags=tags)
        params = [Param(k, str(v)[:_PARAMETER_CHARACTERS]) for k, v in artefact.parameters.items()]
        metrics = [Metric(k, float(v), 0, 0) for k, v in artefact.metrics.items()]
        client.log_batch(run.info.run_id, params=params, metrics=metrics)
        self._keep(run, artefact.data)
        client.set_terminated(run.info.run_id)
        # the job's tag comes last: a run that carries it is complete
        client.set_tag(run.info.run_id, "job_id", artefact.job_id)
        return run

    def _register(self, client: Any, name: str, run: Any, artefact: Artefact) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name, tags={"model": str(artefact.key)})
        tags = {"sha256": artefact.sha256, "stage": Stage.NONE.value, **artefact.tags}
        client.create_model_version(name, self._source(run), run_id=run.info.run_id, tags=tags)

    def _set_stage(self, client: Any, key: ModelKey, run_id: str, number: int, stage: Stage) -> None:
        found = client.search_model_versions(f"run_id = '{run_id}'", max_results=1)
        if not found:
            _log.warning("version_not_in_registry", model=str(key), version=number)
            return
        name, version = found[0].name, found[0].version
        client.set_model_version_tag(name, version, "stage", stage.value)
        client.set_model_version_tag(name, version, "version", f"v{number}")
        aliases = client.get_registered_model(name).aliases
        for owner, alias in _ALIASES.items():
            if owner is stage:
                client.set_registered_model_alias(name, alias, version)
            elif str(aliases.get(alias)) == str(version):
                client.delete_registered_model_alias(name, alias)

    def _call(self, what: str, act: Callable[[Any], T]) -> T:
        with self._lock:
            try:
                return act(self._open())
            except Exception as error:
                self._client = None
                _log.warning("registry_failed", call=what, error=f"{type(error).__name__}: {error}"[:500])
                raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        detail = f"the model registry in {self._place} cannot be used ({type(error).__name__})"
        return Unavailable("registry_unavailable", detail, retry_after_s=10)


def _is_of(run: Any, key: ModelKey) -> bool:
    return run.data.tags.get("model") == str(key)
