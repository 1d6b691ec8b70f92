"""Trainings that are asked for all the time, and put into Production as they end."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from atalaia.connectors.atalaia import Client, Job, Retry, TrainingConfig
from atalaia.core.errors import AtalaiaError
from atalaia.core.models import ModelKey, Scope
from bench.soak.site import TRAINED, Site
from tests.journeys.servers import until

_END_S = 180.0
_CONFIG = TrainingConfig(24, "robust_zscore")


class Trainings:
    """A thread that asks for a training every so often, of one series after the other.

    Attributes
    ----------
    accepted
        Jobs by id, with the series; these must all end.
    errors
        What was answered else: when, and its code.
    """

    def __init__(self, site: Site, every_s: float) -> None:
        self._url = site.roles["api"].url
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainings", daemon=True)
        self.accepted: dict[str, ModelKey] = {}
        self.ended: dict[str, Job] = {}
        self.promoted = 0
        self.errors: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask for no more."""
        self._stop.set()
        self._thread.join(60)

    def wait_all(self) -> None:
        """Return once all that were accepted have ended."""
        with Client(self._url) as client:
            until(lambda: not self._look(client), "all accepted trainings to end", timeout_s=_END_S, pause_s=0.5)

    @property
    def failed(self) -> list[Job]:
        """Those that did not end well."""
        return [job for job in self.ended.values() if job.status != "completed"]

    def _run(self) -> None:
        number = 0
        with Client(self._url, retry=Retry(attempts=1), timeout_s=20) as client:
            while not self._stop.wait(self._every_s):
                key = ModelKey(Scope.SERIES, f"soak/{1 + number % TRAINED}")
                number += 1
                self._noting(lambda key=key: self._ask(client, key))
                self._noting(lambda: self._look(client))

    def _ask(self, client: Client, key: ModelKey) -> None:
        job_id = client.training.start(key, _CONFIG).job_id
        self.accepted[job_id] = key

    def _look(self, client: Client) -> list[str]:
        """Promote what has ended; return what has not."""
        open_jobs = [job_id for job_id in self.accepted if job_id not in self.ended]
        for job_id in open_jobs:
            job = client.jobs.get(job_id)
            if not job.is_final:
                break  # they end in about the order in which they came
            self.ended[job_id] = job
            if job.model_version:
                with suppress(AtalaiaError):  # an older version than that which serves, or a part is away
                    client.models.promote(self.accepted[job_id], job.model_version)
                    self.promoted += 1
        return [job_id for job_id in self.accepted if job_id not in self.ended]

    def _noting(self, act: Callable[[], object]) -> None:
        try:
            act()
        except AtalaiaError as error:
            self.errors.append({"at": time.monotonic(), "door": "train", "code": error.code})
