"""The steps of the central journey, for tests of services that stand on parts."""

import time
from pathlib import Path
from typing import Any

import httpx

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, wave
from tests.journeys.servers import until
from tests.parts.buckets import Rented

SERIES = "pump/7"
KEY = ModelKey(Scope.SERIES, SERIES)
AT = START_S + 10_000 * 60


def service(data: Path, bucket: Rented | None, registry_url: str | None, **more: Any) -> Embedded:
    """Return a service on a bucket and a registry, not yet started; its tail becomes blocks at once."""
    quick = {
        "signals__compact_after_points": 1_000,
        "signals__compact_after_s": 1,
        "signals__store_memory_s": 0.5,
        "schedule_every_s": 0.2,
        "job_backoff_s": 0.2,
        "lifecycle__cooldown_s": 0,
        "serving__retry_s": 0.2,
    }
    named = {**quick, **(bucket.told() if bucket else {}), **more}
    flags = {name.replace("__", "."): value for name, value in named.items()}
    return Embedded(load_settings({"data_dir": data, "port": 0, "registry_url": registry_url, **flags}))


def send(client: Client, start: int, count: int) -> None:
    """Send points of the wave."""
    assert client.points.add(wave(count, SERIES, start=start)).accepted == count


def blocks(running: Embedded) -> list[str]:
    """Return the blocks in the store."""
    return [found.key for found in running.atalaia.blobs.list("history")]


def train_and_promote(client: Client, timeout_s: float = 60) -> str:
    """Train from the history, promote; return the version."""
    job = client.jobs.wait(
        client.training.start(KEY, TrainingConfig(24 * 14, "seasonal_profile")).job_id, timeout_s=timeout_s
    )
    assert (job.status, job.error) == ("completed", None)
    assert job.model_version
    return client.models.promote(KEY, job.model_version).version


def source(client: Client) -> str:
    """Return where the model that answers was loaded from; check what it says."""
    told = client.predict(SERIES, 99.0, AT)
    assert told.anomaly
    assert not client.predict(SERIES, 50.0, START_S + 7 * 1440 * 60).anomaly
    assert told.model_info is not None
    return told.model_info.loaded_from


def stored(http: httpx.Client) -> int:
    """Return how many points of the series are in the history."""
    params = {"from": START_S, "to": AT, "limit": 10_000}
    told = http.get(f"/api/v1/series/{SERIES.replace('/', '%2F')}/points", params=params).raise_for_status().json()
    return len(told["points"])


def all_scored(client: Client) -> None:
    """Return once everything is scored."""
    until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored")


def recovery_s(look: Any, what: str, timeout_s: float = 60) -> float:
    """Return how long it took until something holds; say so."""
    began = time.monotonic()
    until(look, what, timeout_s=timeout_s)
    took_s = time.monotonic() - began
    print(f"recovery: {what} after {took_s:.2f} s")
    return took_s
