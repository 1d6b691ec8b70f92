"""The central journey with objects in S3 and models in an MLflow server on PostgreSQL."""

import shutil
from pathlib import Path

import httpx
import pytest

from atalaia.app.diagnosis import diagnose
from atalaia.connectors.atalaia import Client
from atalaia.core.models import Stage
from tests.journeys.servers import until
from tests.parts.buckets import rented
from tests.parts.journey import KEY, all_scored, blocks, send, service, source, stored, train_and_promote
from tests.parts.mlflow_server import MlflowService

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]


@pytest.mark.parametrize("kind", ["moto", "rclone"])
def test_the_whole_way_on_a_bucket_and_a_server(
    request: pytest.FixtureRequest, tmp_path: Path, mlflow_server: MlflowService, kind: str
) -> None:
    bucket, data = rented(request, kind), tmp_path / "data"
    with service(data, bucket, mlflow_server.url) as first, Client(first.url) as client:
        send(client, 0, 6_000)
        until(lambda: blocks(first), "the tail to become a block")
        assert train_and_promote(client) == "v1"
        assert source(client) == "mlflow"
        send(client, 6_000, 2_000)
        all_scored(client)
        until(lambda: len(blocks(first)) >= 1 and first.atalaia.signals.lag() == 0, "the rest to become a block")
        (version,) = first.atalaia.registry._open().search_model_versions("name = 'anomaly-detector-pump%2F7'")[:1]
        until(
            lambda: (
                first.atalaia.registry._open().get_model_version(version.name, version.version).tags["stage"]
                == Stage.PRODUCTION.value
            ),
            "MLflow to know of the promotion",
        )
        assert not (data / "blobs").exists()
        assert not (data / "mlflow").exists()
    assert [finding for finding in diagnose(first.atalaia.settings) if not finding.ok] == []

    shutil.rmtree(data / "copies")
    with service(data, bucket, mlflow_server.url) as second, Client(second.url) as client:
        assert source(client) == "mlflow"
        with httpx.Client(base_url=second.url, trust_env=False, timeout=30) as http:
            assert stored(http) == 8_000
        assert client.models.get(KEY).production_version == "v1"


def test_without_mlflow_and_copies_the_bucket_has_the_model_and_without_the_bucket_the_copies_do(
    request: pytest.FixtureRequest, tmp_path: Path, mlflow_server: MlflowService
) -> None:
    bucket, data = rented(request, "moto"), tmp_path / "data"
    nowhere = "http://127.0.0.1:9"
    with service(data, bucket, mlflow_server.url) as first, Client(first.url) as client:
        send(client, 0, 6_000)
        all_scored(client)
        train_and_promote(client)
    shutil.rmtree(data / "copies")
    with service(data, bucket, nowhere) as second, Client(second.url) as client:
        assert source(client) == "local_cache"
    with service(data, bucket, nowhere, blobs__endpoint_url=nowhere) as third, Client(third.url) as client:
        assert source(client) == "local_cache"
        bad = {finding.check for finding in diagnose(third.atalaia.settings) if not finding.ok}
        assert bad >= {"objects", "registry"}
