"""The checks that are tools of their own also hold wherever only the tests are run, and catch what they are for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

BIN = Path(sys.executable).parent
LINT_THE_COPY = """
import sys
from importlinter.cli import lint_imports
sys.path.insert(0, "src")
sys.exit(lint_imports(no_cache=True))
"""

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", ["ruff format --check --quiet .", "ruff check --quiet .", "lint-imports", "basedpyright"]
)
def test_the_static_checks_pass(command: str) -> None:
    done = run(ROOT, *command.split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/sin.py", "import atalaia.kit.database", "Floors"),
        ("signals/sin.py", "import atalaia.serving.service", "Floors"),
        ("algorithms/sin.py", "import atalaia.kit.database", "Floors"),
        ("utils/__init__.py", "", "Floors"),
        ("signals/rules.py", "import atalaia.signals.service", "Rooms"),
        ("app/build.py", "import atalaia.app.server", "Doors"),
        ("kit/blobs.py", "import atalaia.kit.sin", "No cycles"),
        ("algorithms/sin.py", "import socket", "Core, algorithms and rules do no I/O"),
        ("core/sin.py", "import pydantic", "Core stands on the standard library"),
        ("signals/sin.py", "import celery", "Only the kit knows Celery"),
        ("serving/sin.py", "import mlflow", "Only connectors know the vendors"),
    ],
)
def test_a_sin_against_the_contracts_is_caught(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / "src" / "atalaia" / module
    before = path.read_text() if path.exists() else None
    extra = copy / "src" / "atalaia" / "kit" / "sin.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")
    if line == "import atalaia.kit.sin":
        extra.write_text("import atalaia.kit.blobs\n")
    try:
        done = run(copy, "python", "-c", LINT_THE_COPY)
    finally:
        path.unlink() if before is None else path.write_text(before)
        extra.unlink(missing_ok=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert contract in "\n".join(row for row in done.stdout.splitlines() if "BROKEN" in row), done.stdout
