"""``atalaia models verify`` and ``models key`` on a data folder of their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from sqlalchemy import text

from atalaia.app.build import opened
from atalaia.app.settings import load_settings
from atalaia.kit.signatures import Signatures, SigningSettings
from tests.lifecycle.builders import SERIES, open_workshop, wave

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    def drop(_logger: Any, _method: str, _event: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


def trained(folder: Path) -> None:
    """Leave a data folder with one version, whose artefact has a local copy only."""
    with opened(load_settings({"data_dir": folder})):
        pass
    with open_workshop(folder) as workshop:
        workshop.history.fill(SERIES.name, wave())
        workshop.train()


def test_sound_versions_pass_and_a_changed_one_fails(service: "Service", tmp_path: Path) -> None:
    trained(tmp_path)
    sound = service.run("models", "verify", "--data-dir", str(tmp_path), "-o", "json")
    assert sound.exit_code == 0, sound.output
    (row,) = json.loads(sound.stdout)["items"]
    assert (row["model"], row["signature"], row["registry"], row["local_copy"]) == (
        str(SERIES), "good", "none", "sound",
    )  # fmt: skip
    with (
        opened(load_settings({"data_dir": tmp_path})) as atalaia,
        atalaia.database.write() as session,
    ):
        session.execute(text("UPDATE model_versions SET algorithm = 'ewma'"))
    changed = service.run("models", "verify", SERIES.name, "--data-dir", str(tmp_path))
    assert changed.exit_code == 1
    assert "wrong_signature" in changed.stdout


def test_the_public_key_is_what_others_trust(service: "Service", tmp_path: Path) -> None:
    shown = service.run("models", "key", "--data-dir", str(tmp_path), "-o", "json")
    (row,) = json.loads(shown.stdout)["items"]
    made = Signatures(SigningSettings(), tmp_path).sign(b"x")
    assert row["key_id"] == made.key_id
    pem = service.run("models", "key", "--pem", "--data-dir", str(tmp_path)).stdout
    (tmp_path / "public.pem").write_text(pem)
    for trusted in (row["public_key"], str(tmp_path / "public.pem")):
        believing = Signatures(SigningSettings(trusted=(trusted,)), tmp_path / "elsewhere")
        assert believing.judge(b"x", made.text, made.key_id) == "good"
