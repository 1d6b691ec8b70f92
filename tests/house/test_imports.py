"""Imports stand at the top, so that what a module needs is seen, and the floors can be checked."""

import ast
from fnmatch import fnmatch

import pytest

from tests.house.source import ALL_CODE, functions, sins

FREE = ("src/atalaia/app/cli/*",)
"""The command line starts fast because it imports what a command needs when the command runs."""

LAZY = {
    "src/atalaia/kit/jobs/broker.py": frozenset({"celery", "kombu"}),
    "src/atalaia/kit/jobs/pool.py": frozenset({"celery"}),
    "src/atalaia/kit/postgres.py": frozenset({"psycopg"}),
    "src/atalaia/connectors/mlflow*": frozenset({"mlflow"}),
    "src/atalaia/kit/tracing.py": frozenset({"opentelemetry"}),
    "src/atalaia/kit/limits.py": frozenset({"redis"}),
    "src/atalaia/kit/blobs/bucket.py": frozenset({"adlfs", "aiohttp", "fsspec", "gcsfs", "s3fs"}),
    "src/atalaia/algorithms/calendars/public_holidays.py": frozenset({"holidays"}),
    "src/atalaia/algorithms/deep/asking.py": frozenset({"onnxruntime"}),
    "src/atalaia/algorithms/deep/exporting.py": frozenset({"onnx"}),
    "src/atalaia/algorithms/deep/learning.py": frozenset({"torch"}),
    "src/atalaia/algorithms/forests/growing.py": frozenset({"sklearn"}),
    "src/atalaia/algorithms/evaluation/peers/libraries.py": frozenset({"pyod", "stumpy"}),
    "src/atalaia/lifecycle/plotting.py": frozenset({"matplotlib"}),
}
"""Heavy packages, each with the only module that may load it late."""


def deferred_imports(name: str, text: str) -> list[str]:
    if any(fnmatch(name, pattern) for pattern in FREE):
        return []
    allowed = frozenset[str]().union(*(roots for pattern, roots in LAZY.items() if fnmatch(name, pattern)))
    found = {
        (node.lineno, root)
        for function in functions(text)
        for node in ast.walk(function)
        if isinstance(node, ast.stmt | ast.expr)
        for root in imported_roots(node)
        if root not in allowed
    }
    return [f"{name}:{line}: imports {root} inside a function" for line, root in sorted(found)]


def imported_roots(node: ast.AST) -> list[str]:
    """Return the top-level packages that a statement imports; a call of importlib counts as one."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or ".").partition(".")[0]]
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "something"
        return [str(first).partition(".")[0]] if called in ("__import__", "importlib.import_module") else []
    return []


def test_nothing_is_imported_inside_a_function() -> None:
    assert sins(deferred_imports, *ALL_CODE) == []


@pytest.mark.parametrize(
    "line", ["import json", "from json import loads", "importlib.import_module('json.tool')", "__import__('json')"]
)
def test_a_deferred_import_is_caught(line: str) -> None:
    assert deferred_imports("src/atalaia/kit/jobs.py", f"def f():\n    {line}\n") == [
        "src/atalaia/kit/jobs.py:2: imports json inside a function"
    ]


def test_a_heavy_package_may_load_late_in_its_own_module_only() -> None:
    late = "def f():\n    import mlflow.tracking\n"
    assert deferred_imports("src/atalaia/connectors/mlflow.py", late) == []
    assert deferred_imports("src/atalaia/connectors/mlflow/store.py", late) == []
    assert deferred_imports("src/atalaia/serving/loading.py", late) != []
    assert deferred_imports("src/atalaia/connectors/mlflow.py", "def f():\n    import pandas\n") != []


def test_the_command_line_may_import_late() -> None:
    assert deferred_imports("src/atalaia/app/cli/jobs.py", "def f():\n    import httpx\n") == []


def test_imports_at_the_top_are_free() -> None:
    assert deferred_imports("src/atalaia/kit/jobs.py", "import json\nif True:\n    import csv\n") == []


def other_doors_to_numba(name: str, text: str) -> list[str]:
    """Say where numba is imported beside its one door, which keeps its code where an edit is seen."""
    if name == "src/atalaia/algorithms/compiled.py" or not name.startswith("src/"):
        return []
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt | ast.expr)]
    lines = [node.lineno for node in found if "numba" in imported_roots(node)]
    return [f"{name}:{line}: imports numba; use algorithms.compiled" for line in lines]


def test_numba_has_one_door() -> None:
    assert sins(other_doors_to_numba, *ALL_CODE) == []


def test_another_door_to_numba_is_caught() -> None:
    told = other_doors_to_numba("src/atalaia/serving/blocks.py", "from numba import njit\n")
    assert told == ["src/atalaia/serving/blocks.py:1: imports numba; use algorithms.compiled"]
