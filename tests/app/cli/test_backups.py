"""``atalaia backup`` and ``restore`` on a small site, as people use them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atalaia.app.build import build
from atalaia.app.cli import app
from atalaia.app.settings import Settings

pytestmark = pytest.mark.slow
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    build(Settings(data_dir=tmp_path / "data")).close()

    def run(*words: str, data: str = "data") -> Result:
        return CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path / data), "--output", "json"])

    return run


def rows(result: Result) -> list[Any]:
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)["items"]


def test_a_backup_is_made_listed_verified_pruned_and_restored(tmp_path: Path, call: Call) -> None:
    there = str(tmp_path / "backups")
    assert [row["step"] for row in rows(call("backup", "create", "--to", there, "--dry-run"))][-1] == "manifest"
    made = [rows(call("backup", "create", "--to", there))[0]["backup_id"] for _ in range(2)]
    assert [row["backup_id"] for row in rows(call("backup", "list", "--to", there))] == made[::-1]
    assert rows(call("backup", "verify", "--to", there, "--at", made[0]))[0]["ok"]
    (tmp_path / "backups" / "manifests" / "bak_0.json").write_text("{}")
    assert "damaged" in rows(call("backup", "list", "--to", there))[2]["damaged"]
    (tmp_path / "backups" / "manifests" / "bak_0.json").unlink()
    assert rows(call("backup", "prune", "--to", there, "--dry-run")) == []
    plan = rows(call("restore", "--from", there, "--dry-run", data="new"))
    assert made[1] in plan[0]["detail"]
    assert not (tmp_path / "new" / "atalaia.db").exists()
    (told,) = rows(call("restore", "--from", there, "--at", made[0], data="new"))
    assert (told["backup_id"], told["ok"]) == (made[0], True)
    assert (tmp_path / "new" / "atalaia.db").is_file()


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        (("backup", "list"), 2, "backup.to"),
        (("backup", "list", "--to", "/nowhere/at/all"), 3, "there is no folder"),
        (("backup", "verify", "--to", "HERE", "--at", "bak_1"), 3, "there is no backup"),
        (("restore", "--from", "HERE"), 4, "--force"),
        (("restore", "--from", "HERE", "--at", "noon"), 2, "neither"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, call: Call, words: tuple[str, ...], exit_code: int, told: str
) -> None:
    there = str(tmp_path / "backups")
    assert call("backup", "create", "--to", there).exit_code == 0
    result = call(*(there if word == "HERE" else word for word in words))
    assert result.exit_code == exit_code, result.output
    assert told in result.stderr
