"""The rules for Prometheus: sound, tested by promtool, made of metrics that there are, and explained."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from atalaia.kit.telemetry import METRICS
from tests.parts.processes import ROOT

pytestmark = pytest.mark.slow
FOLDER = ROOT / "deploy" / "monitoring" / "prometheus"
RULES = FOLDER / "rules" / "atalaia.yml"
OF_PROMQL = {"sum", "rate", "increase", "min", "max", "by", "histogram_quantile", "up", "time"}


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def expressions() -> list[str]:
    rules = RULES.read_text() + "\n  - name"
    return re.findall(r"expr: (?:>-\n)?(.*?)\n\s+(?:for|labels|- record|- alert|- name)", rules, re.DOTALL)


@pytest.mark.parametrize(
    "words",
    ["check rules rules/atalaia.yml", "check config prometheus.yml", "test rules tests/atalaia_test.yml"],
)
def test_promtool_finds_nothing_wrong(words: str) -> None:
    done = promtool(*words.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_what_is_wrong(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    rules = tmp_path / "copy" / "rules" / "atalaia.yml"
    rules.write_text(rules.read_text().replace("ratio5m > 0.05", "ratio5m > 0.5"))
    done = promtool("test", "rules", tmp_path / "copy" / "tests" / "atalaia_test.yml")
    assert "HighErrorRate" in done.stdout + done.stderr
    assert done.returncode != 0
    rules.write_text(rules.read_text().replace("sum(rate", "summ(rate"))
    assert promtool("check", "rules", rules).returncode != 0


def test_every_alert_has_a_unit_test_and_a_page() -> None:
    tested = (FOLDER / "tests" / "atalaia_test.yml").read_text()
    page = (ROOT / "docs" / "guides" / "alerts.md").read_text()
    assert alerts()
    for alert in alerts():
        assert f"alertname: {alert}\n" in tested
        assert f"\n## {alert}\n" in page
        assert f"runbook: docs/guides/alerts.md#{alert.lower()}\n" in RULES.read_text()


def test_rules_are_made_of_metrics_that_there_are() -> None:
    known = {metric.name for metric in METRICS} | OF_PROMQL | set(re.findall(r"record: (\S+)", RULES.read_text()))
    known |= {f"{metric.name}_bucket" for metric in METRICS if metric.kind == "histogram"}
    told = [re.sub(r"\{.*?\}|\[.*?\]|by \(.*?\)", " ", expression) for expression in expressions()]
    assert len(told) == len(re.findall("expr:", RULES.read_text()))
    used = {word for expression in told for word in re.findall(r"[a-z][a-z0-9_:]*", expression) if len(word) > 2}
    assert used - known == set()
