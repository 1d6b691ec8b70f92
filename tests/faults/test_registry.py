"""MLflow or the bucket is gone: predictions and points go on, trainings and compactions wait, nothing is lost."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app.embedded import Embedded
from atalaia.connectors.atalaia import Client, TrainingConfig
from tests.journeys.servers import until
from tests.parts.buckets import Rented, rent, settings_of
from tests.parts.journey import (
    AT,
    KEY,
    SERIES,
    all_scored,
    blocks,
    recovery_s,
    send,
    service,
    source,
    stored,
    train_and_promote,
)
from tests.parts.mlflow_server import MlflowService
from tests.parts.proxy import Proxy
from tests.parts.stores import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]
QUICK: dict[str, Any] = {
    "blobs__connect_timeout_s": 1,
    "blobs__read_timeout_s": 1,
    "blobs__deadline_s": 3,
    "blobs__attempts": 2,
    "blobs__pause_s": 0.5,
    "registry__timeout_s": 1,
    "registry__attempts": 2,
    "registry__pause_s": 0.5,
}


@pytest.fixture
def proxies(moto: Store, mlflow_server: MlflowService) -> Iterator[tuple[Proxy, Proxy]]:
    """Put a proxy before the bucket, and one before MLflow."""
    with Proxy(moto.port) as bucket, Proxy(mlflow_server.port) as registry:
        yield bucket, registry


@pytest.fixture
def running(proxies: tuple[Proxy, Proxy], moto: Store, tmp_path: Path) -> Iterator[Embedded]:
    """Run a service behind both, with a model in Production."""
    bucket, registry = proxies
    rented = Rented(rent("moto", moto).url, settings_of("moto", moto, bucket.endpoint))
    with service(tmp_path / "data", rented, registry.endpoint, **QUICK) as running, Client(running.url) as client:
        send(client, 0, 6_000)
        all_scored(client)
        assert train_and_promote(client) == "v1"
        assert source(client) == "mlflow"
        until(lambda: blocks(running), "the first block")
        yield running


def slowest_ms(client: Client, count: int = 200) -> float:
    """Return how long the slowest but two of many predictions took."""
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        assert client.predict(SERIES, 99.0, AT).anomaly
        took.append(time.perf_counter() - began)
    return sorted(took)[-3] * 1e3


@pytest.mark.parametrize("harm", ["gone", "silent", "erring"])
def test_without_mlflow_models_answer_points_are_kept_and_training_waits(
    running: Embedded, proxies: tuple[Proxy, Proxy], harm: str
) -> None:
    registry = proxies[1]
    with Client(running.url) as client:
        usual_ms = slowest_ms(client)
        {"gone": registry.close, "silent": registry.silence, "erring": lambda: registry.answer(503)}[harm]()
        began = time.monotonic()
        job_id = client.training.start(KEY, TrainingConfig(24 * 14, "robust_zscore")).job_id
        troubled_ms = slowest_ms(client)
        print(f"the slowest predictions took {usual_ms:.1f} ms, and {troubled_ms:.1f} ms without MLflow")
        assert troubled_ms < max(100, 10 * usual_ms)
        assert source(client) == "mlflow"  # that is where it came from
        send(client, 6_000, 500)
        all_scored(client)
        until(lambda: client.jobs.get(job_id).error, "the training to fail once")
        assert client.jobs.get(job_id).status in ("queued", "running", "pending", "retrying")
        assert time.monotonic() - began < 60
        registry.heal()
        recovery_s(lambda: client.jobs.get(job_id).status == "completed", f"training with MLflow {harm}")
        version = client.jobs.get(job_id).model_version
        assert version
        assert client.models.promote(KEY, version).version == "v2"


@pytest.mark.parametrize("harm", ["gone", "silent", "erring"])
def test_without_the_bucket_points_are_kept_and_become_blocks_later(
    running: Embedded, proxies: tuple[Proxy, Proxy], harm: str
) -> None:
    bucket = proxies[0]
    with Client(running.url) as client, httpx.Client(base_url=running.url, trust_env=False, timeout=30) as http:
        before = len(blocks(running))
        {"gone": bucket.close, "silent": bucket.silence, "erring": lambda: bucket.answer(500)}[harm]()
        for part in range(4):
            send(client, 6_000 + part * 500, 500)
            all_scored(client)
            assert source(client) == "mlflow"
        time.sleep(2)  # compactions fail meanwhile
        assert stored(http) == 8_000  # the copies have what was read or written here before
        bucket.heal()
        recovery_s(lambda: _more_blocks(running, before), f"compaction with a bucket that was {harm}")
        assert stored(http) == 8_000


def _more_blocks(running: Embedded, before: int) -> bool:
    try:
        return len(blocks(running)) > before
    except Exception:
        return False
