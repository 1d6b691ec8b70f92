"""What fails, how it comes back, and what shows that the site has recovered."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil

from atalaia.connectors.atalaia import Client, Point, Retry, TrainingConfig
from atalaia.core.errors import AtalaiaError
from atalaia.core.models import ModelKey, Scope
from bench.soak.site import Site
from tests.journeys.servers import metric, until

Act = Callable[[Site], object]
Probe = Callable[[], object]
_PATIENCE_S = 120.0
_PROBED = ModelKey(Scope.SERIES, "soak/0")
_FEW_ROWS = 40
_POINT = [Point("probe", 1_700_000_000, 1.0)]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a site suffers.

    Attributes
    ----------
    what
        What is then asked for; the recovery is how long that took after the cause was gone.
    watch
        Called before the cause goes; returns what tells whether the site has recovered.
    """

    name: str
    what: str
    breaks: Act
    heals: Act
    watch: Callable[[Site], Probe]
    is_over: bool = False
    """Whether it is over as soon as it has happened."""


@dataclass(frozen=True, slots=True)
class Suffered:
    """A fault that was.

    Attributes
    ----------
    began, healed, recovered
        By the clock that only goes forward.
    """

    name: str
    began: float
    healed: float
    recovered: float
    has_recovered: bool = True

    @property
    def recovery_s(self) -> float:
        """How long it took after the cause was gone."""
        return self.recovered - self.healed


def suffer(site: Site, fault: Fault, lasts_s: float) -> Suffered:
    """Let a fault happen, take its cause away, and wait until the site has recovered."""
    began = time.monotonic()
    fault.breaks(site)
    time.sleep(0 if fault.is_over else lasts_s)
    probe = fault.watch(site)
    fault.heals(site)
    healed = time.monotonic()
    try:
        until(lambda: _holds(probe), f"the site to recover from {fault.name}", timeout_s=_PATIENCE_S)
    except AssertionError as error:  # the rest is worth knowing all the same
        sys.stderr.write(f"{error}\n")
        return Suffered(fault.name, began, healed, time.monotonic(), has_recovered=False)
    return Suffered(fault.name, began, healed, time.monotonic())


def _holds(probe: Probe) -> object:
    with suppress(AtalaiaError, httpx.HTTPError):
        return probe()
    return None


def _takes_points(site: Site) -> Probe:
    def probe() -> bool:
        with _client(site) as client:
            return client.health().status == "ok" and client.points.add(_POINT).accepted == 1

    return probe


def _trains(site: Site) -> Probe:
    """Ask for a training, again until it is accepted; recovered when it has ended well."""
    asked: list[str] = []

    def probe() -> bool:
        with _client(site) as client:
            if not asked:
                asked.append(client.training.start(_PROBED, TrainingConfig(24, "robust_zscore")).job_id)
            job = client.jobs.get(asked[0])
        assert job.status != "failed", job
        return job.status == "completed"

    _holds(probe)  # during the fault, if it can be asked for then
    return probe


def _trains_and_scores(site: Site) -> Probe:
    trained = _trains(site)

    def probe() -> bool:
        with _client(site) as client:
            return trained() is True and (client.health().scoring_lag_rows or 0) < _FEW_ROWS

    return probe


def _shares_limits(site: Site) -> Probe:
    url = f"{site.roles['api'].url}/metrics"
    return lambda: metric(httpx.get(url, trust_env=False, timeout=5).text, "rate_limits_shared") == 1


def _compacts(site: Site) -> Probe:
    """Recovered when a block has been written that was not there before."""

    def compacted() -> set[str]:
        with _client(site) as client:
            jobs = client.jobs.list(status="completed", limit=50).items
        return {job.job_id for job in jobs if job.kind == "compact_history"}

    before = compacted()
    return lambda: compacted() - before


def _client(site: Site) -> Client:
    return Client(site.roles["api"].url, retry=Retry(attempts=1), timeout_s=10)


def _pause_postgres(site: Site) -> None:
    for process in _processes_of_postgres(site):
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def _resume_postgres(site: Site) -> None:
    for process in _processes_of_postgres(site):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _processes_of_postgres(site: Site) -> list[psutil.Process]:
    first = psutil.Process(site.postgres.pid)
    return [first, *first.children(recursive=True)]


def _registry(site: Site, act: str) -> None:
    assert site.registry is not None
    getattr(site.registry, act)()


FAULTS = (
    Fault(
        "postgresql_stopped",
        "points are taken",
        lambda site: site.postgres.stop(),
        lambda site: site.postgres.start(),
        _takes_points,
    ),
    Fault(
        "rabbitmq_stopped",
        "a training that was asked for meanwhile is done",
        lambda site: site.broker.stop(),
        lambda site: site.broker.start(),
        _trains,
    ),
    Fault(
        "redis_stopped",
        "limits are shared",
        lambda site: site.redis.stop(),
        lambda site: site.redis.start(),
        _shares_limits,
    ),
    Fault(
        "worker_killed",
        "a training is done and points are scored",
        lambda site: site.roles["worker"].kill(),
        lambda site: site.start_again("worker"),
        _trains_and_scores,
    ),
    Fault(
        "s3_erring",
        "history becomes blocks",
        lambda site: site.bucket.answer(500),
        lambda site: site.bucket.heal(),
        _compacts,
    ),
    Fault("postgresql_paused", "points are taken", _pause_postgres, _resume_postgres, _takes_points),
    Fault(
        "s3_silent",
        "history becomes blocks",
        lambda site: site.bucket.silence(),
        lambda site: site.bucket.heal(),
        _compacts,
    ),
    Fault(
        "postgresql_restarted",
        "points are taken",
        lambda site: site.postgres.restart(),
        lambda _: None,
        _takes_points,
        is_over=True,
    ),
    Fault(
        "mlflow_gone",
        "a training is done",
        lambda site: _registry(site, "close"),
        lambda site: _registry(site, "heal"),
        _trains,
    ),
    Fault(
        "scheduler_killed",
        "history becomes blocks",
        lambda site: site.roles["scheduler"].kill(),
        lambda site: site.start_again("scheduler"),
        _compacts,
    ),
)
"""In the order in which they come: the first of them are those of a short soak."""


def faults_of(site: Site) -> list[Fault]:
    """Return the faults that a site can suffer."""
    return [fault for fault in FAULTS if site.registry is not None or fault.name != "mlflow_gone"]
