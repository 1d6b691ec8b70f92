"""Every error that is raised has a documented code of the right kind, and every documented code is used."""

import ast
from collections.abc import Iterator, Mapping

from atalaia.core.errors import ERROR_OF_KIND, Kind
from atalaia.core.problems import PROBLEMS
from tests.house.source import SRC, parse, python_files, read

TABLE = f"{SRC}/core/problems.py"
TREE = {error.__name__: kind for kind, error in ERROR_OF_KIND.items()}


def wrong_codes(name: str, text: str, problems: Mapping[str, Kind]) -> list[str]:
    """Say which errors are made with a code that is not in `problems`, or stands there under another kind."""
    found: list[str] = []
    for line, error, code in raised(text):
        if code not in problems:
            found.append(f"{name}:{line}: {error}({code!r}) is not in core/problems.py")
        elif problems[code] is not TREE[error]:
            found.append(f"{name}:{line}: {code!r} is {problems[code]} in core/problems.py, but raised as {error}")
    return found


def raised(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, error and code of every error of the tree that is made with a literal code."""
    for node in ast.walk(parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("errors.") in TREE and node.args:
            error = ast.unparse(node.func).removeprefix("errors.")
            for code in literals(node.args[0]):
                yield node.lineno, error, code


def literals(node: ast.expr) -> list[str]:
    """Return the strings that an expression can be: a literal, or either side of a choice between two."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) + literals(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def strings(text: str) -> set[str]:
    """Return every string literal in `text`."""
    constants = (node for node in ast.walk(parse(text)) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def sources() -> list[str]:
    return [name for name in python_files(SRC) if name != TABLE]


def test_every_raised_code_is_documented_under_its_kind() -> None:
    kinds = {code: kind for code, (kind, _) in PROBLEMS.items()}
    assert [sin for name in sources() for sin in wrong_codes(name, read(name), kinds)] == []


def test_every_documented_code_is_used() -> None:
    used = set[str]().union(*(strings(read(name)) for name in sources()))
    assert sorted(PROBLEMS.keys() - used) == []


def test_codes_are_plain_and_described_by_a_sentence() -> None:
    odd = [code for code, (_, line) in PROBLEMS.items() if not code.islower() or not line.endswith(".")]
    assert odd == []


def test_an_unknown_code_is_caught() -> None:
    text = "raise Missing('unknown_thing', 'x')\nraise errors.Busy('slow' if a else 'slower', 'x')"
    assert wrong_codes("a.py", text, {"slow": Kind.BUSY}) == [
        "a.py:1: Missing('unknown_thing') is not in core/problems.py",
        "a.py:2: Busy('slower') is not in core/problems.py",
    ]


def test_a_code_of_another_kind_is_caught() -> None:
    sins = wrong_codes("a.py", "Conflict('unknown_thing', 'x')", {"unknown_thing": Kind.MISSING})
    assert sins == ["a.py:1: 'unknown_thing' is missing in core/problems.py, but raised as Conflict"]


def test_other_calls_are_left_alone() -> None:
    assert wrong_codes("a.py", "Thing('x')\nstore.Missing('x')\nMissing(code, 'x')", {}) == []
