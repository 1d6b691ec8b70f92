"""A site: all roles apart, on PostgreSQL, RabbitMQ, Redis, S3 and MLflow, each a real one on loopback."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from atalaia.connectors.atalaia import Client, Columns, TrainingConfig
from atalaia.core.clock import MICROS, now_us
from atalaia.core.models import ModelKey, Scope
from bench.soak.plan import HISTORY, Plan
from tests.journeys.servers import Server, until
from tests.parts import stores
from tests.parts.buckets import Rented, rent, settings_of
from tests.parts.mlflow_server import MlflowService
from tests.parts.postgres import Postgres
from tests.parts.processes import Part
from tests.parts.proxy import Proxy
from tests.parts.rabbitmq import RabbitMq
from tests.parts.redis import Redis

FLEET = ModelKey(Scope.FLEET, "soak")
TRAINED = 20
"""Series that are trained again and again, each for itself."""
ROLES = ("api", "worker", "predictor", "scheduler")
SETTINGS: dict[str, Any] = {
    "busy_timeout_s": 3,
    "database__connect_timeout_s": 2,
    "database__statement_timeout_s": 5,
    "schedule_every_s": 1,
    "lifecycle__cooldown_s": 0,
    "signals__compact_after_s": 10,
    "signals__compact_after_points": 30_000,
    "signals__tail_cache_mib": 8,
    "signals__footer_cache_mib": 8,
    "signals__fleet_rules": '[{"match": "soak/*", "fleet": "soak"}]',
    "limits__mode": "on",
    "limits__control": "100000/second",
    "blobs__connect_timeout_s": 2,
    "blobs__read_timeout_s": 3,
    "blobs__deadline_s": 10,
    "registry__timeout_s": 3,
    "registry__deadline_s": 10,
}
"""Times are shorter than by default, so that what a part does shows soon; limits apply and are wide.

Caches are small: they are full before memory is looked at, and what grows afterwards is a leak.
"""


@dataclass
class Site:
    """A running site and its parts.

    Attributes
    ----------
    bucket, registry
        Proxies before S3 and MLflow; without MLflow the registry lies in the data folder.
    restarted
        When a role was last started again.
    """

    postgres: Postgres
    broker: RabbitMq
    redis: Redis
    bucket: Proxy
    registry: Proxy | None
    roles: dict[str, Server]
    parts: dict[str, Part]
    restarted: dict[str, float] = field(default_factory=dict[str, float])

    def client(self, role: str = "api", *, timeout_s: float = 30.0) -> Client:
        """Return a client of a role."""
        return self.roles[role].client(timeout_s=timeout_s)

    def start_again(self, role: str) -> None:
        """Start a role that was killed, as whatever watches over it does."""
        self.roles[role].start()
        self.restarted[role] = time.monotonic()

    def family(self, role: str) -> list[psutil.Process]:
        """Return the processes of a role."""
        with suppress(AssertionError, psutil.NoSuchProcess):
            first = psutil.Process(self.roles[role].pid)
            return [first, *first.children(recursive=True)]
        return []


@contextmanager
def running(folder: Path, *, mlflow: bool = True) -> Generator[Site]:
    """Start a site in a folder; all of it ends afterwards."""
    folder.chmod(0o755)
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(folder / "postgres"))
        broker = RabbitMq(folder / "rabbitmq")
        stack.callback(broker.close)
        broker.start()
        redis = stack.enter_context(Redis(folder / "redis"))
        store = stack.enter_context(stores.rclone(folder / "s3"))
        bucket = stack.enter_context(Proxy(store.port))
        rented = Rented(rent("rclone", store).url, settings_of("rclone", store, bucket.endpoint))
        settings = {
            **SETTINGS,
            **rented.told(),
            "database_url": postgres.new_database(),
            "broker_url": broker.url,
            "limits__redis_url": redis.url,
        }
        parts: dict[str, Part] = {"postgres": postgres, "rabbitmq": broker, "redis": redis, "s3": store}
        registry: Proxy | None = None
        if mlflow:
            served = stack.enter_context(MlflowService(folder / "mlflow", postgres, rent("rclone", store)))
            registry = stack.enter_context(Proxy(served.port))
            settings["registry_url"] = registry.endpoint
            parts["mlflow"] = served
        roles = {role: Server(folder / "site" / "data", role=role, **settings) for role in ROLES}
        for server in roles.values():
            server.start(wait=False)
            stack.callback(_end, server)
        for server in roles.values():
            server.wait_ready()
        yield Site(postgres, broker, redis, bucket, registry, roles, parts)


def _end(server: Server) -> None:
    with suppress(AssertionError):
        server.stop()


def prepare(site: Site, *, predictions_per_s: float, points_per_s: float, series: int) -> tuple[Plan, list[int]]:
    """Send history, train the fleet, and put its model into Production; return the plan and the series' numbers."""
    plan = Plan(predictions_per_s, points_per_s, series, now_us() // MICROS * MICROS)
    with site.client() as client, site.client("predictor") as asks:
        numbers = client.series.resolve(plan.names).series
        send_history(client, plan)
        until(lambda: client.health().scoring_lag_rows == 0, "the history to be scored", timeout_s=120)
        config = TrainingConfig(24 * 365, "robust_zscore")
        job = client.jobs.wait(client.training.start(FLEET, config).job_id, timeout_s=120)
        assert job.model_version, job
        client.models.promote(FLEET, job.model_version)
        until(lambda: _source(asks, plan.names[-1]) in ("mlflow", "local_cache"), "the predictor to have the model")
    return plan, list(numbers)


def send_history(client: Client, plan: Plan) -> None:
    """Send the points of before batch 0."""
    before = np.arange(-HISTORY, 0)
    for first in range(0, plan.series, 100):
        which = np.arange(first, min(first + 100, plan.series))
        names = [plan.names[number] for number in which for _ in before]
        stamps = np.tile(plan.timestamps_us(before), len(which))
        values = plan.values(np.repeat(which, len(before)), np.tile(before, len(which)))
        client.points.add(Columns(names, stamps, values))


def _source(asks: Client, series_id: str) -> str | None:
    told = asks.predict(series_id, 51.5, now_us() / MICROS).model_info
    return told.loaded_from if told else None
