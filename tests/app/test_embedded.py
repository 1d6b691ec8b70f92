"""Served on loopback only, started and stopped as often as one likes; and the check-up finds what is wrong."""

import errno
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.app import embedded
from atalaia.app.build import Atalaia, build
from atalaia.app.embedded import Embedded, Finding, diagnose, listen, run_role, serve
from atalaia.app.settings import ROLES, Settings, load_settings
from atalaia.core.clock import MICROS
from atalaia.core.errors import Conflict, Denied, Unavailable
from atalaia.core.points import Group, Points
from atalaia.kit.blobs import sha256_of
from atalaia.kit.signatures import BEFORE
from atalaia.lifecycle.store import ModelRow, VersionRow
from atalaia.signals.ingest import Batch
from atalaia.signals.intake import Delivery, Kept

START_US = 1_700_000_000 * MICROS
Harm = Callable[[Path], object]


@pytest.fixture
def settings(tmp_path: Path, quiet_log: None) -> Settings:
    return load_settings({"data_dir": tmp_path / "data", "port": 0})


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("atalaia-")}


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.1.7", "10.0.0.1", "8.8.8.8", "example.org", "localhost.example.org", "", "127.1"],
)
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(Denied) as refused:
        listen(host, 0)
    assert refused.value.code == "not_loopback"
    assert "127.0.0.1" in refused.value.detail


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_loopback_is_listened_on(host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listen(host, 0)
    except Conflict as refused:
        if isinstance(refused.__cause__, OSError) and refused.__cause__.errno == errno.EADDRNOTAVAIL:
            pytest.skip(f"no {host} here")
        raise
    with listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.slow
def test_a_shared_port_is_for_several_processes() -> None:
    with listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, shared=True) as second:
            assert second.getsockname()[1] == port
        with pytest.raises(Conflict):
            listen("127.0.0.1", port)


@pytest.mark.slow
def test_a_port_that_is_taken_is_a_conflict(settings: Settings) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port}.*--port") as refused:
            listen("127.0.0.1", port)
        assert refused.value.code == "port_in_use"
        with pytest.raises(Conflict), Embedded(load_settings({"data_dir": settings.data_dir, "port": port})):
            pass
    assert not settings.data_dir.exists()


@pytest.mark.slow
def test_it_starts_and_stops_again_and_again_on_one_folder(settings: Settings) -> None:
    for turn in range(3):
        with Embedded(settings) as running:
            with httpx.Client(base_url=running.url, trust_env=False) as http:
                assert http.get("/api/v1/readiness").json() == {"status": "ready"}
                row = {"series_id": "a", "timestamp": 1_700_000_000 + turn, "value": 1.0}
                http.post("/api/v1/points", json={"points": [row]}).raise_for_status()
                assert len(http.get("/api/v1/series/a/points").json()["points"]) == turn + 1
                assert "SwaggerUIBundle" in http.get("/docs/static/swagger-ui-bundle.js").text
            assert "atalaia-http" in threads()
        assert threads() == set()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/health", trust_env=False)


@pytest.mark.slow
def test_two_stand_beside_each_other(settings: Settings, tmp_path: Path) -> None:
    other = load_settings({"data_dir": tmp_path / "other", "port": 0})
    with Embedded(settings) as first, Embedded(other) as second:
        assert first.url != second.url
        for running in (first, second):
            assert httpx.get(f"{running.url}/health", trust_env=False).json()["roles"] == sorted(ROLES)


class Stillborn:
    """A server that ends before it has started."""

    started = False
    should_exit = False

    def run(self, sockets: list[socket.socket]) -> None:
        """End."""


@pytest.mark.slow
def test_a_server_that_does_not_start_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_server", lambda *_: Stillborn())
    service = Embedded(settings)
    with pytest.raises(Unavailable, match="did not start") as refused, service:
        pass
    assert refused.value.code == "not_ready"
    assert threads() == set()
    listen("127.0.0.1", int(service.url.rsplit(":", 1)[1])).close()


@pytest.mark.slow
def test_a_service_that_cannot_start_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Atalaia, roles: tuple[str, ...] = ()) -> None:
        self.messenger.start()
        raise Unavailable("database_unavailable", "gone")

    monkeypatch.setattr(Atalaia, "start", half)
    with pytest.raises(Unavailable, match="gone"), Embedded(settings):
        pass
    assert threads() == set()


class Instant:
    """A server that has served."""

    def __init__(self, atalaia: Atalaia, seen: list[Any]) -> None:
        self._atalaia = atalaia
        self._seen = seen

    def run(self, sockets: list[socket.socket]) -> None:
        """Note what is open, and end as SIGTERM ends it."""
        self._seen.append((self._atalaia.roles, self._atalaia.is_ready, len(sockets)))
        raise SystemExit(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "roles"), [(serve, ROLES), (lambda settings: run_role(settings, "worker"), ("worker",))]
)
def test_in_the_foreground_it_ends_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, run: Callable[[Settings], None], roles: tuple[str, ...]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(embedded, "_server", lambda atalaia, *_: Instant(atalaia, seen))
    monkeypatch.setattr(embedded, "configure_logs", lambda **_: None)
    monkeypatch.setattr(embedded.signal, "signal", lambda number, handler: seen.append(handler))
    with pytest.raises(SystemExit):
        run(settings)
    assert seen[1] == (frozenset(roles), True, 1)
    assert threads() == set()
    with pytest.raises(SystemExit) as ended:
        seen[0](15, None)
    assert ended.value.code == 0


def test_without_a_folder_there_is_one_finding(settings: Settings) -> None:
    assert diagnose(settings) == [
        Finding("data folder", False, f"{settings.data_dir} does not exist", "start the service once: `atalaia up`")
    ]
    assert not settings.data_dir.exists()


def test_a_file_in_the_place_of_the_folder_is_found(settings: Settings) -> None:
    settings.data_dir.write_text("not a folder")
    first = diagnose(settings)[0]
    assert (first.check, first.ok) == ("data folder", False)
    assert "Not a directory" in first.detail
    assert "writable" in first.advice


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder once with points in a block, and a model in Production."""
    structlog.configure(processors=[drop])
    folder = tmp_path_factory.mktemp("sound") / "data"
    atalaia = build(load_settings({"data_dir": folder}))
    stamps = START_US + np.arange(500, dtype=np.int64) * 60 * MICROS
    values = np.random.default_rng(1).normal(50.0, 2.0, 500)
    batch = Batch(["pump"] * 500, stamps, values, "/points/{}")

    def prepare(session: Session) -> tuple[Points, Kept]:
        return atalaia.signals.numbered(session, batch)[0], {}

    atalaia.signals.intake.submit(Delivery(prepare, 12_000, True)).result(10)
    while atalaia.signals.scoring.drain():
        pass
    swap = atalaia.signals.history.compaction()
    assert swap is not None
    data = FleetModel.fit(make_detector("statistical", {}), ["pump"], Group.of([(stamps, values)])).to_bytes()
    with atalaia.database.write() as session:
        swap(session)
        session.add(ModelRow(key="series:pump", latest=1, production=1, revision=1, created_at=1))
        session.flush()
        session.add(version(data))
    atalaia.blobs.put(f"models/{sha256_of(data)}.npz", data)
    atalaia.close()
    structlog.reset_defaults()
    return folder


def drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def version(data: bytes) -> VersionRow:
    return VersionRow(
        key="series:pump",
        number=1,
        stage="Production",
        algorithm="statistical",
        hyperparameters={},
        metrics={},
        series_count=1,
        sha256=sha256_of(data),
        size_bytes=len(data),
        run_id="run",
        job_id="job",
        learnt={},
        created_at=1,
        signed_by=BEFORE,
    )


@pytest.fixture
def harmed(sound: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Return settings on a copy of the sound folder; the registry answers without MLflow."""
    shutil.copytree(sound, settings.data_dir)
    monkeypatch.setattr("atalaia.connectors.mlflow.MlflowRegistry.check", lambda _: None)
    yield settings
    assert threads() == set()


def test_models_without_a_signature_are_told_of(harmed: Settings) -> None:
    told = {finding.check: finding for finding in diagnose(harmed)}["models"]
    assert (told.ok, told.detail.partition("; ")[2]) == (True, "1 without a signature")
    strict = load_settings({"data_dir": harmed.data_dir, "port": 0, "signing.required": "all"})
    told = {finding.check: finding for finding in diagnose(strict)}["models"]
    assert (told.ok, told.detail) == (False, "1 models are refused: series:pump (before_signatures)")


def test_a_sound_folder_passes(harmed: Settings) -> None:
    findings = diagnose(harmed)
    assert [finding.check for finding in findings] == [
        "data folder",
        "database",
        "objects",
        "encryption",
        "history",
        "models",
        "registry",
    ]
    assert all(finding.ok and not finding.advice for finding in findings), findings
    assert findings[4].detail == "all blocks are whole; 0 batches wait to be scored"
    assert findings[5].detail.startswith("1 models in Production")


def test_a_check_up_changes_nothing(harmed: Settings) -> None:
    before = {path.name for path in harmed.data_dir.rglob("*") if path.is_file()}
    diagnose(harmed)
    assert {path.name for path in harmed.data_dir.rglob("*") if path.is_file()} - before <= {
        "atalaia.db-wal",
        "atalaia.db-shm",
    }


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def ruin(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1_000)


def overwrite_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8_192:20_480] = b"\x55" * 12_288
    path.write_bytes(data)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM: dict[str, tuple[str, Harm, str, str]] = {
    "a database of rubbish": ("atalaia.db", ruin, "database", "backup"),
    "a database with rubbish inside": ("atalaia.db", overwrite_pages, "database", "backup"),
    "a folder for a database": ("atalaia.db", make_folder, "database", "backup"),
    "a damaged block": ("*.parquet", flip, "history", "restore the named blocks"),
    "a missing block": ("*.parquet", Path.unlink, "history", "restore the named blocks"),
    "a damaged local model": ("models/*.npz", flip, "models", "train and promote"),
    "a missing local model": ("models/*.npz", Path.unlink, "models", "train and promote"),
    "a file for the folder of blobs": (
        "blobs",
        lambda path: (shutil.rmtree(path), path.write_text("")),
        "schema",
        "",
    ),
}


@pytest.mark.parametrize("what", HARM)
def test_harm_is_found_with_advice(harmed: Settings, what: str) -> None:
    pattern, harm, check, advice = HARM[what]
    (path,) = harmed.data_dir.rglob(pattern)
    harm(path)
    wrong = [finding for finding in diagnose(harmed) if not finding.ok]
    assert [finding.check for finding in wrong] == [check], wrong
    assert wrong[0].detail
    assert advice in wrong[0].advice
    assert wrong[0].advice


def test_all_that_is_wrong_is_found_at_once(harmed: Settings) -> None:
    for pattern in ("*.parquet", "models/*.npz"):
        for path in harmed.data_dir.rglob(pattern):
            path.unlink()
    findings = {finding.check: finding.ok for finding in diagnose(harmed)}
    assert findings == {
        "data folder": True,
        "database": True,
        "objects": True,
        "encryption": True,
        "history": False,
        "models": False,
        "registry": True,
    }


def test_a_database_of_another_release_is_found(harmed: Settings) -> None:
    atalaia = build(harmed)
    with atalaia.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'minus-labels'"))
    atalaia.close()
    last = diagnose(harmed)[-1]
    assert (last.check, last.ok) == ("schema", False)
    assert "another release" in last.detail
    assert "release" in last.advice


@pytest.mark.slow
@pytest.mark.parametrize("harm", [ruin, overwrite_pages, make_folder])
def test_a_damaged_registry_is_found(sound: Path, settings: Settings, harm: Harm) -> None:
    shutil.copytree(sound, settings.data_dir)
    assert diagnose(settings)[-1] == Finding("registry", True, "MLflow answers")
    harm(settings.data_dir / "mlflow" / "mlflow.db")
    last = diagnose(settings)[-1]
    assert (last.check, last.ok) == ("registry", False)
    assert "cannot be used" in last.detail
    assert "local copies answer" in last.advice
