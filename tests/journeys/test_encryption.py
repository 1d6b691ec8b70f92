"""The guide to encryption as a story: a site in clear, sealed, under another key, lost and restored."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app.backup import Site, chosen, create, open_target, restore
from atalaia.app.build import open_blobs
from atalaia.app.diagnosis import diagnose
from atalaia.app.embedded import Embedded
from atalaia.app.settings import Settings
from atalaia.connectors.atalaia import Client
from atalaia.core.errors import Invalid
from tests.journeys.servers import run_cli, until
from tests.parts.journey import AT, SERIES, all_scored, blocks, send, service, stored, train_and_promote

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]
MARKS = (SERIES.encode(), b"PRIVATE KEY", b"PAR1", b"PK\x03\x04", b"NUMPY")
"""What tells that a secret, a block or an artefact can be read."""


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("key1", "key2", "backups")]
    for file in files:
        file.write_bytes(os.urandom(32))
    return files


def legible(data: Path) -> set[bytes]:
    files = [
        path for folder in ("blobs", "secrets", "copies") for path in (data / folder).rglob("*") if path.is_file()
    ]
    assert files
    return {mark for path in files for mark in MARKS if mark in path.read_bytes()}


def told(client: Client) -> list[Any]:
    answers = [client.predict(SERIES, value, AT) for value in (10.0, 50.0, 99.0)]
    return [(a.anomaly, a.anomaly_score, a.model_info and a.model_info.version) for a in answers]


def rotated(data: Path, settings: Settings, *more: str) -> dict[str, Any]:
    """Run the command with the settings of a service."""
    named = settings.encryption.model_dump(mode="json", exclude_defaults=True)
    lines = [f"{name} = {json.dumps(value)}" for name, value in named.items()]
    config = data.parent / "rotate.toml"
    config.write_text("\n".join(["[encryption]", *lines]))
    os.environ["ATALAIA_CONFIG"] = str(config)
    try:
        words = ("encryption", "rotate", "--data-dir", str(data), "--output", "json", *more)
        (row,) = json.loads(run_cli(*words, cwd=data.parent).stdout)["items"]
    finally:
        del os.environ["ATALAIA_CONFIG"]
    return row


def points_of(running: Embedded) -> int:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as http:
        return stored(http)


def test_a_site_is_sealed_rotated_lost_and_restored(tmp_path: Path, keys: list[Path]) -> None:
    data, (first, second, _) = tmp_path / "data", keys
    with service(data, None, None) as running, Client(running.url) as client:
        send(client, 0, 3_000)
        until(lambda: blocks(running), "the tail to become a block")
    assert {b"PRIVATE KEY", b"PAR1"} <= legible(data)

    sealing = {"encryption__key_file": first, "encryption__blobs": True}
    with service(data, None, None, **sealing) as running, Client(running.url) as client:
        assert points_of(running) == 3_000  # of before
        send(client, 3_000, 3_000)
        until(lambda: len(blocks(running)) > 1 or points_of(running) == 6_000, "more to be kept")
        assert train_and_promote(client) == "v1"
        all_scored(client)
        before = told(client)
    row = rotated(data, service(data, None, None, **sealing)._settings)
    assert row["clear"] == row["done"] > 0
    assert legible(data) == set()

    both = {**sealing, "encryption__key_file": second, "encryption__previous": [str(first)]}
    with service(data, None, None, **both) as running, Client(running.url) as client:
        assert (told(client), points_of(running)) == (before, 6_000)
    planned = rotated(data, service(data, None, None, **both)._settings, "--dry-run")
    row = rotated(data, service(data, None, None, **both)._settings)
    assert row["earlier"] == row["done"] == planned["done"] > 0
    assert rotated(data, service(data, None, None, **both)._settings)["done"] == 0

    alone = {**sealing, "encryption__key_file": second, "encryption__require": True}
    first.unlink()
    settings = service(data, None, None, **alone)._settings
    assert [finding for finding in diagnose(settings) if not finding.ok] == []
    with service(data, None, None, **alone) as running, Client(running.url) as client:
        assert (told(client), points_of(running)) == (before, 6_000)
    assert legible(data) == set()
    lost_and_restored(data, alone, keys, before)


def lost_and_restored(data: Path, alone: dict[str, Any], keys: list[Path], before: list[Any]) -> None:
    settings = service(data, None, None, **alone)._settings
    site, there = Site(settings, open_blobs(settings)), str(data.parent / "there")
    with pytest.raises(Invalid, match=r"backup\.key_file"):
        create(site, open_target(there, settings.backup, settings.blobs))
    backing = {**alone, "backup__key_file": keys[2]}
    settings = service(data, None, None, **backing)._settings
    target = open_target(there, settings.backup, settings.blobs)
    assert create(Site(settings, open_blobs(settings)), target).damaged == []
    shutil.rmtree(data)
    site = Site(settings, open_blobs(settings))
    restore(site, target, chosen(target, None))
    assert legible(data) == set()
    with service(data, None, None, **backing) as running, Client(running.url) as client:
        assert (told(client), points_of(running)) == (before, 6_000)
    assert legible(data) == set()


def test_a_wrong_key_ends_the_start_and_names_the_setting(tmp_path: Path, keys: list[Path]) -> None:
    data = tmp_path / "data"
    with service(data, None, None, encryption__key_file=keys[0], encryption__blobs=True) as running:
        key = running.atalaia.blobs.put("history/a.parquet", b"PAR1").key
    with pytest.raises(Invalid, match=r"encryption\.key_file"):
        service(data, None, None, encryption__key_file=keys[1]).__enter__()
    wrong = service(data, None, None, encryption__key_file=keys[1])._settings
    assert [(one.check, one.ok) for one in diagnose(wrong)][-1] == ("settings", False)
    shutil.rmtree(data / "secrets")
    found = {one.check: one for one in diagnose(wrong)}
    assert not found["encryption"].ok
    assert f"{key} (unknown_key)" in found["encryption"].detail
    assert "encryption.previous" in found["encryption"].advice
