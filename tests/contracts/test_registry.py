"""A registry behaves alike in a folder and on a server, whether artefacts go through the server or not."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atalaia.app.settings import load_settings, mlflow_environment
from atalaia.connectors.mlflow import MlflowRegistry, MlflowServer, Publisher, RegistrySettings, registered_name
from atalaia.core.errors import Unavailable
from atalaia.core.ids import new_id
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.kit.blobs import sha256_of
from tests.parts.buckets import rented
from tests.parts.mlflow_server import MlflowService
from tests.parts.processes import run

pytestmark = pytest.mark.slow
Open = Callable[[], Publisher]
NAMES = [
    "pump/7",
    "hall 2/pump",
    "100% %2F",
    "a'b\"c`d",
    "温度/センサー — água",
    "🚰",
    "x" * 256,
    "a:b://c",
    "%_*?[a]",
]


@dataclass(frozen=True)
class Trained:
    """A trained model on its way into the registry."""

    key: ModelKey
    job_id: str = field(default_factory=lambda: new_id("job"))
    data: bytes = b"an artefact" * 1_000
    parameters: dict[str, Any] = field(default_factory=lambda: {"algorithm": "statistical", "long": "x" * 900})
    metrics: dict[str, float] = field(default_factory=lambda: {"points": 2000.0})
    tags: dict[str, str] = field(default_factory=lambda: {"signed_by": "a key"})

    @property
    def sha256(self) -> str:
        return sha256_of(self.data)


@pytest.fixture(scope="module")
def direct(request: pytest.FixtureRequest, parts_folder: Path) -> Iterator[MlflowService]:
    """Run a server that does not serve artefacts."""
    database = request.getfixturevalue("postgres")
    with MlflowService(
        parts_folder / "mlflow-direct", database, rented(request, "moto"), serves_artifacts=False
    ) as part:
        yield part


@pytest.fixture(params=["folder", "mlflow_server", "direct"])
def open_registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    if request.param == "folder":
        return lambda: MlflowRegistry(tmp_path / "mlflow")
    server: MlflowService = request.getfixturevalue(request.param)
    settings = load_settings({"registry_url": server.url})
    for name, value in mlflow_environment(settings).items():
        monkeypatch.setenv(name, value)
    bucket = rented(request, "moto").settings
    return lambda: MlflowServer(server.url, RegistrySettings(), bucket)


@pytest.fixture
def registry(open_registry: Open) -> Publisher:
    return open_registry()


@pytest.fixture
def key() -> ModelKey:
    """Return a model that nobody else publishes."""
    return ModelKey(Scope.SERIES, f"pump/{new_id('pmp')}")


def versions(registry: Publisher, key: ModelKey) -> list[Any]:
    found = registry._open().search_model_versions(f"name = '{registered_name(key)}'")
    return sorted(found, key=lambda one: int(one.version))


def aliases(registry: Publisher, key: ModelKey) -> dict[str, str]:
    client, name = registry._open(), registered_name(key)
    told = client.get_registered_model(name).aliases
    return {alias: client.get_model_version(name, number).run_id for alias, number in told.items()}


def test_what_was_published_can_be_fetched_by_anybody(open_registry: Open, key: ModelKey) -> None:
    data = bytes(range(256)) * 4_000
    run_id = open_registry().publish(Trained(key, data=data))
    assert open_registry().fetch(run_id) == data


def test_a_run_and_its_version_say_what_was_trained(registry: Publisher, key: ModelKey) -> None:
    trained = Trained(key)
    run_id = registry.publish(trained)
    told = registry._open().get_run(run_id)
    assert told.info.status == "FINISHED"
    assert told.data.params == {"algorithm": "statistical", "long": "x" * 500}
    assert told.data.metrics == trained.metrics
    tags = {name: told.data.tags[name] for name in ("model", "job_id", "sha256")}
    assert tags == {"model": str(key), "job_id": trained.job_id, "sha256": trained.sha256}
    (version,) = versions(registry, key)
    assert version.run_id == run_id
    assert version.tags == {"sha256": trained.sha256, "stage": "None", "signed_by": "a key"}
    assert version.source.endswith(f"{run_id}/artifacts/model.npz")


def test_publishing_twice_is_once_whoever_does_it(open_registry: Open, key: ModelKey) -> None:
    registry, trained = open_registry(), Trained(key)
    first = registry.publish(trained)
    assert registry.publish(trained) == open_registry().publish(trained) == first
    assert len(versions(registry, key)) == 1
    assert registry.publish(Trained(key)) != first
    assert len(versions(registry, key)) == 2


def test_stages_are_aliases_and_tags(registry: Publisher, key: ModelKey) -> None:
    first, second = registry.publish(Trained(key)), registry.publish(Trained(key))
    for _ in range(2):  # told again is told once
        registry.set_stage(key, first, 1, Stage.STAGING)
    assert aliases(registry, key) == {"candidate": first}
    registry.set_stage(key, first, 1, Stage.PRODUCTION)
    registry.set_stage(key, second, 2, Stage.STAGING)
    assert aliases(registry, key) == {"champion": first, "candidate": second}
    registry.set_stage(key, first, 1, Stage.ARCHIVED)
    registry.set_stage(key, second, 2, Stage.PRODUCTION)
    assert aliases(registry, key) == {"champion": second}
    tags = [(one.tags["version"], one.tags["stage"]) for one in versions(registry, key)]
    assert tags == [("v1", "Archived"), ("v2", "Production")]


def test_a_stage_of_a_run_that_is_not_there_is_passed_over(registry: Publisher, key: ModelKey) -> None:
    registry.set_stage(key, "0" * 32, 1, Stage.PRODUCTION)


def test_names_of_every_kind_are_published_staged_and_read(registry: Publisher) -> None:
    for name in NAMES:
        key = ModelKey(Scope.FLEET, name)
        run_id = registry.publish(Trained(key))
        registry.set_stage(key, run_id, 1, Stage.PRODUCTION)
        assert registry.fetch(run_id) == Trained(key).data
        assert registry._open().get_run(run_id).data.tags["model"] == str(key)


def test_what_is_not_there_is_unavailable_and_others_are_still_served(registry: Publisher, key: ModelKey) -> None:
    run_id = registry.publish(Trained(key))
    for nothing in ("0" * 32, "../../etc/passwd", "no run", "é"):
        with pytest.raises(Unavailable) as refused:
            registry.fetch(nothing)
        assert refused.value.code == "registry_unavailable"
    assert registry.fetch(run_id) == Trained(key).data


def test_many_who_publish_at_once_all_get_their_version(open_registry: Open, key: ModelKey) -> None:
    registry = open_registry()
    registry.publish(Trained(key))
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: registry.publish(Trained(key)), range(4)))
    assert len({*runs}) == 4
    assert len(versions(registry, key)) == 5
    registry.check()


def test_whoever_only_fetches_does_not_load_mlflow(mlflow_server: MlflowService, key: ModelKey) -> None:
    run_id = MlflowServer(mlflow_server.url, RegistrySettings(), load_settings().blobs).publish(Trained(key))
    program = (
        "import sys; from atalaia.connectors.mlflow import MlflowServer, RegistrySettings; "
        "from atalaia.kit.blobs import BlobsSettings; "
        f"data = MlflowServer({mlflow_server.url!r}, RegistrySettings(), BlobsSettings()).fetch({run_id!r}); "
        "print(len(data), 'mlflow' in sys.modules)"
    )
    assert run([sys.executable, "-c", program]).split() == [str(len(Trained(key).data)), "False"]


def test_an_erased_model_leaves_neither_name_nor_artefact(open_registry: Open, key: ModelKey) -> None:
    registry = open_registry()
    other = ModelKey(Scope.SERIES, f"{key.name}-b")
    runs = [registry.publish(Trained(key)) for _ in range(2)]
    kept = registry.publish(Trained(other))
    registry.erase(key, runs[:1])  # of the other run nobody told: it was never registered
    stays = registry.erase(key, runs[:1])  # twice is as good as once
    assert bool(stays) == isinstance(registry, MlflowServer)
    client = registry._open()
    assert versions(registry, key) == []
    assert registered_name(key) not in [one.name for one in client.search_registered_models()]
    assert registry.fetch(kept) == Trained(other).data
    for run_id in runs:
        with pytest.raises(Unavailable):
            open_registry().fetch(run_id)
        if isinstance(registry, MlflowServer):
            told = client.get_run(run_id)
            assert told.info.lifecycle_stage == "deleted"
            assert key.name not in str(told.data.tags)
    registry.check()


def test_a_folder_keeps_no_byte_of_an_erased_name(tmp_path: Path) -> None:
    registry, name = MlflowRegistry(tmp_path / "mlflow"), "ada-lovelace-1815"
    run_id = registry.publish(Trained(ModelKey(Scope.SERIES, name), data=name.encode()))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(name.encode() in file.read_bytes() for file in files)
    registry.erase(ModelKey(Scope.SERIES, name), [run_id])
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(name.encode() in file.read_bytes() for file in files)


def test_an_artefact_is_replaced_with_its_tags(registry: Publisher, key: ModelKey) -> None:
    run_id = registry.publish(Trained(key))
    for data in (b"another", b"and another" * 5_000):
        registry.replace(run_id, data, sha256_of(data), {"signed_by": "another key"})
        assert registry.fetch(run_id) == data
        (version,) = versions(registry, key)
        for tags in (version.tags, registry._open().get_run(run_id).data.tags):
            assert (tags["sha256"], tags["signed_by"]) == (sha256_of(data), "another key")
    with pytest.raises(Unavailable):
        registry.replace("0" * 32, b"", "", {})
