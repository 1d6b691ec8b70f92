"""A new step of the schema only adds: the release of before goes on serving while it is made, and after it."""

import ast
from pathlib import PurePosixPath

import pytest

from tests.house.source import parse, sins

FREE = ("0001", "0002", "0003")
"""Steps from before anything but a file of one process was served."""
TAKES_AWAY = {
    "drop_column": "drops a column",
    "drop_table": "drops a table",
    "rename_table": "renames a table",
    "drop_constraint": "drops a constraint",
}
_RENAMES = ("new_column_name", "new_table_name")


def takes_away(name: str, text: str) -> list[str]:
    path = PurePosixPath(name)
    if path.parent.name != "versions" or path.name[:4] in FREE and not path.name[4:5].isalpha():
        return []
    steps = [node for node in parse(text).body if isinstance(node, ast.FunctionDef) and node.name != "downgrade"]
    calls = [node for step in steps for node in ast.walk(step) if isinstance(node, ast.Call)]
    return [f"{name}:{call.lineno}: {sin}" for call in calls for sin in sins_of(call)]


def unnumbered(name: str, text: str) -> list[str]:
    """Find steps that releases of before would not know as ones that only add, or would take for such."""
    path = PurePosixPath(name)
    if path.parent.name != "versions" or path.name == "__init__.py":
        return []
    told = [line for line in text.splitlines() if line == f'revision = "{path.name[:4]}"']
    return [] if told and path.name[:4].isdecimal() else [f"{name}: its revision is not the number of its file"]


def sins_of(call: ast.Call) -> list[str]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    words = {word.arg: word.value for word in call.keywords if word.arg}
    found = [TAKES_AWAY[called]] if called in TAKES_AWAY else []
    if called == "alter_column":
        found += ["renames a column" for word in _RENAMES if word in words]
        found += ["lets a column be NULL no more" for _ in [1] if is_false(words.get("nullable"))]
    if called == "add_column":
        columns = [ast.unparse(given) for given in call.args]
        if any("nullable=False" in column and "server_default" not in column for column in columns):
            found.append("adds a column that the release of before does not fill")
    return found


def is_false(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_new_steps_only_add() -> None:
    assert sins(takes_away, "src") == []
    assert sins(unnumbered, "src") == []


@pytest.mark.parametrize(
    "line",
    [
        "op.drop_column('series', 'labels')",
        "op.drop_table('series')",
        "op.rename_table('series', 'lines')",
        "op.alter_column('series', 'labels', new_column_name='tags')",
        "op.alter_column('series', 'labels', nullable=False)",
        "op.add_column('series', sa.Column('unit', sa.String(), nullable=False))",
        "batch_op.drop_column('labels')",
    ],
)
def test_a_step_that_takes_away_is_caught(line: str) -> None:
    text = f"def upgrade() -> None:\n    {line}\n\n\ndef downgrade() -> None:\n    op.drop_table('x')\n"
    assert len(takes_away("src/atalaia/app/migrations/versions/0099_unit.py", text)) == 1
    assert takes_away("src/atalaia/app/migrations/versions/0003_fleet_scale.py", text) == []


@pytest.mark.parametrize(
    "line",
    [
        "op.add_column('series', sa.Column('unit', sa.String(), nullable=True))",
        "op.add_column('series', sa.Column('unit', sa.String(), nullable=False, server_default=''))",
        "op.create_table('x', sa.Column('unit', sa.String(), nullable=False))",
    ],
)
def test_a_step_that_adds_is_welcome(line: str) -> None:
    text = f"def upgrade() -> None:\n    {line}\n"
    assert takes_away("src/atalaia/app/migrations/versions/0099_unit.py", text) == []
