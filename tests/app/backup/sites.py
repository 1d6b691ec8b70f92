"""Small sites that are backed up in tests."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import text

from atalaia.app.backup import Site, Target, open_target
from atalaia.app.build import build, open_blobs
from atalaia.app.settings import Settings, load_settings
from atalaia.kit.blobs import sha256_of
from atalaia.signals.store.follower import PartRow

NAMES = [f"pump-{number}" for number in range(5)]


def settings_of(folder: Path, **more: Any) -> Settings:
    named = {f"backup.{name}": value for name, value in more.items()}
    return load_settings({"data_dir": folder, **named})


def site_of(settings: Settings) -> Site:
    return Site(settings, open_blobs(settings))


def target_of(tmp_path: Path, **more: Any) -> Target:
    settings = settings_of(tmp_path / "data", **more)
    return open_target(str(tmp_path / "backups"), settings.backup, settings.blobs)


def new_site(tmp_path: Path) -> Site:
    """Make a site with an object, a registry, secrets and a journal."""
    folder = tmp_path / "data"
    atalaia = build(settings_of(folder))
    with atalaia.database.write() as session:
        atalaia.signals.resolve(session, NAMES)
    name_object(atalaia, os.urandom(5_000))
    atalaia.close()
    for name in ("secrets/signing_key.pem", "audit/2026-01.jsonl", "mlflow/artifacts/a/artifacts/model.npz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    return site_of(settings_of(folder))


def name_object(atalaia: Any, data: bytes, part: str = "statistics/00000") -> str:
    blob = atalaia.blobs.put(f"memory/{sha256_of(data)[:8]}.npz", data)
    with atalaia.database.write() as session:
        session.merge(PartRow(name=part, key=blob.key, sha256=blob.sha256))
    return blob.key


def files_of(folder: Path) -> dict[str, bytes]:
    kept = ("blobs/", "audit/", "secrets/", "mlflow/artifacts/")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name.startswith(kept)}


def series_of(settings: Settings) -> list[str]:
    atalaia = build(settings)
    try:
        with atalaia.database.read() as session:
            return list(session.scalars(text("SELECT series_id FROM series ORDER BY series_id")))
    finally:
        atalaia.close()
