"""MLflow on a server: runs and versions over its REST API, artefacts where it says.

Artefacts go over HTTP when the server serves them itself, else straight to the bucket that it names. They are
fetched without MLflow's own package, which takes a second to import: those who answer predictions never need it.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import structlog

from atalaia.connectors.mlflow.publishing import EXPERIMENT, FILE, Publisher, T
from atalaia.connectors.mlflow.settings import RegistrySettings
from atalaia.core.errors import Missing, Unavailable
from atalaia.kit.blobs import BlobsSettings, Bucket
from atalaia.kit.logs import take_over

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.2
_SERVED = "mlflow-artifacts"
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class MlflowServer(Publisher):
    """A registry on an MLflow server.

    Parameters
    ----------
    url
        Where the server is.
    settings
        How to speak to it. MLflow's own client reads the same from the environment, see `app.settings`.
    buckets
        How to reach buckets that it names, if it does not serve artefacts itself.
    """

    def __init__(self, url: str, settings: RegistrySettings, buckets: BlobsSettings) -> None:
        super().__init__(url)
        self._url = url.rstrip("/")
        self._settings = settings
        self._buckets = buckets
        self._down_until = 0.0

    def fetch(self, run_id: str) -> bytes:
        """Return the artefact of a run: two requests, no import of MLflow."""
        return self._guarded("fetch", lambda: self._fetch(run_id))

    def _fetch(self, run_id: str) -> bytes:
        with self._http() as http:
            told = self._send(http, "GET", f"/api/2.0/mlflow/runs/get?run_id={quote(run_id, safe='')}")
            uri: str = httpx.Response(200, content=told).json()["run"]["info"]["artifact_uri"]
            if urlsplit(uri).scheme == _SERVED:
                return self._send(http, "GET", _served(uri))
        return Bucket(uri, self._buckets).get(FILE)

    def _keep(self, run: Any, data: bytes) -> None:
        uri: str = run.info.artifact_uri
        if urlsplit(uri).scheme != _SERVED:
            Bucket(uri, self._buckets).put(FILE, data)
            return
        with self._http() as http:
            self._send(http, "PUT", _served(uri), data)

    def _remove(self, client: Any, run: Any) -> None:
        """Remove the artefact, and hide the run; its tags name nobody any more."""
        uri: str = run.info.artifact_uri
        if urlsplit(uri).scheme == _SERVED:
            with self._http() as http, suppress(Missed):
                self._send(http, "DELETE", _served(uri))
        else:
            Bucket(uri, self._buckets).delete(FILE)
        if run.info.lifecycle_stage == "deleted":
            return
        for tag in ("model", "statement", "signature", "mlflow.runName"):
            client.set_tag(run.info.run_id, tag, "erased")
        client.delete_run(run.info.run_id)

    def _removed(self) -> str:
        return "the MLflow server keeps the deleted runs, without names and artefacts, until `mlflow gc`"

    def _source(self, run: Any) -> str:
        return f"{run.info.artifact_uri}/{FILE}"

    def _call(self, what: str, act: Callable[[Any], T]) -> T:
        return self._guarded(what, lambda: super(MlflowServer, self)._call(what, act))

    def _guarded(self, what: str, act: Callable[[], T]) -> T:
        """Do something, unless the server failed others a moment ago."""
        wait_s = self._down_until - time.monotonic()
        if wait_s > 0:
            detail = f"the model registry in {self._place} could not be used a moment ago"
            raise Unavailable("registry_unavailable", detail, retry_after_s=wait_s)
        try:
            return act()
        except Exception as error:
            if not isinstance(error, Missed | Missing):
                self._down_until = time.monotonic() + self._settings.pause_s
            if isinstance(error, Unavailable) and error.code == "registry_unavailable":
                raise
            _log.warning("registry_failed", call=what, error=f"{type(error).__name__}: {error}"[:500])
            raise self._unavailable(error) from error

    def _send(self, http: httpx.Client, method: str, path: str, data: bytes | None = None) -> bytes:
        """Return what the server answers; it is asked again when it fails and time is left."""
        deadline = time.monotonic() + self._settings.deadline_s
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return _answer(http, method, self._url + path, data, deadline)
            except (httpx.TransportError, httpx.HTTPStatusError, TimeoutError) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 404:
                    raise Missed(f"{path} is not there") from error
                may_help = not isinstance(error, httpx.HTTPStatusError) or error.response.status_code in _RETRIED
                pause_s = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)
                if not may_help or attempt == self._settings.attempts or time.monotonic() + pause_s > deadline:
                    raise
                time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _http(self) -> httpx.Client:
        given, headers, auth = self._settings, dict[str, str](), None
        if given.token is not None:
            headers["Authorization"] = f"Bearer {given.token.get_secret_value()}"
        elif given.user is not None:
            auth = (given.user, given.password.get_secret_value() if given.password else "")
        return httpx.Client(headers=headers, auth=auth, timeout=given.timeout_s)

    def _open(self) -> Any:
        if self._client is not None:
            return self._client
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        take_over("mlflow", "alembic", "huey", "sqlalchemy.engine")
        client = MlflowClient(self._url, self._url)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            try:
                client.create_experiment(EXPERIMENT)
            except MlflowException:  # somebody else was faster
                _log.info("experiment_not_made", name=EXPERIMENT)
            experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            raise LookupError(f"there is no experiment {EXPERIMENT}, and none can be made")
        self._experiment, self._client = experiment.experiment_id, client
        return client


class Missed(Exception):
    """The server answers, and does not have it."""


def _answer(http: httpx.Client, method: str, url: str, data: bytes | None, deadline: float) -> bytes:
    parts: list[bytes] = []
    with http.stream(method, url, content=data) as response:
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} takes too long")
        response.raise_for_status()
    return b"".join(parts)


def _served(uri: str) -> str:
    """Return the path of an artefact that the server serves itself."""
    return f"/api/2.0/mlflow-artifacts/artifacts/{quote(urlsplit(uri).path.strip('/'))}/{FILE}"
