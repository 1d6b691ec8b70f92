"""The page about the OWASP API Security Top 10 names tests that exist, at least one for each risk."""

import ast
import re

import pytest

from tests.house.source import ROOT

ROWS = [line for line in (ROOT / "docs/why/owasp.md").read_text().splitlines() if line.startswith("| API")]


def named_in(row: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)


def test_every_risk_has_a_row() -> None:
    assert [row.split()[1] for row in ROWS] == [f"API{number}" for number in range(1, 11)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split()[1])
def test_every_named_test_exists(row: str) -> None:
    assert named_in(row)
    for path, name in named_in(row):
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (
            f"{path}::{name}"
        )
