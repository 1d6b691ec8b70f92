"""The registry on the real MLflow: what is published can be read by anybody who knows MLflow, and is there once."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import structlog

from atalaia.app.settings import load_settings
from atalaia.connectors.mlflow import MlflowRegistry, registered_name
from atalaia.core.errors import Unavailable
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.kit.blobs import sha256_of
from tests.kit.fakes import in_threads, logged

pytestmark = pytest.mark.slow

PUMP = ModelKey(Scope.SERIES, "pump/7")
NOBODY = 65_534
HOSTILE = {
    "slashes": "hall 2/pump/7",
    "colons": "a:b:c://d",
    "spaces": "a  b   c",
    "percents": "100% %2F %%",
    "quotes": "a'b\"c`d; DROP TABLE runs",
    "SQL": "' OR '1'='1",
    "dots": "...",
    "other scripts": "温度/センサー 1 — água",
    "a picture": "🚰",
    "256 characters": "x" * 256,
    "256 characters of another script": "温" * 256,
    "256 spaces and letters": "a " * 127 + "ab",
    "wild cards": "%_*?[a]",
    "a stage": "Production",
}


@dataclass(frozen=True)
class Trained:
    """A trained model on its way into the registry."""

    key: ModelKey = PUMP
    job_id: str = "job_1"
    data: bytes = b"an artefact"
    parameters: dict[str, Any] = field(default_factory=lambda: {"algorithm": "statistical", "window_hours": 168.0})
    metrics: dict[str, float] = field(default_factory=lambda: {"points": 2000.0, "training_error": 0.25})

    tags: dict[str, str] = field(default_factory=lambda: {"signature": "c2ln", "signed_by": "a key"})

    @property
    def sha256(self) -> str:
        return sha256_of(self.data)


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    def drop(_logger: Any, _method: str, _event: Any) -> Any:
        raise structlog.DropEvent

    load_settings()  # MLflow reads what this says of telemetry when it is imported
    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty registry once: its tables take MLflow most of a second."""
    folder = tmp_path_factory.mktemp("empty") / "mlflow"
    MlflowRegistry(folder).check()
    return folder


@pytest.fixture
def folder(empty: Path, tmp_path: Path) -> Path:
    """Return a registry in which nothing was published."""
    registry = tmp_path / "mlflow"
    (registry / "artifacts").mkdir(parents=True)
    shutil.copy(empty / "mlflow.db", registry)
    return registry


@pytest.fixture
def registry(folder: Path) -> MlflowRegistry:
    return MlflowRegistry(folder)


def mlflow(folder: Path) -> Any:
    """Return MLflow's own client, on connections of its own."""
    return MlflowRegistry(folder)._open()


def versions(folder: Path, key: ModelKey = PUMP) -> list[Any]:
    found = [one for one in mlflow(folder).search_model_versions() if one.name == registered_name(key)]
    return sorted(found, key=lambda one: int(one.version))


def test_what_was_published_can_be_fetched(registry: MlflowRegistry) -> None:
    data = bytes(range(256)) * 100
    assert registry.fetch(registry.publish(Trained(data=data))) == data


def test_a_run_says_what_was_trained_with_what_result(registry: MlflowRegistry, folder: Path) -> None:
    run = mlflow(folder).get_run(registry.publish(Trained(parameters={"window_hours": 168.0, "long": "x" * 9_000})))
    assert run.info.status == "FINISHED"
    assert run.data.params == {"window_hours": "168.0", "long": "x" * 500}
    assert run.data.metrics == {"points": 2000.0, "training_error": 0.25}
    tags = {name: run.data.tags[name] for name in ("model", "job_id", "sha256")}
    assert tags == {"model": "series:pump/7", "job_id": "job_1", "sha256": Trained().sha256}


def test_a_version_leads_to_its_run_and_its_artefact(registry: MlflowRegistry, folder: Path) -> None:
    run_id = registry.publish(Trained())
    (version,) = versions(folder)
    assert (version.name, version.run_id) == ("anomaly-detector-pump%2F7", run_id)
    assert version.tags == {"sha256": Trained().sha256, "stage": "None", **Trained().tags}
    assert Path(version.source.removeprefix("file://")).read_bytes() == Trained().data
    assert mlflow(folder).get_registered_model(version.name).tags == {"model": "series:pump/7"}


def test_mlflow_itself_lists_the_artefact_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "its own"  # MLflow keeps where the artefacts of its runs lie
    run_id = MlflowRegistry(folder).publish(Trained())
    (listed,) = mlflow(folder).list_artifacts(run_id)
    assert (listed.path, listed.file_size) == ("model.npz", len(Trained().data))


def test_publishing_twice_for_a_job_is_once(registry: MlflowRegistry, folder: Path) -> None:
    first = registry.publish(Trained())
    assert registry.publish(Trained()) == first
    assert MlflowRegistry(folder).publish(Trained()) == first
    assert len(versions(folder)) == 1


def test_every_job_has_a_version_of_its_own(registry: MlflowRegistry, folder: Path) -> None:
    runs = [registry.publish(Trained(job_id=f"job_{i}", data=bytes([i]))) for i in range(3)]
    assert [one.run_id for one in versions(folder)] == runs
    assert [registry.fetch(run) for run in runs] == [b"\0", b"\1", b"\2"]


def test_a_series_a_fleet_and_an_asset_of_one_name_are_three_models(registry: MlflowRegistry, folder: Path) -> None:
    keys = [*(ModelKey(scope, "pumps") for scope in Scope), ModelKey(Scope.SERIES, "s-pumps")]
    for i, key in enumerate(keys):
        registry.publish(Trained(key, f"job_{i}"))
    assert [len(versions(folder, key)) for key in keys] == [1, 1, 1, 1]
    assert len({registered_name(key) for key in keys}) == 4


@pytest.mark.parametrize("kind", HOSTILE)
def test_names_of_every_kind_are_published_staged_and_read(
    registry: MlflowRegistry, folder: Path, kind: str
) -> None:
    key = ModelKey(Scope.SERIES, HOSTILE[kind])
    run_id = registry.publish(Trained(key))
    registry.set_stage(key, run_id, 1, Stage.PRODUCTION)
    assert registry.fetch(run_id) == Trained().data
    (version,) = versions(folder, key)
    client = mlflow(folder)
    assert client.get_model_version_by_alias(version.name, "champion").run_id == run_id
    assert client.get_run(run_id).data.tags["model"] == str(key)


def aliases(folder: Path, key: ModelKey = PUMP) -> dict[str, str]:
    """Return the job that each alias stands for."""
    client, name = mlflow(folder), registered_name(key)
    told = client.get_registered_model(name).aliases
    return {alias: job_of(client, client.get_model_version(name, number).run_id) for alias, number in told.items()}


def job_of(client: Any, run_id: str) -> str:
    return client.get_run(run_id).data.tags["job_id"]


def test_stages_are_aliases_and_tags(registry: MlflowRegistry, folder: Path) -> None:
    first, second = registry.publish(Trained()), registry.publish(Trained(job_id="job_2"))
    for _ in range(3):  # told again is told once
        registry.set_stage(PUMP, first, 1, Stage.STAGING)
    assert aliases(folder) == {"candidate": "job_1"}
    registry.set_stage(PUMP, first, 1, Stage.PRODUCTION)
    registry.set_stage(PUMP, second, 2, Stage.STAGING)
    assert aliases(folder) == {"champion": "job_1", "candidate": "job_2"}
    registry.set_stage(PUMP, first, 1, Stage.ARCHIVED)
    registry.set_stage(PUMP, second, 2, Stage.PRODUCTION)
    assert aliases(folder) == {"champion": "job_2"}
    tags = [(one.tags["version"], one.tags["stage"]) for one in versions(folder)]
    assert tags == [("v1", "Archived"), ("v2", "Production")]


def test_the_order_in_which_stages_are_told_does_not_matter(registry: MlflowRegistry, folder: Path) -> None:
    first, second = registry.publish(Trained()), registry.publish(Trained(job_id="job_2"))
    registry.set_stage(PUMP, first, 1, Stage.PRODUCTION)
    registry.set_stage(PUMP, second, 2, Stage.PRODUCTION)  # the newer is told first
    registry.set_stage(PUMP, first, 1, Stage.STAGING)
    assert aliases(folder) == {"champion": "job_2", "candidate": "job_1"}


def test_a_stage_of_a_run_that_is_not_there_only_says_so(registry: MlflowRegistry) -> None:
    with logged("version_not_in_registry", model="series:pump/7"):
        registry.set_stage(PUMP, "nothing", 1, Stage.PRODUCTION)


class Power(RuntimeError):
    """The power went."""


@contextmanager
def power_cut(registry: MlflowRegistry, before: str) -> Generator[None]:
    """Let the next publishing end before it calls `before` of MLflow's client."""
    client = registry._open()

    def cut(*_: Any, **__: Any) -> Any:
        raise Power

    setattr(client, before, cut)
    with pytest.raises(Unavailable, match="Power"):
        yield
    assert registry._client is None


@pytest.mark.parametrize(
    "before", ["log_batch", "set_terminated", "set_tag", "create_registered_model", "create_model_version"]
)
def test_what_a_crash_left_undone_the_next_publishing_completes(
    registry: MlflowRegistry, folder: Path, before: str
) -> None:
    with power_cut(registry, before):
        registry.publish(Trained())
    assert versions(folder) == []
    run_id = registry.publish(Trained())
    assert registry.publish(Trained()) == run_id
    (version,) = versions(folder)
    assert version.run_id == run_id
    assert registry.fetch(run_id) == Trained().data
    assert mlflow(folder).get_run(run_id).data.metrics == Trained().metrics


def test_a_run_that_is_complete_is_not_made_again(registry: MlflowRegistry, folder: Path) -> None:
    with power_cut(registry, "create_model_version"):
        registry.publish(Trained())
    registry.publish(Trained())
    client = mlflow(folder)
    experiment = client.get_experiment_by_name("atalaia")
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_many_who_publish_at_once_all_get_their_version(registry: MlflowRegistry, folder: Path) -> None:
    in_threads(3, lambda i: registry.publish(Trained(ModelKey(Scope.SERIES, f"s{i % 2}"), f"job_{i}")))
    assert [len(versions(folder, ModelKey(Scope.SERIES, f"s{i}"))) for i in range(2)] == [2, 1]


def test_what_is_not_there_is_unavailable(registry: MlflowRegistry) -> None:
    with pytest.raises(Unavailable) as refused:
        registry.fetch("nothing")
    assert (refused.value.code, refused.value.retry_after_s) == ("registry_unavailable", 10)


def assert_down(registry: MlflowRegistry) -> None:
    """Check that every call says so, at once: a promotion and the doctor wait for it."""
    began = time.monotonic()
    for call in (
        registry.check,
        lambda: registry.publish(Trained(job_id="another")),
        lambda: registry.set_stage(PUMP, "x", 1, Stage.STAGING),
    ):
        with pytest.raises(Unavailable, match="cannot be used") as refused:
            call()
        assert refused.value.code == "registry_unavailable"
    assert time.monotonic() - began < 5


def rubbish(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"rubbish" * 10_000)


def folder_for_a_file(folder: Path) -> None:
    (folder / "mlflow.db").unlink()
    (folder / "mlflow.db").mkdir()


def file_for_the_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("this is no folder")


@pytest.mark.parametrize("harm", [rubbish, folder_for_a_file, file_for_the_folder])
def test_a_registry_that_was_harmed_is_unavailable_until_it_is_put_back(
    registry: MlflowRegistry, folder: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    run_id = registry.publish(Trained())
    shutil.copytree(folder, tmp_path / "backup")
    harm(folder)
    assert_down(registry)
    shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    shutil.copytree(tmp_path / "backup", folder)
    registry.check()
    assert registry.publish(Trained()) == run_id
    assert registry.publish(Trained(job_id="job_2")) != run_id
    assert registry.fetch(run_id) == Trained().data
    assert len(versions(folder)) == 2


def test_a_registry_that_was_deleted_begins_anew(registry: MlflowRegistry, folder: Path) -> None:
    old = registry.publish(Trained())
    shutil.rmtree(folder)
    with pytest.raises(Unavailable):
        registry.fetch(old)
    registry.set_stage(PUMP, old, 1, Stage.PRODUCTION)  # nothing to note it on: nothing happens
    new = registry.publish(Trained(job_id="job_2"))
    assert registry.fetch(new) == Trained().data
    assert [one.run_id for one in versions(folder)] == [new]


def test_another_registry_of_this_process_sees_a_file_that_was_put_back(
    registry: MlflowRegistry, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "backup")
    registry.publish(Trained())
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    again = MlflowRegistry(folder)
    again.publish(Trained(job_id="job_2"))
    assert [job_of(mlflow(folder), one.run_id) for one in versions(folder)] == ["job_2"]


def test_pages_of_rubbish_inside_are_found(registry: MlflowRegistry, folder: Path) -> None:
    registry.publish(Trained())
    data = bytearray((folder / "mlflow.db").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40_960] = b"\x55" * 40_960
    (folder / "mlflow.db").write_bytes(data)
    with pytest.raises(Unavailable):
        MlflowRegistry(folder).check()


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Let nobody write below `folder`, root included."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_registry_is_read_and_takes_nothing_new(empty: Path) -> None:
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "mlflow"
        (folder / "artifacts").mkdir(parents=True)
        shutil.copy(empty / "mlflow.db", folder)
        registry = MlflowRegistry(folder)
        run_id = registry.publish(Trained())
        with read_only(folder):
            assert registry.fetch(run_id) == Trained().data
            for one in (registry, MlflowRegistry(folder)):
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    one.publish(Trained(job_id="job_2"))
                assert time.monotonic() - began < 5
        registry.publish(Trained(job_id="job_2"))
        assert len(versions(folder)) == 2


def test_a_folder_with_odd_characters_holds_a_registry(tmp_path: Path) -> None:
    folder = tmp_path / "dados #1 %20 água"
    registry = MlflowRegistry(folder)
    run_id = registry.publish(Trained())
    assert MlflowRegistry(folder).fetch(run_id) == Trained().data
    assert (folder / "mlflow.db").exists()
    assert len(versions(folder)) == 1


def test_metrics_that_mlflow_would_not_take_do_not_stop_a_training(registry: MlflowRegistry, folder: Path) -> None:
    odd = replace(Trained(), metrics={"points": 1e300, "tiny": 5e-324, "series_level": 0.0})
    run_id = registry.publish(odd)
    assert mlflow(folder).get_run(run_id).data.metrics == odd.metrics


def test_what_it_logs_comes_in_our_form(tmp_path: Path) -> None:
    MlflowRegistry(tmp_path / "mlflow").check()
    for name in ("mlflow", "alembic", "huey", "sqlalchemy.engine"):
        logger = logging.getLogger(name)
        assert (logger.handlers, logger.propagate, logger.level) == ([], True, logging.WARNING)
