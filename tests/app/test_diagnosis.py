"""The check-up finds what is wrong with what a site keeps, and with the parts that it stands on."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.orm import Session

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.app.backup import Site, create, open_target
from atalaia.app.build import build, open_blobs
from atalaia.app.diagnosis import diagnose
from atalaia.app.embedded import listen
from atalaia.app.outside import Finding, outside
from atalaia.app.settings import Settings, load_settings
from atalaia.core.clock import MICROS, now_us
from atalaia.core.points import Group, Points
from atalaia.kit.blobs import sha256_of
from atalaia.kit.signatures import BEFORE
from atalaia.lifecycle.store import ModelRow, VersionRow
from atalaia.signals.ingest import Batch
from atalaia.signals.intake import Delivery, Kept
from tests.conftest import our_threads

START_US = 1_700_000_000 * MICROS
Harm = Callable[[Path], object]


@pytest.fixture
def settings(tmp_path: Path, quiet_log: None) -> Settings:
    return load_settings({"data_dir": tmp_path / "data", "port": 0})


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
    assert our_threads() == []


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


def certificate(path: Path, days: float) -> None:
    """Write a key and a certificate that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - timedelta(days=100))
    signed = built.not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))


def outsiders(tmp_path: Path, **settings: Any) -> dict[str, Finding]:
    return {one.check: one for one in outside(load_settings({"data_dir": tmp_path / "data", **settings}))}


@pytest.mark.parametrize(("days", "ok"), [(15, True), (13, False), (-1, False)])
def test_a_certificate_that_ends_soon_is_found(tmp_path: Path, days: float, ok: bool) -> None:
    certificate(file := tmp_path / "tls.pem", days)
    found = outsiders(tmp_path, tls={"cert_file": file, "key_file": file})["certificate"]
    assert found.ok is ok
    assert f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" in found.detail


def test_a_certificate_that_cannot_be_used_is_found(tmp_path: Path) -> None:
    (file := tmp_path / "tls.pem").write_bytes(b"rubbish")
    found = outsiders(tmp_path, tls={"cert_file": file, "key_file": file})["certificate"]
    assert (found.ok, "new certificate" in found.advice) == (False, True)


def test_backups_that_are_late_or_nowhere_are_found(
    sound: Path, tmp_path: Path, quiet_log: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sound, tmp_path / "data")
    settings = load_settings({"data_dir": tmp_path / "data", "backup.to": str(tmp_path / "there")})

    def found() -> Finding:
        return next(one for one in outside(settings) if one.check == "backups")

    assert (found().ok, "no backup" in found().detail) == (False, True)
    create(
        Site(settings, open_blobs(settings)), open_target(settings.backup.to or "", settings.backup, settings.blobs)
    )
    assert found().ok, found()
    monkeypatch.setattr("atalaia.app.outside.now_us", lambda: now_us() + 13 * 3_600 * MICROS)
    assert (found().ok, "13.0 hours" in found().detail) == (False, True)
    shutil.rmtree(tmp_path / "there")
    (tmp_path / "there").write_text("no folder")
    assert not found().ok


@pytest.mark.slow
def test_parts_that_do_not_answer_are_found_with_advice(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as silent:  # takes connections, and says nothing
        port = silent.getsockname()[1]
        found = outsiders(
            tmp_path,
            limits={"redis_url": f"redis://:secret@127.0.0.1:{port}"},
            auth={"mode": "on", "issuer": "http://127.0.0.1:1/realm"},
            tracing={"otlp_endpoint": f"http://127.0.0.1:{port}/v1/traces", "timeout_s": 0.5},
        )
    assert {name: one.ok for name, one in found.items()} == dict.fromkeys(
        ["shared limits", "issuer", "collector"], False
    )
    assert all(one.advice for one in found.values())
    assert "secret" not in str(found)


def test_an_address_that_is_none_is_found(tmp_path: Path) -> None:
    found = outsiders(tmp_path, limits={"redis_url": "http://nowhere"})["shared limits"]
    assert (found.ok, "limits.redis_url" in found.advice) == (False, True)


def test_parts_that_nobody_named_are_not_told_of(tmp_path: Path) -> None:
    assert outsiders(tmp_path) == {}
