"""Our code against scanners: bandit, and semgrep with rules of our own, each shown to find what it is for."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.parts.processes import ROOT

pytestmark = pytest.mark.slow
SCANNERS = ROOT / ".venv-scanners" / "bin"
RULES = ROOT / "deploy" / "security" / "semgrep.yml"
BAD = {
    "certificate-not-checked": "httpx.get(url, verify=False)",
    "token-algorithm-not-named": "jwt.decode(token, key)",
    "token-signature-not-checked": 'jwt.decode(t, algorithms=["RS256"], options={"verify_signature": False})',
    "secret-compared-by-equality": "if sent_token == known: pass",
    "secret-in-the-log": '_log.info("login", password=sent)',
    "sql-from-pieces": 'text(f"SELECT * FROM {table}")',
    "arrays-from-pickles": "numpy.load(path, allow_pickle=True)",
    "archive-unpacked-anywhere": "archive.extractall(folder)",
    "chance-for-secrets": "token = random.randbytes(16)",
    "listens-everywhere": 'uvicorn.run(app, host="0.0.0.0")',
    "request-without-timeout": "httpx.get(url, timeout=None)",
}


def semgrep(*targets: str | Path) -> list[dict[str, Any]]:
    flags = ["--metrics", "off", "--disable-version-check", "--json", "--quiet", "--no-git-ignore"]
    command = [SCANNERS / "semgrep", "scan", *flags, "--config", RULES, *targets]
    variables = {"PATH": f"{SCANNERS}:/usr/bin:/bin", "HOME": str(ROOT / ".venv-scanners")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["errors"] == []
    return told["results"]


def test_semgrep_finds_nothing_in_our_code() -> None:
    found = semgrep("src", "scripts", "bench")
    assert [f"{one['path']}:{one['start']['line']}: {one['check_id']}" for one in found] == []


def test_every_rule_finds_what_it_is_for(tmp_path: Path) -> None:
    for rule, line in BAD.items():
        names = "import archive, httpx, jwt, numpy, random, uvicorn\nfrom sqlalchemy import text\n"
        (tmp_path / f"{rule.replace('-', '_')}.py").write_text(f"{names}{line}\n")
    found = {
        (Path(one["path"]).stem.replace("_", "-"), one["check_id"].rpartition(".")[2]) for one in semgrep(tmp_path)
    }
    assert found >= {(rule, rule) for rule in BAD}
    assert {line.split("id: ")[1] for line in RULES.read_text().splitlines() if "- id: " in line} == set(BAD)


def bandit(*targets: str | Path) -> list[str]:
    command = [SCANNERS / "bandit", "-q", "-f", "json", "-c", "pyproject.toml", "-r", *targets]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)["results"]
    return [f"{one['filename']}:{one['line_number']}: {one['test_id']}" for one in found]


def test_bandit_finds_nothing_in_our_code() -> None:
    assert bandit("src") == []


def test_bandit_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import subprocess\nsubprocess.run('ls', shell=True)\n")
    assert [one.rpartition(": ")[2] for one in bandit(tmp_path)]
